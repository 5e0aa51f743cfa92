"""`odenet eval --set`: a run is measured with other constants in its scheme than in training."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from odenet.training.errors import TrainingError
from odenet.training.flows import flows
from odenet.training.runs import evaluation, run

from .test_commands import run_command

SPEC = """state x
map f = bn -> relu -> conv(3)
x' = f(x)
discretise momentum(γ = 0.9)
let n = 2
net = input(1, 8, 8) -> conv(3, 4) -> flow(n) -> mean -> dense(10)
train {
    data     = digits
    fraction = 0.1
    batch    = 16
    steps    = 15
}
"""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """The folder of a finished run with γ = 0.9."""
    folder = tmp_path_factory.mktemp("momentum")
    (folder / "small.ode").write_text(SPEC)
    result = run.train(folder / "small.ode", out=str(folder / "run"), console=Console(quiet=True))
    assert result.epochs == 2  # of 8 steps each
    return folder / "run"


def test_a_run_is_measured_with_its_weights_and_the_new_constant(run_folder):
    (task, _, _), (changed_task, data, _) = (
        evaluation.restore(run_folder),
        evaluation.restore(run_folder, {"γ": 0.5}),
    )
    (flow,), (changed_flow,) = (flows(task.network).values() for task in (task, changed_task))
    assert (flow.gamma, changed_flow.gamma) == (0.9, 0.5)
    flow.gamma = 0.5
    images = data.transforms(data.test.inputs)
    with torch.no_grad():
        logits = task.eval()(images)
    expected = (logits.argmax(1) == data.test.labels).float().mean().item()
    assert evaluation.evaluate(run_folder, {"γ": 0.5})["accuracy"] == pytest.approx(expected)
    assert (
        evaluation.evaluate(run_folder, {"γ": 0})["loss"] != evaluation.evaluate(run_folder)["loss"]
    )


def test_the_command_takes_the_new_constant(run_folder):
    output = run_command("eval", str(run_folder), "--set", "γ=0.5")
    expected = evaluation.evaluate(run_folder, {"γ": 0.5})["accuracy"]
    assert f"accuracy {expected:.2%}" in output


def test_what_changes_the_shapes_of_weights_is_refused(run_folder):
    with pytest.raises(TrainingError, match="n = 2, not with n = 3"):
        evaluation.evaluate(Path(run_folder), {"n": 3})
