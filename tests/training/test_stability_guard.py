from pathlib import Path

import pytest
import torch
from rich.console import Console

import odenet
from odenet.training.callbacks.stability_guard import rescale
from odenet.training.errors import TrainingError
from odenet.training.flows import flows, stability
from odenet.training.run_folder.checkpoints import read_checkpoint
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs import run
from odenet.training.runs.build_task import apply_options

ROOT = Path(__file__).parents[2]
WILD = """odenet 1
state Y, Z
param K1, K2 : conv(3, init = normal(1))
param b1, b2 : bias
Y' =  K1^T tanh(K1 Z + b1)
Z' = -K2^T tanh(K2 Y + b2)
discretise verlet(h = 0.1)
net = input(1, 8, 8) -> conv(3, 8) -> pool(2) -> flow(2) -> mean -> dense(10)
train {
    data     = digits
    fraction = 0.2
    epochs   = 2
}
"""


@pytest.fixture
def wild(tmp_path, monkeypatch):
    """A spec whose initial weights are beyond the limit of stability."""
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "wild.ode"
    spec.write_text(WILD)
    return spec


def rows(out="run"):
    return RunFolder(Path(out)).rows()


def test_a_margin_above_1_is_said_once(wild, capsys):
    result = run.train(wild, out="run", console=Console(width=300))
    text = capsys.readouterr().out
    assert text.count("times its limit") == 1 and "--guard rescale" in text
    assert result.stability > 1
    assert all(row["stability"] > 1 for row in rows())


@pytest.mark.parametrize(("start", "said"), [("-0.5", 1), ("0.5", 0)])
def test_a_condition_of_the_proof_that_the_weights_break_is_said_once(wild, capsys, start, said):
    text = WILD.replace("Y' = ", f"param γ : scalar(init = constant({start}))\nY' = ")
    text = text.replace("Z + b1)", "Z + b1) - γ Y").replace("Y + b2)", "Y + b2) - γ Z")
    wild.write_text(text.replace("verlet", "euler"))
    assert odenet.load(wild).flow(8, 2).conditions() == [("γ ≥ 0", not said)]
    run.train(wild, out="run", console=Console(width=300))
    lines = [line for line in capsys.readouterr().out.splitlines() if "proof about the" in line]
    assert len(lines) == said
    assert all("after epoch 1 " in line and line.endswith("rests on γ ≥ 0") for line in lines)


def test_rescaling_keeps_the_margin_below_1_and_the_run_resumes_bit_for_bit(wild, capsys):
    given = {"guard": "rescale", "schedule": "constant"}
    result = run.train(wild, given, out="run", console=Console(width=300))
    assert "times its limit" not in capsys.readouterr().out
    assert result.stability <= 1
    assert all(0.8 < row["stability"] <= 1 for row in rows())
    run.train(wild, {**given, "epochs": 1}, out="first", console=Console(quiet=True))
    run.resume("first", {"epochs": 2}, console=Console(quiet=True))
    ours, theirs = (
        read_checkpoint(RunFolder(Path(out)).checkpoint("last"))["state_dict"]
        for out in ("run", "first")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "leapfrog"])
def test_only_steps_beyond_the_limit_are_scaled(name):
    flow = odenet.load(ROOT / "specs" / f"{name}.ode").flow(4, 3)
    with torch.no_grad():
        for operator in flow.operators:
            getattr(flow, operator)[1] *= 30
    before = [getattr(flow, operator).detach().clone() for operator in flow.operators]
    assert flow.stability()[1] > 1
    rescale(torch.nn.Sequential(flow))
    assert 0.5 < flow.stability()[1] <= 1
    for operator, old in zip(flow.operators, before, strict=True):
        new = getattr(flow, operator).detach()
        assert torch.equal(new[[0, 2]], old[[0, 2]])
        ratio = new[1] / old[1]
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))


def test_a_look_at_the_margin_depends_on_the_weights_alone():
    network = odenet.load(ROOT / "specs" / "digits.ode").network()
    cold = stability(network, 12)
    converged = stability(network)
    assert stability(network, 12) == cold
    assert 0.85 * converged < cold <= converged


def test_rescaling_is_refused_where_no_limit_is_known(stub_spec):
    with pytest.raises(TrainingError, match="no stability limit is known"):
        run.train(stub_spec, {"guard": "rescale"}, out="run", console=Console(quiet=True))


def test_exact_arithmetic_is_chosen_from_outside(wild, monkeypatch):
    seen = []
    fit = run._fit

    def look(trainer, folder, task, *rest):
        seen.append(task.network)
        return fit(trainer, folder, task, *rest)

    monkeypatch.setattr(run, "_fit", look)
    run.train(wild, {"epochs": 1}, Options(exact=True), "exact", Console(quiet=True))
    assert all(flow.exact for flow in flows(seen[0]).values())


def test_steps_of_reversible_flows_are_compiled_and_the_whole_of_others():
    for name in ("digits", "resnet"):
        network = odenet.load(ROOT / "specs" / f"{name}.ode").network()
        apply_options(network, Options(compile=True))
        for flow in flows(network).values():
            assert (flow.compiled is not None) == flow.reversible
            assert (flow._compiled_call_impl is not None) == (not flow.reversible)


def test_exact_arithmetic_is_refused_where_nothing_is_reversed(stub_spec):
    with pytest.raises(TrainingError, match="does not reverse") as caught:
        run.train(stub_spec, {}, Options(exact=True), "run", Console(quiet=True))
    assert caught.value.help == "the stub has no inverse"
