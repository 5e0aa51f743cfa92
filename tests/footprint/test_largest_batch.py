"""The largest batch that fits a memory limit, for several ways in which the peak grows with it."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from odenet.cli import app
from odenet.footprint.largest_batch import MAX_BATCH, MIN_BATCH, largest_batch

DIGITS = str(Path(__file__).parents[2] / "specs" / "digits.ode")
# How the peak grows with the number n of samples.
PEAK_SHAPES = {
    "a share for each sample": lambda n: n,
    "more for later samples": lambda n: n * n // 1000,
    "less for later samples": lambda n: 1000 * math.isqrt(n),
    "in blocks": lambda n: n - n % 8,
}


@given(
    shape=st.sampled_from(sorted(PEAK_SHAPES)),
    fixed=st.integers(0, 10**9),
    per_sample=st.integers(1, 10**6),
    limit=st.integers(1, 10**11),
)
def test_no_larger_batch_fits(shape, fixed, per_sample, limit):
    def peak(samples):
        asked_batches.append(samples)
        return fixed + per_sample * PEAK_SHAPES[shape](samples)

    asked_batches = []
    batch = largest_batch(peak, limit)
    calls = len(asked_batches)
    if batch is None:
        assert peak(MIN_BATCH) > limit
    else:
        assert peak(batch) <= limit and (batch == MAX_BATCH or peak(batch + 1) > limit)
    # Linear peaks need few predictions; others are found by bisection.
    assert calls <= (10 if shape == "a share for each sample" else 60)


@pytest.mark.parametrize("size", ["1MB", "1000000"])
def test_the_largest_batch_is_printed_for_every_mode(size, monkeypatch):
    per_sample = {"reversible": 1000, "stored": 10_000, "checkpoint": 600_000}
    monkeypatch.setattr(
        "odenet.footprint.step.predict",
        lambda program, batch, mode, device, in_backward: SimpleNamespace(
            peak=batch * per_sample[mode]
        ),
    )
    text = CliRunner().invoke(app, ["memory", DIGITS, "--fit", size]).output
    assert [line.split(maxsplit=1) for line in text.splitlines()[1:]] == [
        ["reversible", "1,000"], ["stored", "100"], ["checkpoint", "not even 2"],
    ]  # fmt: skip
    output = CliRunner().invoke(app, ["memory", DIGITS, "--fit", size, "--json"]).output
    assert json.loads(output)["batch"] == {"reversible": 1000, "stored": 100, "checkpoint": None}


@pytest.mark.parametrize("options", [["--fit", "many"], ["--fit", "1GB", "--batch", "3"]])
def test_options_that_fit_does_not_take_are_refused(options):
    assert CliRunner().invoke(app, ["memory", DIGITS, *options]).exit_code == 2
