"""The commands that train, evaluate, compare and study runs: their output and exit codes.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer
from rich.console import Console
from typer.testing import CliRunner

from odenet.cli import inference, measuring, training
from odenet.cli.train_options import read_memory
from odenet.diagnostics import SpecError
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import comparison
from odenet.training.runs.run import train

APP = typer.Typer()
APP.command("train")(training.train)
APP.command("eval")(measuring.evaluate)
APP.command("predict")(inference.predict)
APP.command("export")(inference.export)
APP.command("compare")(measuring.compare)
APP.command("study")(measuring.study)


def run_command(*arguments, exit_code=0):
    """Run a command of odenet in this process, and check its exit code; gives its output.

    A SpecError of the command is raised as it is.
    """
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    if isinstance(result.exception, SpecError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.output


def test_training_prints_lines_and_a_closing_table(stub_spec):
    output = run_command("train", stub_spec, "--epochs", 2)
    header, *lines = output.splitlines()
    assert header == "stub" and lines[0].startswith("  data digits: 1,437 training and 360 test")
    assert "1 flow" in lines[1] and "parameters" in lines[1]
    assert re.match(r"  .+; a step on 64 samples needs about \S+ [KM]iB \(stored flows\)", lines[3])
    assert lines[4] == "  359 training samples in 5 steps an epoch, 360 to test on, 10 classes"
    assert lines[5] == "  run runs/stub-1"
    assert "\x1b" not in output and "\r" not in output
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert re.search(r"test accuracy +\d+\.\d\d% after epoch 2", output)
    assert re.search(r"run +runs/stub-1", output)
    assert "odenet predict runs/stub-1" in output
    assert len(lines) <= 17 and all(len(line) <= 80 for line in lines)  # fits a small terminal
    assert all(line == line.rstrip() for line in lines)


def test_every_shortcut_sets_its_key_of_the_recipe(stub_spec):
    run_command(
        "train", stub_spec, "--epochs", 1, "--fraction", 0.1, "--seed", 3, "--precision",
        "float64", "--set", "batch=16", "--data", "digits", "--memory", "stored", "--out", "run",
    )  # fmt: skip
    record = RunFolder(Path("run")).read_record()
    assert record.settings == {
        "batch": "16", "epochs": "1", "fraction": "0.1", "seed": "3", "precision": "float64",
        "data": "digits",
    }  # fmt: skip
    assert record.options.memory == "stored"
    assert RunFolder(Path("run")).rows()[0]["step"] == 8  # full batches of 16 in 143 samples


def test_a_stopped_run_says_how_to_go_on(stub_spec, monkeypatch):
    original = Task.training_step

    def training_step(task, batch, index):
        if task.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        output = run_command("train", stub_spec, exit_code=128 + signal.SIGTERM)
    assert output.endswith("stopped; go on with: odenet train --resume runs/stub-1\n")
    assert "after epoch 3" in run_command("train", stub_spec, "--resume", "runs/stub-1")


def test_resuming_a_finished_run_says_that_it_is_finished(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--out", "run")
    before = Path("run/result.json").read_bytes(), Path("run/checkpoints/last.ckpt").read_bytes()
    output = run_command("train", "--resume", "run")
    assert output.startswith("finished: run has trained for 1 epoch; to train on:\n")
    assert "odenet train --resume run --epochs 2" in output
    assert re.search(r"test accuracy +\d+\.\d\d% after epoch 1", output)
    with pytest.raises(SpecError, match="has done 1 epoch of 1: nothing is left to train"):
        run_command("train", "--resume", "run", "--set", "batch=32")
    assert before == (
        Path("run/result.json").read_bytes(), Path("run/checkpoints/last.ckpt").read_bytes()
    )  # fmt: skip


def test_levels_that_change_finished_epochs_are_refused(stub_spec):
    run_command("train", stub_spec, "--epochs", 2, "--out", "run")
    with pytest.raises(SpecError, match=r"levels = \[1\] changes epochs that are done"):
        run_command("train", "--resume", "run", "--epochs", 3, "--set", "levels=[1]")
    assert "after epoch 3" in run_command(
        "train", "--resume", "run", "--epochs", 3, "--set", "levels=[2]"
    )


def test_a_dry_run_estimates_and_writes_nothing(stub_spec):
    before = sorted(Path().iterdir())
    output = run_command("train", stub_spec, "--dry-run")
    assert re.search(r"dry run: first loss \d\S*, \S+ m?s for a step\n", output)
    assert re.search(r"takes about \S+ \S+ here; nothing was written\n$", output)
    assert sorted(Path().iterdir()) == before


def test_a_loss_that_grew_is_called_diverged(stub_spec):
    output = run_command(
        "train", stub_spec, "--epochs", 1, "--lr", "1e4", "--out", "run", exit_code=1
    )
    assert re.search(r"outcome +diverged", output)
    assert re.search(r"diverged: the training loss grew from \S+ to \S+; .*--lr 1000", output)
    assert RunFolder(Path("run")).result.exists()


def test_numbers_that_are_not_finite_are_called_diverged(stub_spec, monkeypatch):
    original = Task.training_step

    def training_step(task, batch, index):
        loss = original(task, batch, index)
        return loss * float("nan") if task.current_epoch == 1 else loss

    monkeypatch.setattr(Task, "training_step", training_step)
    output = run_command("train", stub_spec, "--lr", "0.01", "--out", "run", exit_code=1)
    assert "error[diverged]: training diverged: the loss is not finite in epoch 2, step 1" in output
    assert re.search(r"outcome +diverged in epoch 2", output)
    assert re.search(r"next +odenet train --resume run --set lr=0.001", output)


def test_a_new_optimizer_replaces_the_learning_rate_that_was_set_before(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--lr", 0.5, "--batch", 32, "--out", "run")
    record = RunFolder(Path("run")).read_record()
    assert record.settings == {"epochs": "1", "optimizer.lr": "0.5", "batch": "32"}
    run_command("train", "--resume", "run", "--epochs", 2, "--set", "optimizer=adam(1e-4)")
    record = RunFolder(Path("run")).read_record()
    assert record.settings == {"batch": "32", "epochs": "2", "optimizer": "adam(1e-4)"}
    run_command("train", "--resume", "run", "--epochs", 3, "--set", "lr=1e-3")
    assert RunFolder(Path("run")).rows()[-1]["lr"] <= 1e-3


def test_eval_refuses_settings_that_concern_training_alone(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--out", "run")
    for setting in ("lr=0.5", "epochs=9"):
        with pytest.raises(SpecError, match="is about training, and changes nothing that is"):
            run_command("eval", "run", "--set", setting)
    assert run_command("eval", "run", "--batch", 7) == run_command("eval", "run")


def test_deterministic_runs_leave_torch_as_it_was(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--deterministic", "--out", "run")
    assert RunFolder(Path("run")).read_record().options.deterministic
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_run_is_not_resumed_with_another_spec(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--out", "run")
    stub_spec.write_text(stub_spec.read_text().replace("0.5", "0.25"))
    with pytest.raises(SpecError, match="is not what the run began with"):
        run_command("train", stub_spec, "--resume", "run")


def test_eval_prints_lines_of_text_or_json(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--out", "run")
    assert re.fullmatch(
        r"digits: accuracy [\d.]+%, top-5 accuracy [\d.]+%, loss [\d.]+",
        run_command("eval", "run").splitlines()[0],
    )
    scores = json.loads(run_command("eval", "run", "--json", "--last"))
    assert scores["data"] == "digits" and 0 <= scores["accuracy"] <= 1


def test_a_loss_that_is_not_finite_is_null_in_json(stub_spec, monkeypatch):
    run_command("train", stub_spec, "--epochs", 1, "--out", "run")
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda x, *_, **__: x.sum() * torch.nan
    )
    scores = json.loads(run_command("eval", "run", "--json"), parse_constant=pytest.fail)
    assert scores["loss"] is None


def test_runs_are_compared_in_a_table_and_a_picture(stub_spec):
    for out in ("first", "second"):
        run_command("train", stub_spec, "--epochs", 1, "--out", out)
    output = run_command("compare", "first", "second", "-o", "both.png")
    assert "first" in output and "second" in output
    assert Path("both.png").read_bytes()[:4] == b"\x89PNG"
    assert len(json.loads(run_command("compare", "first", "second", "--json"))) == 2


def test_a_copied_run_is_listed_by_the_folder_it_is_in_now(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--out", "a/run")
    shutil.copytree("a", "b")
    results = json.loads(run_command("compare", "a/run", "b/run", "--json"))
    assert [result["folder"] for result in results] == ["a/run", "b/run"]


def test_runs_in_folders_of_the_same_name_have_a_curve_each(stub_spec, monkeypatch):
    run_command("train", stub_spec, "--epochs", 1, "--out", "a/run")
    shutil.copytree("a", "b")
    curves = {}
    monkeypatch.setattr(comparison, "draw_curves", lambda rows, path: curves.update(rows))
    run_command("compare", "a/run", "b/run", "-o", "both.png")
    assert list(curves) == ["a/run", "b/run"]


@pytest.mark.parametrize(
    ("runs", "expected"),  # None: only the other two assertions count
    [
        (["x/r-1", "x/r-2"], ["r-1", "r-2"]),
        (["x/r", "y/r"], ["x/r", "y/r"]),
        (["x/r", "y/r/../../x/r"], ["r", "r"]),
        (["/x/r", "r", "/"], None),
        ([".", ".."], None),
    ],
)
def test_different_runs_are_given_different_paths_for_the_pictures_of_their_studies(runs, expected):
    paths = comparison.shortest_distinct_paths([Path(run) for run in runs])
    assert expected is None or [str(path) for path in paths] == expected
    assert not any(path.is_absolute() or ".." in path.parts for path in paths)
    assert len(set(paths)) == len({os.path.realpath(run) for run in runs})


def test_an_unfinished_run_is_not_compared(stub_spec):
    run_command("train", stub_spec, "--epochs", 1, "--out", "run")
    RunFolder(Path("run")).result.unlink()
    with pytest.raises(SpecError, match="run is not finished"):
        run_command("compare", "run")


def test_errors_print_as_diagnostics(stub_spec):
    with pytest.raises(SpecError) as error:
        run_command("train", stub_spec, "--data", "cifar10", "--data-root", "nowhere")
    assert str(error.value).splitlines()[0] == "error[unreadable-data]: cifar10 is not in nowhere"
    assert "--download --data-root nowhere" in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train",),
        ("train", "x.ode", "--memory", "plenty"),
        ("train", "x.ode", "--devices", "0"),
        ("train", "x.ode", "--set", "epochs"),
    ],
)
def test_usage_errors_exit_with_2(arguments):
    run_command(*arguments, exit_code=2)


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5 * 10**8), ("2GiB", 2**31), ("1.5k", 1500), ("64", 64)]
)
def test_memory_is_read_as_a_size_in_the_usual_units(text, size):
    assert read_memory(text) == size


SETTINGS = {"levels": "[1]", "ema": "0.9", "epochs": "2", "optimizer": "sgd(0.1)"}

TWO_PROCESS_SCRIPT = f"""
import odenet
import torch
from odenet.training.runs import run
from odenet.training.run_folder.records import Options
from tests.training import stub_program

torch.set_num_threads(1)
torch.nn.BatchNorm2d = torch.nn.Dropout = torch.nn.Identity
vars(odenet)["load"] = stub_program.load
run.train("stub.ode", {SETTINGS}, Options(devices=2, strategy="ddp"), out="two")
"""


def test_two_processes_train_as_one(stub_spec, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESS_SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    for layer in ("BatchNorm2d", "Dropout"):  # these differ between one process and two
        monkeypatch.setattr(torch.nn, layer, torch.nn.Identity)
    train(stub_spec, SETTINGS, out="one", console=Console(quiet=True))
    rows_alone, rows_together = (RunFolder(Path(out)).rows() for out in ("one", "two"))
    for alone, together in zip(rows_alone, rows_together, strict=True):
        for row in (alone, together):
            del row["seconds"], row["samples_per_second"]
        assert together == pytest.approx(alone, rel=1e-4)
