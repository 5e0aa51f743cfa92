"""Measurements in a process of their own: `python -m bench.child FILE`, a job in, results out.

A process per contender for memory and gradients, so that one that breaks takes nobody along; one
process per network for time, where the contenders take turns.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench.contender import Unable
from bench.contenders import CONTENDERS, plain
from bench.depth import measure_depth
from bench.instruments import Setting, Step
from bench.networks import NETWORKS, Size


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        kind: a key of KINDS.
        folder: for gradients in float64, which "truth" writes and "details" reads.
        network: a key of NETWORKS.
        sizes: of its input, and its depths.
        contenders: keys of CONTENDERS.
        repeats: turns that each takes, of which the time is noted.
        layers: how deep the networks of "depth" are.
    """

    kind: str
    folder: str
    network: str = ""
    sizes: tuple[Size, ...] = ()
    contenders: tuple[str, ...] = ()
    repeats: int = 0
    layers: tuple[int, ...] = ()

    @classmethod
    def read(cls, text: str) -> Job:
        """From what `write` gave."""
        fields = json.loads(text)
        return cls(**fields | {"sizes": tuple(Size(*size) for size in fields["sizes"])})

    def write(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    def truth(self, size: Size) -> Path:
        """The file of the gradients in float64."""
        return Path(self.folder) / f"{self.network}-{size.steps}.pt"


def step_of(name: str, job: Job, size: Size) -> Step:
    """A contender's training step, with the same weights for all."""
    network = NETWORKS[job.network]
    contender = CONTENDERS[name](network, network.build(size), size)
    return Step(contender, Setting.here(), network, size)


def take_turns(job: Job, size: Size) -> dict[str, list[float]]:
    """Seconds of each contender's steps; every round begins with another one."""
    steps = {name: step_of(name, job, size) for name in job.contenders}
    for step in steps.values():  # compilers, caches and page faults are no part of a step
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(job.repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(steps[name].seconds())
    return seconds


def examine(job: Job, size: Size) -> dict[str, float | None]:
    """What one contender's step takes apart from time."""
    (name,) = job.contenders
    step, compiled = step_of(name, job, size), "compiled" in name
    if compiled:  # what compiling allocates is no part of a step
        step()
    peak = step.peak()
    truth = torch.load(job.truth(size))
    error = (step.gradients() - truth).norm() / truth.norm()
    found = {"peak": peak, "error": float(error), "evaluations": None, "statistics": None}
    if size == min(job.sizes):  # the others are the same
        found["statistics"] = step.statistics()
        if not compiled:  # whose operations are called where nobody can count them
            each = size.steps * NETWORKS[job.network].evaluated
            found["evaluations"] = step.evaluations() / each
    return found


def write_truth(job: Job, size: Size) -> None:
    """The gradients in float64, by plain autograd on the CPU."""
    network = NETWORKS[job.network]
    contender = plain(network, network.build(size).double(), size)
    step = Step(contender, Setting("cpu"), network, size, torch.float64)
    step()
    torch.save(step.gradients(), job.truth(size))


KINDS = {"time": take_turns, "details": examine, "truth": write_truth}


def perform(job: Job) -> list | dict[str, str]:
    """A result per size or depth, or what the contender lacks."""
    if job.kind == "depth":
        return [asdict(measure_depth(count)) for count in job.layers]
    try:
        return [KINDS[job.kind](job, size) for size in job.sizes]
    except Unable as error:
        return {"missing": str(error)}
    except ImportError as error:
        return {"missing": f"not installed ({error.name})"}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(json.dumps(perform(Job.read(path.read_text()))))
