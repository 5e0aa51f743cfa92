"""A run's folder belongs to one training, and an interrupted start blocks nobody.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from odenet.files import WriteError
from odenet.training.errors import TrainingError
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import run
from odenet.training.runs.run_lock import LOCK, hold_lock, new_run_folder

from .train_and_compare import assert_same_run, train

QUIET = Console(quiet=True)
CLAIM_SCRIPT = """
import sys, time
from pathlib import Path
from rich.console import Console
from odenet.training.runs.run_lock import new_run_folder
from odenet.training.errors import TrainingError

print("ready", flush=True)
sys.stdin.readline()
try:
    with new_run_folder("digits", sys.argv[1] or None, Console(quiet=True)) as folder:
        (folder.path / "run.json").write_text(str(folder.path))
        print(folder.path, flush=True)
        sys.stdin.readline()
except TrainingError as error:
    print("refused:", error.message, flush=True)
"""


class Claimers:
    """Processes that claim a folder for a run at the same moment, and then hold it until killed."""

    def __init__(self, count, out=""):
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", CLAIM_SCRIPT, out]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
        for process in self.processes:
            process.stdout.readline()
        self.send_newline()
        self.outputs = [process.stdout.readline().strip() for process in self.processes]

    def send_newline(self):
        for process in self.processes:
            process.stdin.write("\n")
            process.stdin.flush()

    def kill(self):
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.communicate()


def test_trainings_that_start_together_take_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    claimers = Claimers(3)
    claimers.kill()
    assert sorted(claimers.outputs) == [f"runs/digits-{number}" for number in (1, 2, 3)]


def test_one_of_two_processes_gets_the_folder_that_both_claim_and_keeps_it_until_it_ends(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    claimers = Claimers(2, "out")
    refusals = [output for output in claimers.outputs if output.startswith("refused: ")]
    assert len(refusals) == 1 and "out" in claimers.outputs
    with pytest.raises(TrainingError, match=r"out is in use: process \d+ on .* trains there"):
        with hold_lock(RunFolder(Path("out")), QUIET):
            pass
    claimers.kill()
    with hold_lock(RunFolder(Path("out")), QUIET):  # a dead process holds no lock
        pass


def test_a_start_that_was_interrupted_can_begin_again(stub_spec, tmp_path):
    (tmp_path / "run" / "used").mkdir(parents=True)
    for name in (LOCK, "spec.ode", "used/1.ode", ".odenet-0123456789abcdef.partial"):
        (tmp_path / "run" / name).write_text("incomplete")
    train(stub_spec, epochs=1)
    assert not (tmp_path / "run" / "used").exists()
    assert not list((tmp_path / "run").glob("*.partial"))


@pytest.mark.parametrize("name", ["precious", "spec.ode", ".hidden"])
def test_a_folder_with_somebodys_files_is_left_alone(stub_spec, tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_text("precious")
    with pytest.raises(TrainingError, match="run is not empty"):
        train(stub_spec)
    assert os.listdir(tmp_path / "run") == [name]
    (tmp_path / "run" / LOCK).write_text("")
    if name != "spec.ode":  # with a lock this may be what an interrupted start has left
        with pytest.raises(TrainingError, match="run is not empty"):
            train(stub_spec)


def test_a_start_that_is_refused_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for out in (None, "new", "there"):
        with pytest.raises(ValueError), new_run_folder("digits", out, QUIET):
            raise ValueError
    assert sorted(os.listdir(tmp_path)) == ["runs", "there"]
    assert os.listdir("runs") == os.listdir("there") == []


def test_a_file_in_the_place_of_the_folder_is_named(stub_spec, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(WriteError) as error:
        train(stub_spec)
    assert error.value.filename == "run"


def test_a_run_that_ended_before_its_first_epoch_begins_anew(stub_spec, monkeypatch):
    train(stub_spec, "uninterrupted")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "_fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(stub_spec)
    run.resume("run", console=QUIET)
    assert_same_run("run", "uninterrupted")


def test_a_run_that_lost_its_checkpoint_does_not_begin_anew(stub_spec):
    train(stub_spec, epochs=1)
    RunFolder(Path("run")).last.unlink()
    with pytest.raises(TrainingError, match=r"has no checkpoint last.ckpt"):
        run.resume("run", console=QUIET)
    assert RunFolder(Path("run")).checkpoint("best").is_file()


def test_the_error_of_a_disk_that_is_full_at_the_lock_names_the_lock(stub_spec, monkeypatch):
    def raise_disk_full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", raise_disk_full)
    with pytest.raises(WriteError) as error:
        train(stub_spec, epochs=1)
    assert error.value.filename == str(Path("run") / ".lock")
