"""bench/overhead.py: the time of the trainer beside that of a bare loop, at a tiny size."""

import importlib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_trainer_bare_loop_and_data_alone_are_timed(monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT / "bench")
    overhead = importlib.import_module("overhead")
    spec = str(ROOT / "specs" / "digits.ode")
    times = overhead.main([spec, "--set=n=2", "--set=batch=8", "--steps=3", "--epochs=3"])
    assert all(seconds > 0 for seconds in times.values())
    assert "data alone" in capsys.readouterr().out
