"""`--sweep`: a grid of settings, each point of which is a run.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

import csv
import json
import os
import re
import signal
from pathlib import Path

import pytest

from odenet.diagnostics import SpecError
from odenet.training.errors import TrainingError
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.sweeps import sweep_workers, sweeps

from .test_commands import run_command
from .train_and_compare import assert_same_run

GRID = "batch=32,64 lr=1e-3,1e-2"
TWO_RATES = "lr=1e-3,1e-2"
SHORT_RUN = ["--epochs", 1, "--fraction", 0.1, "--out", "sw"]


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("h=0.05,0.1  lr=1e-3", {"h": ["0.05", "0.1"], "lr": ["1e-3"]}),
        (
            "optimizer=sgd(0.1, momentum = 0),adamw",
            {"optimizer": ["sgd(0.1, momentum = 0)", "adamw"]},
        ),
        ("levels=[1, 2],[]", {"levels": ["[1, 2]", "[]"]}),
        ('data=folder("a b"),digits', {"data": ['folder("a b")', "digits"]}),
    ],
)
def test_a_grid_is_read_as_names_with_values(text, axes):
    assert sweeps.read_axes(text) == axes


@pytest.mark.parametrize(
    "text", ["", "h", "h=", "=1", "h=1 h=2", "h = 1", "n=" + ",".join(map(str, range(2000)))]
)  # the last has too many points
def test_texts_that_are_not_a_grid_are_refused(text):
    with pytest.raises(TrainingError, match="--sweep"):
        sweeps.read_axes(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h=0.1,0.1", "h is 0.1 twice"),
        ("h=0.1,,0.2", "a value is missing in h=0.1,,0.2"),
        ("lr=1 h=0.1,", "a value is missing in h=0.1,"),
        ("h=,0.1", "a value is missing in h=,0.1"),
    ],
)
def test_no_value_of_a_grid_is_dropped(text, message):
    with pytest.raises(TrainingError, match=f"--sweep: {message}"):
        sweeps.read_axes(text)


@pytest.mark.parametrize("name", ["h", "batch", "optimizer.lr", "nonsense"])
def test_a_wrong_value_is_reported_at_the_option_that_it_came_from(stub_spec, name):
    for axes, settings, source in (({name: ["-3"]}, {"seed": "4"}, "--sweep"),
                                   ({"seed": ["4"]}, {name: "-3"}, "--set")):  # fmt: skip
        with pytest.raises(SpecError) as error:
            sweeps.new_sweep(stub_spec, axes, settings, Options(), "sw")
        (diagnostic,) = error.value.diagnostics
        assert diagnostic.span.source.name == source and "--set" not in diagnostic.help
    assert not Path("sw").exists()


def test_every_point_is_a_run_and_has_a_row_in_the_results(stub_spec):
    output = run_command("train", stub_spec, "--sweep", GRID, *SHORT_RUN)
    header = output.split("point 1 of 4")[0]
    assert header.startswith("sweep sw, 4 points; the first:\nstub\n  data digits")
    assert re.search(r"^next  odenet report sw/\S+  # the best of them$", output, re.MULTILINE)
    points = [line for line in output.splitlines() if line.startswith("point ")]
    assert points[1] == "point 2 of 4: batch = 32, lr = 1e-2" and len(points) == 4
    assert re.search(r"^ +32 +1e-2 +\d+\.\d\d% +\d+\.\d\d% +1 +\d+\.\d", output, re.MULTILINE)
    rows = list(csv.DictReader(Path("sw/results.csv").read_text().splitlines()))
    assert [row["lr"] for row in rows] == ["1e-3", "1e-2"] * 2
    assert [row["outcome"] for row in json.loads(Path("sw/results.json").read_text())] == [
        "finished"
    ] * 4
    for row in rows:
        run = RunFolder(Path("sw") / row["run"])
        settings = run.read_record().settings
        assert (settings["batch"], settings["lr"]) == (row["batch"], row["lr"])
        assert float(row["last"]) == run.rows()[-1]["test_accuracy"]
    assert Path("sw/sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sweep_is_resumed_where_it_was_stopped_and_trains_no_point_twice(stub_spec, monkeypatch):
    other_folder = [*SHORT_RUN[:-1], "uninterrupted"]
    run_command("train", stub_spec, "--sweep", TWO_RATES, *other_folder)
    original, steps = Task.training_step, []

    def training_step(task, batch, index):
        steps.append(index)
        if len(steps) == 3:  # in the second point: each takes two steps
            os.kill(os.getpid(), signal.SIGTERM)
        return original(task, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "training_step", training_step)
        output = run_command(
            "train", stub_spec, "--sweep", TWO_RATES, *SHORT_RUN, exit_code=128 + signal.SIGTERM
        )
    assert output.endswith("stopped; go on with: odenet train --resume sw\n")
    output = run_command("train", "--resume", "sw")
    assert "point 1 of 2" not in output and "point 2 of 2" in output
    for expected_run in sorted(Path("uninterrupted").glob("[12]-*")):
        assert_same_run(Path("sw") / expected_run.name, expected_run)
    monkeypatch.setattr(sweeps, "train", None)  # would fail if a point were trained again
    assert "point" not in run_command("train", "--resume", "sw")


def test_a_point_that_diverges_does_not_end_the_sweep(stub_spec):
    output = run_command("train", stub_spec, "--sweep", "lr=1e30,1e-3", *SHORT_RUN)
    assert re.search(r"1e30 +diverged", output) and re.search(r"1e-3 +\d+\.\d\d%", output)
    assert "point" not in run_command("train", "--resume", "sw")


def test_a_grid_with_an_invalid_point_trains_none_of_them(stub_spec):
    with pytest.raises(SpecError, match="lr in adamw is the learning rate: above 0"):
        run_command("train", stub_spec, "--sweep", "lr=1e-3,-1", *SHORT_RUN)
    with pytest.raises(TrainingError, match="lr is swept, and set too"):
        run_command("train", stub_spec, "--sweep", "lr=1e-3", "--set", "lr=1", *SHORT_RUN)
    assert not Path("sw").exists()


def test_a_sweep_is_not_continued_with_another_spec_or_grid(stub_spec):
    run_command("train", stub_spec, "--sweep", "lr=1e-3", *SHORT_RUN)
    with pytest.raises(TrainingError, match="holds another sweep"):
        run_command("train", stub_spec, "--sweep", "lr=1e-2", *SHORT_RUN)
    stub_spec.write_text(stub_spec.read_text().replace("0.5", "0.25"))
    with pytest.raises(TrainingError, match="was changed since the sweep began"):
        run_command("train", "--resume", "sw")


def test_several_points_at_a_time_have_a_device_each(stub_spec, monkeypatch):
    starts = []

    class FinishedProcess:
        returncode = 0

        def poll(self):
            return 0

    def start(folder, number, device, log):
        starts.append((number, device))
        return FinishedProcess()

    monkeypatch.setattr(sweep_workers, "_start_process", start)
    monkeypatch.setattr(sweep_workers.torch.cuda, "device_count", lambda: 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    monkeypatch.setattr(sweep_workers, "POLL_INTERVAL", 0)
    run_command("train", stub_spec, "--sweep", GRID, *SHORT_RUN, "--devices", 2)
    assert sorted(number for number, _ in starts) == [0, 1, 2, 3]
    assert [device for _, device in starts[:2]] == ["4", "6"]
    assert {device for _, device in starts} == {"4", "6"}
    with pytest.raises(TrainingError, match="this machine has 3 GPUs"):
        run_command("train", "--resume", "sw", "--devices", 4)
