"""Drift: the relative error of states that the backward pass rebuilds by inverting steps."""

from pathlib import Path

import pytest
from rich.console import Console

from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs import run

DEEP_SPEC = """odenet 1
state x
param K : conv(3)
param b : bias
x' = tanh(K x + b)
discretise momentum(γ = 0.4)
net = input(1, 8, 8) -> conv(3, 4) -> flow(25) -> mean -> dense(10)
train {
    data     = digits
    fraction = 0.1
    epochs   = 2
}
"""


@pytest.fixture
def deep_spec(tmp_path, monkeypatch):
    """A spec with 25 momentum steps; the inverse of each divides the rounding errors by 0.4."""
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "deep.ode"
    spec.write_text(DEEP_SPEC)
    return spec


@pytest.mark.parametrize(
    ("options", "exact"), [(Options(), False), (Options(exact=True), True)], ids=["float", "exact"]
)
def test_a_large_drift_is_reported_once_and_exact_steps_have_none(
    deep_spec, capsys, options, exact
):
    run.train(deep_spec, options=options, out="run", console=Console(width=300))
    text = capsys.readouterr().out
    assert text.count("relative error") == (0 if exact else 1)
    assert exact or "--exact" in text
    drifts = [row["drift"] for row in RunFolder(Path("run")).rows()]
    assert len(drifts) == 2
    assert all(drift == 0 for drift in drifts) if exact else min(drifts) > 1e-2


def test_stored_activations_do_not_drift(deep_spec, capsys):
    run.train(deep_spec, options=Options(memory="stored"), out="run", console=Console(width=300))
    assert "relative error" not in capsys.readouterr().out
    assert "drift" not in RunFolder(Path("run")).rows()[0]
