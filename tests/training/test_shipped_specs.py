"""The trainer on programs that the compiler makes."""

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
SHORT = {"epochs": "2", "fraction": "0.1", "batch": "32", "levels": "[1]"}
QUIET = Console(quiet=True)


def test_the_quick_start_learns_resumes_bit_for_bit_and_reproduces_itself(tmp_path, monkeypatch):
    spec = SPECS / "digits.ode"
    whole = run.train(spec, SHORT, out=str(tmp_path / "whole"), console=QUIET)
    assert whole is not None
    taken = Task.training_step

    def stopping(task, batch, index):
        if task.global_step == 5:
            signal.raise_signal(signal.SIGTERM)
        return taken(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", stopping)
        with pytest.raises(Stopped):
            run.train(spec, SHORT, out=str(tmp_path / "run"), console=QUIET)
    run.resume(tmp_path / "run", spec=spec, console=QUIET)
    ours, theirs = (
        read_checkpoint(RunFolder(tmp_path / out).checkpoint("last"))["state_dict"]
        for out in ("run", "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert evaluation.evaluate(tmp_path / "run", weights="last")["accuracy"] == whole.accuracy
    program = odenet.load(tmp_path / "run" / "spec.ode", set=SHORT)
    assert program.text == spec.read_text()
    assert whole.stability is not None


@pytest.mark.parametrize("name", ["momentum", "resnet"])
def test_the_papers_networks_train_on_data_of_another_size(tmp_path, name):
    settings = {
        "data": "digits", "epochs": "1", "fraction": "0.02", "batch": "14", "n": "2",
        "augment": "[pad_crop(2), flip]",
    }  # fmt: skip
    result = run.train(SPECS / f"{name}.ode", settings, out=str(tmp_path / "run"), console=QUIET)
    assert result is not None and result.epochs == 1
