"""The scripts of bench/reproduce at a tiny size, in this process, on the digits."""

import importlib
from pathlib import Path

import pytest
import torch

import odenet
from odenet.cli import app

pytestmark = pytest.mark.slow

REPRODUCE = Path(__file__).parents[2] / "bench" / "reproduce"
QUICK_RUN = ["--data", "digits", "--jobs", "1", "--quick"]
# Settings with which a training takes a second: grey pictures of 8 x 8, 4 channels. SHALLOW has
# those of steps and epochs, for which multilevel.py takes options.
SMALL = ("colours=1", "size=8", "w=4", "fraction=0.05", "augment=[]")
TINY = [f"--set={setting}" for setting in SMALL]
SHALLOW = [*TINY, "--set=n=2", "--set=epochs=1", "--set=repeat=1"]


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Runs a script's main; its results go to a folder of the test."""
    monkeypatch.syspath_prepend(REPRODUCE)
    runs = importlib.import_module("runs")

    def train_in_process(arguments, threads):
        app(["train", *arguments], standalone_mode=False)

    monkeypatch.setattr(runs, "_odenet_train", train_in_process)
    previous = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(name, *arguments):
        monkeypatch.setattr("sys.argv", [f"{name}.py"])
        folders = ["--runs", str(tmp_path / "runs" / name), "--results", str(tmp_path)]
        return importlib.import_module(name).main([*QUICK_RUN, *folders, *map(str, arguments)])

    run.results = tmp_path / "RESULTS.md"
    run.figures = tmp_path / "figures"
    yield run
    torch.set_num_threads(previous)


def test_the_six_systems_have_about_the_same_size():
    counts = {
        spec.stem: sum(p.numel() for p in odenet.load(spec).network().parameters())
        for spec in (REPRODUCE / "specs").glob("*.ode")
    }
    assert set(counts) == {"resnet", "revnet", "hamiltonian", "midpoint", "leapfrog", "momentum"}
    assert max(counts.values()) < 1.15 * min(counts.values())


def test_systems_are_compared_and_a_second_call_trains_nothing(script, monkeypatch):
    two_systems = {"resnet": "ResNet", "midpoint": "MidPoint"}
    monkeypatch.setattr(importlib.import_module("fashion"), "SYSTEMS", two_systems)
    outcomes = script("fashion", "--seeds", 1, *SHALLOW)
    text = script.results.read_text("utf-8")
    assert "## Six systems on Fashion-MNIST (quick version)" in text
    assert f"| MidPoint | {outcomes['midpoint'][0].result.parameters:,} |" in text
    assert (script.figures / "fashion-quick.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setattr("runs._odenet_train", None)
    assert script("fashion", "--seeds", 1, *SHALLOW) == outcomes
    assert script.results.read_text("utf-8") == text
    with pytest.raises(SystemExit, match="is another run"):
        script("fashion", "--seeds", 1, *SHALLOW, "--set=n=3")
    with pytest.raises(SystemExit, match="is another run"):
        script("fashion", "--seeds", 1, *SHALLOW, "--data", "cifar10")


def test_the_networks_for_little_data_are_those_of_the_paper():
    for spec in (REPRODUCE / "specs" / "little_data").glob("*.ode"):
        layers = odenet.load(spec).model.net
        counts = [int(layer.shape_out.channels.constant) for layer in layers]
        assert sorted(set(counts)) == [10, 16, 64, 128, 256]
        blocks = [(layer.name, layer.arguments["N"]) for layer in layers if "N" in layer.arguments]
        assert blocks == [("flow", 4), *[("unit", 4)] * 3]


def test_shares_of_the_data_are_compared(script, monkeypatch):
    little_data = importlib.import_module("little_data")
    monkeypatch.setattr(little_data, "SHARES", (0.2, 0.05))  # --quick takes every second share
    monkeypatch.setattr(little_data, "EPOCHS", 1)
    outcomes = script("little_data", *SHALLOW, "--set=batch=16")
    assert {share for _, share in outcomes} == {0.2}
    text = script.results.read_text("utf-8")
    assert "| 20 % | 10,000 |" in text


def test_multi_level_training_is_compared_with_its_first_and_last_network(script, monkeypatch):
    multilevel = importlib.import_module("multilevel")
    monkeypatch.setattr(multilevel, "STEPS", 8)
    monkeypatch.setattr(multilevel, "INTERPOLATIONS", {"first network": 0, "last network": 0,
                                                  "2 interpolations": 2})  # fmt: skip
    outcomes_by_network = script("multilevel", *TINY, "--networks", "resnet", "--epochs", 3)
    first, last, interpolated = (outcomes[0].result for outcomes in outcomes_by_network.values())
    assert first.parameters < last.parameters == interpolated.parameters
    text = script.results.read_text("utf-8")
    assert "| 2 interpolations | 2-2 to 8-8 |" in text and "| 42% |" in text


def test_interpolations_save_the_shares_of_time_that_the_paper_has(script):
    multilevel = importlib.import_module("multilevel")
    # a step of training takes a time that is proportional to the steps of a unit
    times = {steps: float(steps) for steps in (2, 4, 8, 16)}
    shares = [
        multilevel.share_of_time(training, epochs=12, step_times=times)
        for training in multilevel.INTERPOLATIONS
    ]
    assert [f"{1 - share:.0%}" for share in shares] == ["75%", "0%", "25%", "42%", "53%"]


def test_a_part_of_the_results_replaces_only_one_of_the_same_title(script, tmp_path):
    runs = importlib.import_module("runs")
    arguments = runs.argument_parser("", data="digits", seed_count=1).parse_args(
        ["--results", str(tmp_path)]
    )
    for title, text in [("B", "first"), ("A", "other"), ("B", "second")]:
        runs.write_part(arguments, title, text, runs.new_figure(), {})
    lines = script.results.read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## A", "## B"]
    assert "second" in lines and "first" not in lines
