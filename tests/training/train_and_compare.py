"""Runs of the stub, and how they are compared."""

from pathlib import Path

import torch
from rich.console import Console

from odenet.training.run_folder.checkpoints import read_checkpoint
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import run

TIMES = ("seconds", "samples_per_second", "tokens_per_second")


def train(spec, out="run", **settings):
    return run.train(spec, settings, out=out, console=Console(quiet=True))


def weights(out, which="last"):
    return read_checkpoint(RunFolder(Path(out)).checkpoint(which))["state_dict"]


def rows(out):
    found = RunFolder(Path(out)).rows()
    return [{k: v for k, v in row.items() if k not in TIMES} for row in found]


def assert_same_run(out, expected):
    """Two runs are the same, bit for bit."""
    assert rows(out) == rows(expected)
    ours, theirs = weights(out), weights(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
