"""Losses, gradients and weights that are not finite: messages, kept checkpoints, and `on_nan`.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

from pathlib import Path

import pytest
import torch
from rich.console import Console

import odenet
from odenet.training.callbacks.stability_guard import rescale
from odenet.training.errors import TrainingError
from odenet.training.flows import stability
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs import run

from . import stub_program
from .test_stability_guard import UNSTABLE_SPEC
from .train_and_compare import metric_rows, train, weights

STEPS_PER_EPOCH = 5  # of the stub
NAN = float("nan")


def poison(monkeypatch, method, corrupt, is_poisoned=lambda call: True):
    """Let `corrupt` change the results of some calls of a task's method; gives the list of calls.

    `is_poisoned` takes the number of a call, from 1, and says whether its result is changed;
    `corrupt` takes the task and the result, and gives the new result.
    """
    original, calls = getattr(Task, method), []

    def step(task, batch, index):
        calls.append(index)
        result = original(task, batch, index)
        return corrupt(task, result) if is_poisoned(len(calls)) else result

    monkeypatch.setattr(Task, method, step)
    return calls


def nan_loss(task, loss):
    return loss * NAN


def nan_gradient(task, loss):
    task.network.head.weight.register_hook(lambda gradient: gradient * NAN)
    return loss


def inf_weight(task, loss):
    task.network.flow1.K.data[1, 0] = float("inf")
    return loss


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (nan_loss, "the loss is not finite in epoch 2, step 3"),
        (nan_gradient, "the gradient is not finite in epoch 2, step 3"),
        (inf_weight, "finite in epoch 2, step 3: flow1.K is not"),
    ],
)
def test_a_run_stops_at_the_step_and_keeps_its_last_epoch(stub_spec, monkeypatch, corrupt, message):
    train(stub_spec, "one_epoch", epochs=1, schedule="constant")
    poison(monkeypatch, "training_step", corrupt, lambda call: call == STEPS_PER_EPOCH + 3)
    with pytest.raises(TrainingError) as error:
        train(stub_spec, epochs=2, schedule="constant")
    assert message in error.value.message
    assert "--resume run" in error.value.help
    assert not RunFolder(Path("run")).result.exists()
    kept, expected = weights("run"), weights("one_epoch")
    assert all(torch.equal(kept[name], expected[name]) for name in expected)


def test_the_message_names_the_flow_and_the_step_in_which_activations_overflow(
    stub_spec, monkeypatch
):
    def corrupt(task, loss):
        task.network.flow1.G.data.fill_(3e38)  # finite, but activations overflow
        return loss

    poison(monkeypatch, "training_step", corrupt, lambda call: call == 2)
    with pytest.raises(TrainingError, match=r"epoch 1, step 2: .*flow1.*step 1 of 2") as error:
        train(stub_spec, optimizer="sgd(1e-9)", schedule="constant")
    assert "no epoch was complete" in error.value.help
    assert not list(Path("run").glob("checkpoints/*"))


@pytest.mark.parametrize("ema", [0, 0.9])
def test_an_enormous_learning_rate_ends_the_run_and_leaves_no_checkpoint(stub_spec, ema):
    with pytest.raises(TrainingError, match="not finite in epoch 1, step"):
        train(stub_spec, optimizer="sgd(1e30)", schedule="constant", ema=ema)
    assert not list(Path("run").glob("checkpoints/*"))


def test_a_test_loss_that_is_nan_ends_the_run_before_a_checkpoint_is_written(
    stub_spec, monkeypatch
):
    def corrupt(task, _):
        task.test_scores.loss.update(torch.tensor(NAN), 1)

    poison(monkeypatch, "validation_step", corrupt)
    with pytest.raises(TrainingError, match="mean loss on the test split is nan after epoch 1"):
        train(stub_spec)
    assert not list(Path("run").glob("checkpoints/*"))


def test_steps_that_are_skipped_change_nothing(stub_spec, monkeypatch, capsys):
    poison(monkeypatch, "training_step", nan_loss)
    settings = {"on_nan": "skip", "epochs": 1, "optimizer": "adamw(0.01, decay = 0.1)"}
    run.train(stub_spec, settings, out="run", console=Console(width=200))
    torch.manual_seed(0)  # the seed of the recipe
    for name, tensor in stub_program.Network(10).state_dict().items():
        assert torch.equal(weights("run")[f"network.{name}"], tensor), name
    assert capsys.readouterr().out.count("left out") == 2  # at the first step and at the end


@pytest.mark.parametrize("corrupt", [nan_loss, nan_gradient])
def test_a_run_that_skips_a_step_goes_on(stub_spec, monkeypatch, corrupt):
    poison(monkeypatch, "training_step", corrupt, lambda call: call == 4)
    train(stub_spec, epochs=1, on_nan="skip")
    assert metric_rows("run")[0]["train_loss"] < 10
    assert all(t.isfinite().all() for t in weights("run").values())


def test_rolling_back_gives_the_weights_that_the_epoch_began_with(stub_spec, monkeypatch):
    settings = {"schedule": "constant", "on_nan": "rollback"}
    train(stub_spec, "one_epoch", epochs=1, **settings)
    poison(monkeypatch, "training_step", nan_loss, lambda call: call == 2 * STEPS_PER_EPOCH)
    train(stub_spec, "two_epochs", epochs=2, **settings)
    expected, rolled_back = weights("one_epoch"), weights("two_epochs")
    names = [name for name in expected if name.startswith("network.")]
    assert all(torch.equal(expected[name], rolled_back[name]) for name in names)


def test_averages_are_rolled_back_too(stub_spec, monkeypatch):
    poison(monkeypatch, "training_step", inf_weight, lambda call: call == 3)
    train(stub_spec, epochs=1, on_nan="rollback", ema=0.9)
    assert all(t.isfinite().all() for t in weights("run").values())


def test_a_run_is_not_rolled_back_for_ever(stub_spec, monkeypatch):
    calls = poison(monkeypatch, "training_step", nan_loss)
    with pytest.raises(TrainingError, match="after 3 rollbacks"):
        train(stub_spec, on_nan="rollback")
    assert len(calls) == 4  # the first step, and one after each rollback


def test_the_message_for_an_absurd_step_size_says_how_far_it_is_beyond_the_stability_limit(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "unstable.ode"
    spec.write_text(UNSTABLE_SPEC)
    for h in ("1e6", "1e20"):
        with pytest.raises(TrainingError) as error:
            run.train(spec, {"h": h}, Options(exact=True), f"run{h}", Console(quiet=True))
        assert "exact arithmetic fails in epoch 1" in error.value.message
        assert "step 1 of 2" in error.value.message
        assert "times its limit of stability" in error.value.message
        assert "shorten h" in error.value.help


def test_averages_take_the_precision_of_the_weights(stub_spec):
    train(stub_spec, epochs=1, ema=0.9, precision="float64")
    assert weights("run")["network.head.weight"].dtype == torch.float64
    assert run.resume("run", {"epochs": 2}, console=Console(quiet=True)).epochs == 2


def test_a_resumed_run_takes_the_new_learning_rate(stub_spec):
    train(stub_spec, epochs=1, optimizer="sgd(0.1)", schedule="constant")
    new_settings = {"epochs": 2, "optimizer": "sgd(0.025, momentum = 0.5)"}
    run.resume("run", new_settings, console=Console(quiet=True))
    assert [row["lr"] for row in metric_rows("run")] == pytest.approx([0.1, 0.025])


@pytest.mark.parametrize("weight", [NAN, float("inf"), 1e30])
def test_rescaling_brings_back_huge_weights_and_leaves_those_that_are_not_finite(weight):
    flow = odenet.load(Path(__file__).parents[2] / "specs" / "hamiltonian.ode").flow(
        channels=4, steps=3
    )
    with torch.no_grad():
        flow.K1[1, 0] = weight
    before = flow.K1.detach().clone()
    network = torch.nn.Sequential(flow)
    assert not stability(network) <= 1  # it is above 1, or nan
    rescale(network)
    if weight == 1e30:
        assert 0 < stability(network) <= 1
    else:
        torch.testing.assert_close(flow.K1.detach(), before, rtol=0, atol=0, equal_nan=True)
