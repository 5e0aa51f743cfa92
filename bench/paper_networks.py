"""Training networks of Chang et al. 2018 (AAAI), Table 1, within a given time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from odenet.model.reading.presets import preset
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result

ROOT = Path(__file__).parents[1]
PAPER_EPOCHS = 160
MIN_EPOCHS = 4  # the fewest in which the learning rate is still cut twice
TRAINING_SHARE = 0.75  # the share of training batches in the time of a run
PROBE_SHARE = 0.05  # the share of the samples that a first run takes to measure the speed
MIN_SECONDS = 30  # time limit of a run when less time is left
MIB = 2**20

# The test accuracy on CIFAR-10 in the paper, in percent, by the preset of the network.
PAPER_ACCURACY = {
    "resnet-32": 92.86,
    "revnet-38": 92.76,
    "hamiltonian-74": 92.76,
    "midpoint-26": 91.16,
    "leapfrog-26": 91.92,
    "resnet-110": 94.26,
    "revnet-110": 94.24,
    "hamiltonian-218": 94.02,
    "midpoint-62": 92.76,
    "leapfrog-62": 93.40,
    "hamiltonian-1202": 93.84,
}

Train = Callable[[Sequence[str], float], None]  # takes arguments of `odenet train` and a time limit


@dataclass(frozen=True)
class TrainedNetwork:
    """A network after its training.

    Attributes:
        name: the name of its preset.
        epochs: number of completed epochs.
        fraction: the share of the training samples that an epoch passes over.
        result: the result of the run.
    """

    name: str
    epochs: int
    fraction: float
    result: Result


def train_within(
    name: str, data: str, settings: Sequence[str], folder: Path, seconds: float, train: Train
) -> TrainedNetwork:
    """Train by the paper's recipe, with as many epochs, or so large a share of one, as time allows.

    Args:
        name: a key of PAPER_ACCURACY.
        data: what `odenet train --data` takes.
        settings: NAME=VALUE, in addition to those of the preset.
        folder: where the runs are written.
        seconds: time limit for everything.
        train: runs `odenet train`.
    """
    start = time.monotonic()
    spec = ROOT / "specs" / f"{name.partition('-')[0]}.ode"
    values = [f"{key}={value}" for key, value in preset(spec, name).items()]
    values += settings

    def run(label: str, epochs: int, fraction: float, limit: float) -> Result:
        """Trains in the folder of a label, for `limit` seconds at most."""
        cuts = [max(1, epochs // 2), max(2, 3 * epochs // 4)]  # of the learning rate, by epoch
        recipe = [f"epochs={epochs}", f"fraction={fraction:.4g}"]
        recipe += [f"schedule=steps(at = {cuts}, factor = 0.1)"]
        run_folder = RunFolder(folder / f"{name}-{label}")
        options = [f"--set={value}" for value in (*values, *recipe)]
        train([str(spec), "--data", data, "--out", str(run_folder.path), *options], limit)
        return Result.read(run_folder.result)

    probe = run("probe", MIN_EPOCHS, PROBE_SHARE / MIN_EPOCHS, seconds)
    all_samples = probe.samples_per_second * probe.seconds / PROBE_SHARE
    elapsed = time.monotonic() - start
    remaining, startup = seconds - elapsed, elapsed - probe.seconds
    training_time = TRAINING_SHARE * (remaining - startup)
    passes = max(0.0, training_time * probe.samples_per_second / all_samples)  # over all samples
    epochs = min(PAPER_EPOCHS, max(MIN_EPOCHS, int(passes)))
    fraction = min(1.0, max(PROBE_SHARE / MIN_EPOCHS, passes / MIN_EPOCHS))
    try:
        result = run("run", epochs, fraction, max(remaining, MIN_SECONDS))
        return TrainedNetwork(name, epochs, fraction, result)
    except Exception:  # stopped at its limit; what it has completed counts
        rows = RunFolder(folder / f"{name}-run").rows()
        if not rows:
            raise
        return TrainedNetwork(name, len(rows), fraction, _interrupted_result(probe, rows[-1]))


def _interrupted_result(probe: Result, row: dict[str, float]) -> Result:
    """The result of a run that was stopped.

    Its accuracy, speed and memory are those of its last row, the rest is that of the probe.
    """
    return replace(
        probe,
        accuracy=row["test_accuracy"],
        samples_per_second=row["samples_per_second"],
        memory=int(row["memory"] * MIB) if "memory" in row else None,
    )
