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

from odenet.cli import training, using
from odenet.diagnostics import SpecError
from odenet.training import comparison
from odenet.training.records import RunFolder
from odenet.training.run import train
from odenet.training.task import Task

APP = typer.Typer()
APP.command("train")(training.train)
APP.command("eval")(training.evaluate)
APP.command("predict")(using.predict)
APP.command("export")(using.export)
APP.command("compare")(training.compare)
APP.command("study")(training.study)


def odenet(*arguments, code=0):
    """Run a command; its output. Errors about the user's input come out as SpecError."""
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    if isinstance(result.exception, SpecError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_training_prints_lines_and_a_closing_table(stub_spec):
    output = odenet("train", stub_spec, "--epochs", 2)
    header, *lines = output.splitlines()
    assert header == "stub" and "1 flow" in lines[0] and "data digits" in lines[0]
    assert [line[:9] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert re.search(r"test accuracy +\d+\.\d\d% after epoch 2", output)
    assert re.search(r"run +runs/stub-1", output)
    assert "odenet predict runs/stub-1" in output
    assert len(lines) <= 12


def test_every_shortcut_sets_its_key_of_the_recipe(stub_spec):
    odenet(
        "train", stub_spec, "--epochs", 1, "--fraction", 0.1, "--seed", 3, "--precision",
        "float64", "--set", "batch=16", "--data", "digits", "--memory", "stored", "--out", "run",
    )  # fmt: skip
    record = RunFolder(Path("run")).read_record()
    assert record.settings == {
        "batch": "16", "epochs": "1", "fraction": "0.1", "seed": "3", "precision": "float64",
        "data": "digits",
    }  # fmt: skip
    assert record.options.memory == "stored"
    assert RunFolder(Path("run")).rows()[0]["step"] == 8


def test_a_stopped_run_says_how_to_go_on(stub_spec, monkeypatch):
    taken = Task.training_step

    def training_step(task, batch, index):
        if task.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return taken(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        output = odenet("train", stub_spec, code=128 + signal.SIGTERM)
    assert output.endswith("stopped; go on with: odenet train --resume runs/stub-1\n")
    assert "after epoch 3" in odenet("train", stub_spec, "--resume", "runs/stub-1")


def test_a_run_is_not_resumed_with_another_spec(stub_spec):
    odenet("train", stub_spec, "--epochs", 1, "--out", "run")
    stub_spec.write_text(stub_spec.read_text().replace("0.5", "0.25"))
    with pytest.raises(SpecError, match="is not what the run began with"):
        odenet("train", stub_spec, "--resume", "run")


def test_eval_measures_in_words_or_json(stub_spec):
    odenet("train", stub_spec, "--epochs", 1, "--out", "run")
    assert re.fullmatch(
        r"digits: accuracy [\d.]+%, top-5 accuracy [\d.]+%, loss [\d.]+\n", odenet("eval", "run")
    )
    scores = json.loads(odenet("eval", "run", "--json", "--last"))
    assert scores["data"] == "digits" and 0 <= scores["accuracy"] <= 1


def test_a_loss_that_is_not_finite_is_null_in_json(stub_spec, monkeypatch):
    odenet("train", stub_spec, "--epochs", 1, "--out", "run")
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda x, *_, **__: x.sum() * torch.nan
    )
    scores = json.loads(odenet("eval", "run", "--json"), parse_constant=pytest.fail)
    assert scores["loss"] is None


def test_runs_are_compared_in_a_table_and_a_picture(stub_spec):
    for out in ("first", "second"):
        odenet("train", stub_spec, "--epochs", 1, "--out", out)
    output = odenet("compare", "first", "second", "-o", "both.png")
    assert "first" in output and "second" in output
    assert Path("both.png").read_bytes()[:4] == b"\x89PNG"
    assert len(json.loads(odenet("compare", "first", "second", "--json"))) == 2


def test_runs_are_called_by_where_they_lie_now(stub_spec):
    odenet("train", stub_spec, "--epochs", 1, "--out", "a/run")
    shutil.copytree("a", "b")
    results = json.loads(odenet("compare", "a/run", "b/run", "--json"))
    assert [result["folder"] for result in results] == ["a/run", "b/run"]


def test_runs_of_one_name_have_a_curve_each(stub_spec, monkeypatch):
    odenet("train", stub_spec, "--epochs", 1, "--out", "a/run")
    shutil.copytree("a", "b")
    drawn = {}
    monkeypatch.setattr(comparison, "draw_curves", lambda rows, path: drawn.update(rows))
    odenet("compare", "a/run", "b/run", "-o", "both.png")
    assert list(drawn) == ["a/run", "b/run"]


@pytest.mark.parametrize(
    ("runs", "places"),
    [
        (["x/r-1", "x/r-2"], ["r-1", "r-2"]),
        (["x/r", "y/r"], ["x/r", "y/r"]),
        (["x/r", "y/r/../../x/r"], ["r", "r"]),
        (["/x/r", "r", "/"], None),
        ([".", ".."], None),
    ],
)
def test_the_pictures_of_a_study_never_take_the_place_of_anothers(runs, places):
    found = comparison.places_of([Path(run) for run in runs])
    assert places is None or [str(place) for place in found] == places
    assert not any(place.is_absolute() or ".." in place.parts for place in found)
    assert len(set(found)) == len({os.path.realpath(run) for run in runs})


def test_an_unfinished_run_is_not_compared(stub_spec):
    odenet("train", stub_spec, "--epochs", 1, "--out", "run")
    RunFolder(Path("run")).result.unlink()
    with pytest.raises(SpecError, match="run is not finished"):
        odenet("compare", "run")


def test_errors_print_as_diagnostics(stub_spec):
    with pytest.raises(SpecError) as caught:
        odenet("train", stub_spec, "--data", "cifar10", "--data-root", "nowhere")
    assert str(caught.value).splitlines()[0] == "error[unreadable-data]: cifar10 is not in nowhere"
    assert "--download --data-root nowhere" in str(caught.value)


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
    odenet(*arguments, code=2)


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5 * 10**8), ("2GiB", 2**31), ("1.5k", 1500), ("64", 64)]
)
def test_memory_is_a_size_in_the_usual_units(text, size):
    assert training._memory(text) == size


SETTINGS = {"levels": "[1]", "ema": "0.9", "epochs": "2", "optimizer": "sgd(0.1)"}

TWO_PROCESSES = f"""
import odenet
import torch
from odenet.training import run
from odenet.training.records import Options
from tests.training import stub

torch.set_num_threads(1)
torch.nn.BatchNorm2d = torch.nn.Dropout = torch.nn.Identity
vars(odenet)["load"] = stub.load
run.train("stub.ode", {SETTINGS}, Options(devices=2, strategy="ddp"), out="two")
"""


def test_two_processes_train_as_one(stub_spec, tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for layer in ("BatchNorm2d", "Dropout"):  # these differ between one process and two
        monkeypatch.setattr(torch.nn, layer, torch.nn.Identity)
    train(stub_spec, SETTINGS, out="one", console=Console(quiet=True))
    one, two = (RunFolder(Path(out)).rows() for out in ("one", "two"))
    for alone, together in zip(one, two, strict=True):
        for row in (alone, together):
            del row["seconds"], row["samples_per_second"]
        assert together == pytest.approx(alone, rel=1e-4)
