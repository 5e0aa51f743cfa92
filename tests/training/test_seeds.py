"""`--seeds`: several trainings of one recipe, and the confidence interval of their results."""

import re
from pathlib import Path

import pytest

from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.seeds import confidence_interval

from .test_commands import run_command

SPEC = Path(__file__).parents[2] / "specs" / "digits.ode"
SHORT_RUN = ["--epochs", 1, "--fraction", 0.1, "--set", "n=2", "--set", "batch=16"]


def test_the_interval_is_that_of_students_t():
    # Student 1908, the differences of Table I: n = 10, mean 1.58, s = 1.230 (divisor n - 1)
    differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    mean, half_width = confidence_interval(differences)
    assert mean == pytest.approx(1.58)
    expected = 2.262 * 1.230 / 10**0.5  # the tabulated t of 9 degrees of freedom
    assert half_width == pytest.approx(expected, rel=1e-3)


def test_seeds_trains_one_run_for_each_seed_and_prints_their_mean(tmp_path):
    output = run_command(
        "train", SPEC, *SHORT_RUN, "--seed", 3, "--seeds", 2, "--out", tmp_path / "runs"
    )
    assert "interval of the mean of 2 seeds" in output
    assert "a step on 16 samples needs" in output.split("epoch 1/1")[0]
    assert "  parameters  " in output and not re.search(r" $", output, re.MULTILINE)
    names = {folder.name for folder in (tmp_path / "runs").iterdir()}
    assert names == {"seed-3", "seed-4"}
    results = {RunFolder(tmp_path / "runs" / name).result.read_text() for name in names}
    assert len(results) == 2


def test_seeds_is_refused_when_a_run_is_resumed(tmp_path):
    output = run_command("train", "--resume", tmp_path, "--seeds", 2, exit_code=2)
    assert "starts new runs on one device" in output
