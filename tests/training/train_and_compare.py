"""Short runs without output, what they leave in their folders, and whether two are the same."""

from pathlib import Path

import torch
from rich.console import Console

from odenet.training.run_folder.checkpoints import read_checkpoint
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import run

TIMING_COLUMNS = ("seconds", "samples_per_second", "tokens_per_second")


def train(spec, out="run", **settings):
    """Train a spec, with settings of its recipe, into the folder `out`; gives the result."""
    return run.train(spec, settings, out=out, console=Console(quiet=True))


def weights(out, which="last"):
    """The weights in a checkpoint of a run, "last" or "best", by their names."""
    return read_checkpoint(RunFolder(Path(out)).checkpoint(which))["state_dict"]


def metric_rows(out):
    """The rows of a run's metrics.csv, one for each epoch, without times and speeds."""
    rows = RunFolder(Path(out)).rows()
    return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in rows]


def assert_same_run(out, expected):
    """Fail unless two runs have the same metrics and last weights, bit for bit."""
    assert metric_rows(out) == metric_rows(expected)
    actual_weights, expected_weights = weights(out), weights(expected)
    assert actual_weights.keys() == expected_weights.keys()
    assert all(torch.equal(actual_weights[name], expected_weights[name]) for name in actual_weights)
