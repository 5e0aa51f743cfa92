"""A run that is stopped by a signal resumes, and ends as one that was not stopped, bit for bit.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

import odenet
from odenet.training.callbacks.stopping import Stopped
from odenet.training.errors import TrainingError
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import evaluation, run

from . import specs
from .train_and_compare import assert_same_run, metric_rows, train, weights


def stop_at_step(monkeypatch, step, signal_number=signal.SIGTERM):
    """Let this process receive a signal at one of its training steps, counted from 1."""
    original, steps = Task.training_step, []

    def training_step(task, batch, index):
        steps.append(index)
        if len(steps) == step:
            os.kill(os.getpid(), signal_number)
        return original(task, batch, index)

    monkeypatch.setattr(Task, "training_step", training_step)


STATEFUL_SETTINGS = {"ema": 0.9, "levels": "[1]", "smooth": "1e-3", "augment": "[pad_crop(1)]"}


@pytest.mark.parametrize("step", [2, 5, 7], ids=["first epoch", "last batch", "refined"])
@pytest.mark.parametrize("settings", [{}, STATEFUL_SETTINGS], ids=["plain", "with more state"])
def test_a_stopped_run_resumes_bit_for_bit(stub_spec, monkeypatch, step, settings):
    train(stub_spec, "uninterrupted", **settings)
    with monkeypatch.context() as patch:
        stop_at_step(patch, step)
        with pytest.raises(Stopped):
            train(stub_spec, "run", **settings)
    assert not RunFolder(Path("run")).result.exists()
    result = run.resume("run", console=Console(quiet=True))
    assert_same_run("run", "uninterrupted")
    assert result.epochs == 3


def test_ctrl_c_stops_like_sigterm(stub_spec, monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    stop_at_step(monkeypatch, 2, signal.SIGINT)
    with pytest.raises(Stopped):
        train(stub_spec)
    assert signal.getsignal(signal.SIGINT) is before
    assert RunFolder(Path("run")).checkpoint("last").is_file()


def test_a_run_can_be_made_longer(stub_spec):
    train(stub_spec, epochs=1)
    result = run.resume("run", {"epochs": 2}, console=Console(quiet=True))
    assert result.epochs == 2
    assert [row["epoch"] for row in metric_rows("run")] == [0, 1]


def test_resuming_a_complete_run_changes_nothing(stub_spec):
    train(stub_spec, epochs=1)
    before = metric_rows("run"), weights("run")
    run.resume("run", console=Console(quiet=True))
    assert metric_rows("run") == before[0]
    assert all(torch.equal(weights("run")[k], v) for k, v in before[1].items())


def test_a_run_resumed_with_fewer_samples_keeps_its_first_standardisation(stub_spec):
    train(stub_spec, epochs=1)
    run.resume("run", {"epochs": 2, "fraction": 0.05}, console=Console(quiet=True))
    last = metric_rows("run")[-1]
    scores = evaluation.evaluate("run", weights="last")
    assert scores["accuracy"] == last["test_accuracy"]
    assert scores["loss"] == pytest.approx(last["test_loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "change", "kept_setting"),
    [
        ({}, {"holdout": 0.2}, "holdout = 0"),
        ({"holdout": 0.2}, {"holdout": 0}, "holdout = 0.2"),
        ({"holdout": 0.2}, {"seed": 9}, "seed = 0"),
        ({"holdout": 0.2}, {"fraction": 0.5}, "fraction = 0.25"),
        ({}, {"augment": "[standardise(image)]"}, "standardise = data"),
        ({}, {"augment": "[center_crop(10)]"}, "center_crop = None"),
    ],
)
def test_settings_that_choose_or_prepare_the_samples_measured_cannot_be_changed(
    stub_spec, settings, change, kept_setting
):
    train(stub_spec, epochs=1, **settings)
    before = Path("run/run.json").read_bytes()
    with pytest.raises(TrainingError, match=f"was begun with {kept_setting}"):
        run.resume("run", {"epochs": 2} | change, console=Console(quiet=True))
    assert Path("run/run.json").read_bytes() == before


def test_a_run_that_completed_no_epoch_may_begin_anew_with_other_settings(stub_spec, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", crash)
        with pytest.raises(KeyError, match="crash"):
            train(stub_spec, epochs=1)
    run.resume("run", {"fraction": 0.05}, console=Console(quiet=True))
    assert (
        evaluation.evaluate("run", weights="last")["accuracy"]
        == metric_rows("run")[-1]["test_accuracy"]
    )


def crash(task, batch, index):
    raise KeyError("crash")  # which training does not catch


def test_a_run_of_one_step_is_continued_in_epochs_of_one_step(tmp_path):
    x = torch.linspace(-1, 1, 240).view(60, 4)
    data = (x, (x[:, 0] > 0).long())
    spec = specs.write(tmp_path, specs.VECTOR_NET.format(2))
    spec.write_text(spec.read_text().replace("epochs    = 2", "steps     = 1"))
    folder = specs.train(spec, data=data).folder
    with pytest.raises(TrainingError, match=r"done 1 step of 1: nothing is left to train\n.*=2,"):
        odenet.resume(folder, data=data, set={"steps": 1}, console=Console(quiet=True))
    for changes, steps in (({"set": {"steps": 3}}, [0, 1, 2]), ({"epochs": 4}, [0, 1, 2, 3])):
        odenet.resume(folder, data=data, console=Console(quiet=True), **changes)
        assert [row["step"] for row in RunFolder(Path(folder)).rows()] == steps
