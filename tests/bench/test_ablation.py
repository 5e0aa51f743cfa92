"""bench/reproduce/ablation.py at a tiny size, and the results that it has recorded."""

import importlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import odenet

REPRODUCE = Path(__file__).parents[2] / "bench" / "reproduce"
SPECS = sorted((REPRODUCE / "specs" / "ablation").glob("*.ode"))
# Settings with which a training takes a second: grey pictures of 8 x 8, 4 channels, one step.
TINY = ("data=digits", "colours=1", "size=8", "w=4", "n=1", "repeat=1", "fraction=0.1")


@pytest.fixture
def ablation(monkeypatch):
    """The script, as a module; it sets the number of threads, which is restored afterwards."""
    monkeypatch.syspath_prepend(REPRODUCE)
    previous = torch.get_num_threads()
    yield importlib.import_module("ablation")
    torch.set_num_threads(previous)


def test_networks_that_are_compared_have_about_the_same_size():
    counts = [sum(p.numel() for p in odenet.load(s).network().parameters()) for s in SPECS]
    assert len(counts) == 10  # none of the specs was missed
    assert max(counts) < 1.15 * min(counts)


def test_a_second_call_trains_nothing_and_writes_the_same(ablation, tmp_path, monkeypatch):
    arguments = ["--only", "base", "ResNet", "--seeds", "2", "--results", str(tmp_path)]
    arguments += ["--work", str(tmp_path / "work"), *(f"--set={setting}" for setting in TINY)]
    cases = ablation.main(arguments)
    lines = (tmp_path / "ablation.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 1, 0, 1]
    accuracies = [json.loads(line)["accuracy"] for line in lines]
    mean = sum(accuracies[:2]) / 2
    text = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert f"| base | {cases['base'][0]['parameters']} | {100 * mean:.2f} ± " in text
    assert (tmp_path / "figures" / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    monkeypatch.setattr(ablation, "train", None)
    assert ablation.main(arguments) == cases
    assert (tmp_path / "RESULTS.md").read_text("utf-8") == text


def test_the_interval_has_95_percent_of_differences_and_outliers_hardly_change_it(ablation):
    generator = torch.Generator().manual_seed(0)
    accuracies = torch.randn(4000, 3, generator=generator)  # 4,000 equal cases, three seeds
    cases = {
        str(i): [{"accuracy": accuracy} for accuracy in of_case]
        for i, of_case in enumerate(accuracies.tolist())
    }
    half_width = ablation.half_width(cases)
    means = accuracies.mean(1)
    coverage = ((means[::2] - means[1::2]).abs() < half_width).float().mean()
    assert 0.93 < coverage < 0.97
    cases["0"] = [{"accuracy": outlier} for outlier in (-1e6, 0, 1e6)]
    assert ablation.half_width(cases) == pytest.approx(half_width, rel=1e-2)


def test_pictures_are_averaged(ablation, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        picture = Image.new("RGB", (32, 32), (200, 0, 0))
        picture.paste((0, 100, 0), (0, 0, 1, 32))  # the first column, which is halved with the next
        picture.save(tmp_path / split / "cat" / "1.png")
    folder = ablation.averaged_pictures(tmp_path, tmp_path / "small")
    small = Image.open(folder / "test" / "cat" / "1.ppm")
    assert small.size == (16, 16)
    assert small.getpixel((0, 5)) == (100, 50, 0) and small.getpixel((3, 5)) == (200, 0, 0)


def test_recorded_results_were_measured_with_the_current_specs(ablation):
    records = [
        json.loads(line) for line in (REPRODUCE / "ablation.jsonl").read_text("utf-8").splitlines()
    ]
    for record in records:
        case = ablation.CASES[record["case"]]
        assert case.identity(record["seed"]).items() <= record.items()
