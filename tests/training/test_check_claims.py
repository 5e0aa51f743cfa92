"""The claims of a spec (`require`) are judged before training, and the verdicts kept in the run."""

import json
from pathlib import Path

import pytest

from odenet.diagnostics import SpecError
from odenet.training.runs.run import resume, train

SPEC = """state Y
param K : conv(3)
Y' = tanh(K Y)
discretise euler(h = 0.1)
require stable
require order(1)
net = input(1, 8, 8) -> conv(3, 2) -> flow(1) -> mean -> dense(10)
train {
    data     = digits
    epochs   = 1
    fraction = 0.05
}
"""


@pytest.fixture
def spec(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "claims.ode"
    path.write_text(SPEC)
    return path


def test_a_spec_that_claims_what_is_refuted_is_not_trained_and_nothing_is_written(spec):
    with pytest.raises(SpecError) as error:
        train(spec)
    text = str(error.value)
    assert "claims.ode:5:1" in text and "`require stable` is refuted: eigenvalue" in text
    assert "--unchecked" in text and "order(1)" not in text
    assert [path.name for path in spec.parent.iterdir()] == ["claims.ode"]


def test_an_unchecked_run_keeps_the_verdicts_and_is_resumed_as_it_began(spec):
    train(spec, out="run", unchecked=True)
    verdicts = json.loads(Path("run/run.json").read_text())["verdicts"]
    assert verdicts["spectrum"] == "refuted" and verdicts["unchecked"] is True
    assert {c["claim"]: c["verdict"] for c in verdicts["claims"]} == {
        "stable": "refuted",
        "order(1)": "proved",
    }
    assert "refuted" in Path("run/certificate.txt").read_text().splitlines()[0]
    result = resume("run", {"epochs": 2})
    assert result is not None and result.epochs == 2


def test_settings_that_break_a_claim_are_refused(spec):
    spec.write_text(SPEC.replace("K Y", "(K - K^T - γ I) Y").replace("param", "let γ = 1\nparam"))
    train(spec, out="run")
    assert json.loads(Path("run/run.json").read_text())["verdicts"]["spectrum"] == "stable"
    before = Path("run/run.json").read_text()
    with pytest.raises(SpecError, match="`require stable` is refuted"):
        resume("run", {"epochs": 2, "γ": -1})
    assert Path("run/run.json").read_text() == before
