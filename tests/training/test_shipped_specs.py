"""Training of specs that odenet ships, as the compiler compiles them (other tests use a stub)."""

import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console

import odenet
from odenet.training.callbacks.stopping import Stopped
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import read_checkpoint
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import evaluation, run

SPECS = Path(__file__).parents[2] / "specs"
SHORT_RUN = {"epochs": "2", "fraction": "0.1", "batch": "32", "levels": "[1]"}
QUIET = Console(quiet=True)


def test_the_quick_start_trains_resumes_bit_for_bit_and_keeps_its_spec(tmp_path, monkeypatch):
    spec = SPECS / "digits.ode"
    result = run.train(spec, SHORT_RUN, out=str(tmp_path / "uninterrupted"), console=QUIET)
    assert result is not None
    original = Task.training_step

    def training_step(task, batch, index):
        if task.global_step == 5:
            signal.raise_signal(signal.SIGTERM)
        return original(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        with pytest.raises(Stopped):
            run.train(spec, SHORT_RUN, out=str(tmp_path / "run"), console=QUIET)
    run.resume(tmp_path / "run", spec=spec, console=QUIET)
    actual, expected = (
        read_checkpoint(RunFolder(tmp_path / out).checkpoint("last"))["state_dict"]
        for out in ("run", "uninterrupted")
    )
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert evaluation.evaluate(tmp_path / "run", weights="last")["accuracy"] == result.accuracy
    program = odenet.load(tmp_path / "run" / "spec.ode", set=SHORT_RUN)
    assert program.text == spec.read_text()
    assert result.stability is not None


@pytest.mark.parametrize("name", ["momentum", "resnet"])
def test_the_papers_networks_train_on_data_of_another_size(tmp_path, name):
    settings = {
        "data": "digits", "epochs": "1", "fraction": "0.02", "batch": "14", "n": "2",  # two batches
        "augment": "[pad_crop(2), flip]",
    }  # fmt: skip
    result = run.train(SPECS / f"{name}.ode", settings, out=str(tmp_path / "run"), console=QUIET)
    assert result is not None and result.epochs == 1
