"""`--update-in-backward`: weights move during the backward pass, and runs equal ordinary ones.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

from odenet.training.callbacks.stopping import Stopped
from odenet.training.errors import TrainingError
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import read_checkpoint
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs import run

from .test_commands import run_command
from .test_finite_check import nan_gradient, poison
from .train_and_compare import assert_same_run, train, weights

QUIET = Console(quiet=True)
UPDATE_IN_BACKWARD = Options(update_in_backward=True)
SETTINGS = {"epochs": 2, "ema": 0.9, "smooth": 1e-3, "optimizer": "adamw(1e-2, decay = 0.1)"}


def train_in_backward(spec, out="in_backward", options=UPDATE_IN_BACKWARD, **settings):
    """Train a spec with updates in the backward pass into the folder `out`."""
    return run.train(spec, settings, options, out, QUIET)


def optimizer_state(out):
    """The state of the optimizer in the last checkpoint of a run."""
    (state,) = read_checkpoint(RunFolder(Path(out)).checkpoint("last"))["optimizer_states"]
    return state


def test_metrics_weights_and_optimizer_state_are_those_of_an_ordinary_run_bit_for_bit(stub_spec):
    train(stub_spec, "ordinary", **SETTINGS)
    train_in_backward(stub_spec, **SETTINGS)
    assert_same_run("in_backward", "ordinary")
    actual, expected = optimizer_state("in_backward"), optimizer_state("ordinary")
    assert actual["param_groups"] == expected["param_groups"]
    for index, state in expected["state"].items():  # index of the parameter
        assert all(
            torch.equal(value, actual["state"][index][name]) for name, value in state.items()
        )


def test_a_run_resumes_bit_for_bit_also_with_ordinary_updates(stub_spec, monkeypatch):
    train(stub_spec, "uninterrupted", **SETTINGS)
    original = Task.training_step

    def training_step(task, batch, index):
        if task.global_step == 6:  # in the second epoch
            os.kill(os.getpid(), signal.SIGTERM)
        return original(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        for out in ("in_backward", "changed"):
            with pytest.raises(Stopped):
                train_in_backward(stub_spec, out, **SETTINGS)
    assert RunFolder(Path("in_backward")).read_record().options.update_in_backward
    run.resume("in_backward", console=QUIET)
    run.resume("changed", options=Options(), console=QUIET)
    assert_same_run("in_backward", "uninterrupted")
    assert_same_run("changed", "uninterrupted")


def test_exact_clipping_equals_the_trainers_up_to_rounding(stub_spec):
    settings = {"epochs": 1, "clip": 0.1, "precision": "float64", "optimizer": "sgd(0.1)"}
    train(stub_spec, "ordinary", **settings)
    train_in_backward(stub_spec, **settings)
    train_in_backward(
        stub_spec, "last", Options(update_in_backward=True, clip_by="last"), **settings
    )
    actual, expected, clipped_by_last = weights("in_backward"), weights("ordinary"), weights("last")
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(actual[name], value, rtol=1e-9, atol=1e-12)
    name = "network.head.weight"
    assert (clipped_by_last[name] - expected[name]).norm() > 1e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 2}, "this `accumulate`: gradients of all weights wait"),
        ({"precision": "fp16"}, "this `precision`"),
        ({"levels": "[1]"}, "this `levels`"),
        ({"on_nan": "skip"}, "this `on_nan`: weights have moved"),
    ],
)
@pytest.mark.filterwarnings("ignore:You passed")
def test_settings_that_need_all_gradients_at_once_are_refused_by_name(stub_spec, settings, message):
    with pytest.raises(TrainingError, match=message) as error:
        train_in_backward(stub_spec, **settings)
    assert next(iter(settings)) in error.value.help
    assert not Path("in_backward").exists()


def test_several_devices_are_refused(stub_spec):
    with pytest.raises(TrainingError, match="is for one device"):
        train_in_backward(
            stub_spec, options=Options(update_in_backward=True, devices=2, strategy="ddp")
        )


def test_gradients_that_are_not_finite_are_noticed_in_the_weights(stub_spec, monkeypatch):
    train_in_backward(stub_spec, "one_epoch", epochs=1, schedule="constant")
    poison(monkeypatch, "training_step", nan_gradient, lambda call: call == 8)  # in epoch 2
    with pytest.raises(TrainingError, match="weights after the step are not finite in epoch 2"):
        train_in_backward(stub_spec, epochs=2, schedule="constant")
    kept, expected = weights("in_backward"), weights("one_epoch")
    assert all(torch.equal(kept[name], expected[name]) for name in expected)
    poison(monkeypatch, "training_step", nan_gradient, lambda call: call == 8)
    train_in_backward(stub_spec, "rolled_back", epochs=2, schedule="constant", on_nan="rollback")
    assert all(tensor.isfinite().all() for tensor in weights("rolled_back").values())


def test_the_command_has_both_options(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--update-in-backward", "--clip-by", "last",
                "--set", "clip=1", "--out", "run")  # fmt: skip
    options = RunFolder(Path("run")).read_record().options
    assert (options.update_in_backward, options.clip_by) == (True, "last")
    assert "'never' is not one of 'exact'" in run_command(
        "train", stub_spec, "--clip-by", "never", exit_code=2
    )
