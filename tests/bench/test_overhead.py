"""bench/overhead.py: the time of the trainer beside that of a bare loop, at a tiny size."""

import importlib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_trainer_is_timed_in_turns_with_the_bare_loop(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "bench")
    overhead = importlib.import_module("overhead")
    spec = str(ROOT / "specs" / "digits.ode")
    times = overhead.main([spec, "--set=n=2", "--set=batch=8", "--steps=3", "--epochs=3"])
    assert all(seconds > 0 for seconds in times.values())
    assert "data alone" in capsys.readouterr().out
