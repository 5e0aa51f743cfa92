"""Networks of Chang et al. 2018 (AAAI), Table 1, trained for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from odenet.model.reading.presets import preset
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result

ROOT = Path(__file__).parents[1]
EPOCHS = 160  # of the paper
FEWEST = 4  # epochs in which the learning rate still falls twice
SHARE = 0.75  # of the time that goes to training batches, the rest to evaluation and the start
PROBE = 0.05  # of the samples, from which the speed is known
SHORTEST = 30  # seconds that a run is given even if there are fewer
MIB = 2**20

# The test accuracy that the paper gives for the preset, in percent, on CIFAR-10.
PAPER = {
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

Train = Callable[[Sequence[str], float], None]  # arguments of `odenet train`, and seconds at most


@dataclass(frozen=True)
class Trained:
    """A network after its training.

    Attributes:
        name: of the preset.
        epochs: done.
        fraction: of the training samples that each saw.
        result: its closing numbers.
    """

    name: str
    epochs: int
    fraction: float
    result: Result


def trained(
    name: str, data: str, settings: Sequence[str], folder: Path, seconds: float, train: Train
) -> Trained:
    """A network trained by the paper's recipe, its epochs and cuts compressed to fit.

    Args:
        name: a key of PAPER.
        data: as in `odenet train`.
        settings: NAME=VALUE, beside those of the preset.
        folder: of the runs.
        seconds: in all.
        train: runs `odenet train`.
    """
    began = time.monotonic()
    spec = ROOT / "specs" / f"{name.partition('-')[0]}.ode"
    values = [f"{key}={value}" for key, value in preset(spec, name).items()]
    values += settings

    def run(kind: str, epochs: int, fraction: float, limit: float) -> Result:
        cuts = [max(1, epochs // 2), max(2, 3 * epochs // 4)]
        own = [f"epochs={epochs}", f"fraction={fraction:.4g}"]
        own += [f"schedule=steps(at = {cuts}, factor = 0.1)"]
        place = RunFolder(folder / f"{name}-{kind}")
        sets = [f"--set={value}" for value in (*values, *own)]
        train([str(spec), "--data", data, "--out", str(place.path), *sets], limit)
        return Result.read(place.result)

    probe = run("probe", FEWEST, PROBE / FEWEST, seconds)
    samples = probe.samples_per_second * probe.seconds / PROBE  # of an epoch
    taken = time.monotonic() - began
    left, start = seconds - taken, taken - probe.seconds  # which the second run takes as well
    passes = max(0.0, SHARE * (left - start) * probe.samples_per_second / samples)
    epochs = min(EPOCHS, max(FEWEST, int(passes)))
    fraction = min(1.0, max(PROBE / FEWEST, passes / FEWEST))
    try:
        return Trained(name, epochs, fraction, run("run", epochs, fraction, max(left, SHORTEST)))
    except Exception:  # stopped, with some epochs done
        rows = RunFolder(folder / f"{name}-run").rows()
        if not rows:
            raise
        return Trained(name, len(rows), fraction, _so_far(probe, rows[-1]))


def _so_far(probe: Result, row: dict[str, float]) -> Result:
    """What is known of a run that was stopped, from its last row."""
    return replace(
        probe,
        accuracy=row["test_accuracy"],
        samples_per_second=row["samples_per_second"],
        memory=int(row["memory"] * MIB) if "memory" in row else None,
    )
