"""The stability margin h ω / limit in training: above 1, steps are unstable.

`guard = rescale` keeps it below 1.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

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

from .train_and_compare import metric_rows

ROOT = Path(__file__).parents[2]
UNSTABLE_SPEC = """odenet 1
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
def unstable_spec(tmp_path, monkeypatch):
    """A spec whose initial weights are beyond the limit of stability."""
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "unstable.ode"
    spec.write_text(UNSTABLE_SPEC)
    return spec


def test_a_margin_above_1_is_reported_once(unstable_spec, capsys):
    result = run.train(unstable_spec, out="run", console=Console(width=300))
    text = capsys.readouterr().out
    assert text.count("times its limit") == 1 and "--guard rescale" in text
    assert result.stability > 1
    assert all(row["stability"] > 1 for row in metric_rows("run"))


@pytest.mark.parametrize(("initial_value", "warning_count"), [("-0.5", 1), ("0.5", 0)])
def test_a_condition_of_the_proof_that_the_weights_violate_is_reported_once(
    unstable_spec, capsys, initial_value, warning_count
):
    text = UNSTABLE_SPEC.replace(
        "Y' = ", f"param γ : scalar(init = constant({initial_value}))\nY' = "
    )
    text = text.replace("Z + b1)", "Z + b1) - γ Y").replace("Y + b2)", "Y + b2) - γ Z")
    unstable_spec.write_text(text.replace("verlet", "euler"))
    assert odenet.load(unstable_spec).flow(channels=8, steps=2).conditions() == [
        ("γ ≥ 0", warning_count == 0)
    ]
    run.train(unstable_spec, out="run", console=Console(width=300))
    lines = [line for line in capsys.readouterr().out.splitlines() if "proof about the" in line]
    assert len(lines) == warning_count
    assert all("after epoch 1 " in line and line.endswith("rests on γ ≥ 0") for line in lines)


def test_rescaling_keeps_the_margin_below_1_and_the_run_resumes_bit_for_bit(unstable_spec, capsys):
    settings = {"guard": "rescale", "schedule": "constant"}
    result = run.train(unstable_spec, settings, out="run", console=Console(width=300))
    assert "times its limit" not in capsys.readouterr().out
    assert result.stability <= 1
    assert all(0.8 < row["stability"] <= 1 for row in metric_rows("run"))
    run.train(unstable_spec, {**settings, "epochs": 1}, out="first", console=Console(quiet=True))
    run.resume("first", {"epochs": 2}, console=Console(quiet=True))
    actual, expected = (
        read_checkpoint(RunFolder(Path(out)).checkpoint("last"))["state_dict"]
        for out in ("run", "first")
    )
    assert all(torch.equal(actual[name], expected[name]) for name in actual)


@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "leapfrog"])
def test_only_steps_beyond_the_limit_are_scaled(name):
    flow = odenet.load(ROOT / "specs" / f"{name}.ode").flow(channels=4, steps=3)
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


def test_an_estimate_of_the_margin_depends_on_the_weights_alone():
    network = odenet.load(ROOT / "specs" / "digits.ode").network()
    after_12_iterations = stability(network, iterations=12)
    converged = stability(network)
    assert stability(network, iterations=12) == after_12_iterations
    assert 0.85 * converged < after_12_iterations <= converged


def test_rescaling_is_refused_where_no_limit_is_known(stub_spec):
    with pytest.raises(TrainingError, match="no stability limit is known"):
        run.train(stub_spec, {"guard": "rescale"}, out="run", console=Console(quiet=True))


def test_the_option_exact_makes_the_flows_exact(unstable_spec, monkeypatch):
    networks = []
    original = run._fit

    def record_network(trainer, folder, task, *rest):
        networks.append(task.network)
        return original(trainer, folder, task, *rest)

    monkeypatch.setattr(run, "_fit", record_network)
    run.train(unstable_spec, {"epochs": 1}, Options(exact=True), "exact", Console(quiet=True))
    assert all(flow.exact for flow in flows(networks[0]).values())


def test_reversible_flows_are_compiled_step_by_step_and_others_as_a_whole():
    for name in ("digits", "resnet"):
        network = odenet.load(ROOT / "specs" / f"{name}.ode").network()
        apply_options(network, Options(compile=True))
        for flow in flows(network).values():
            assert (flow.compiled is not None) == flow.reversible
            assert (flow._compiled_call_impl is not None) == (not flow.reversible)


def test_exact_arithmetic_is_refused_for_flows_that_are_not_reversed(stub_spec):
    with pytest.raises(TrainingError, match="does not reverse") as error:
        run.train(stub_spec, {}, Options(exact=True), "run", Console(quiet=True))
    assert error.value.help == "the stub has no inverse"
