"""The largest batch that fits: found for peaks of several shapes, and printed for every memory mode."""

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
SHAPES = {
    "a share for each sample": lambda n: n,
    "more for later samples": lambda n: n * n // 1000,
    "less for later samples": lambda n: 1000 * math.isqrt(n),
    "in blocks": lambda n: n - n % 8,
}


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    fixed=st.integers(0, 10**9),
    each=st.integers(1, 10**6),
    limit=st.integers(1, 10**11),
)
def test_no_larger_batch_fits(shape, fixed, each, limit):
    def peak(samples):
        asked.append(samples)
        return fixed + each * SHAPES[shape](samples)

    asked = []
    found = largest_batch(peak, limit)
    calls = len(asked)
    if found is None:
        assert peak(MIN_BATCH) > limit
    else:
        assert peak(found) <= limit and (found == MAX_BATCH or peak(found + 1) > limit)
    assert calls <= (10 if shape == "a share for each sample" else 60)


@pytest.mark.parametrize("size", ["1MB", "1000000"])
def test_every_mode_has_its_line(size, monkeypatch):
    each = {"reversible": 1000, "stored": 10_000, "checkpoint": 600_000}
    monkeypatch.setattr(
        "odenet.footprint.step.predict",
        lambda program, batch, mode, device, early: SimpleNamespace(peak=batch * each[mode]),
    )
    text = CliRunner().invoke(app, ["memory", DIGITS, "--fit", size]).output
    assert [line.split(maxsplit=1) for line in text.splitlines()[1:]] == [
        ["reversible", "1,000"], ["stored", "100"], ["checkpoint", "not even 2"],
    ]  # fmt: skip
    found = CliRunner().invoke(app, ["memory", DIGITS, "--fit", size, "--json"]).output
    assert json.loads(found)["batch"] == {"reversible": 1000, "stored": 100, "checkpoint": None}


@pytest.mark.parametrize("more", [["--fit", "many"], ["--fit", "1GB", "--batch", "3"]])
def test_what_fit_takes_is_said(more):
    assert CliRunner().invoke(app, ["memory", DIGITS, *more]).exit_code == 2
