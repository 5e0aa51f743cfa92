"""The process that measures: `python -m bench.worker FILE` replaces a job by its results.

Memory and gradients are measured with one process per implementation, so that one that crashes does
not affect the others; time is measured with one process per network, in which the implementations
take turns.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from bench.adapters import ADAPTERS, plain
from bench.deep_hamiltonian import measure_deep_step
from bench.implementation import NotExpressible
from bench.measured_step import ExecutionMode, MeasuredStep
from bench.networks import NETWORKS, Size


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        kind: "depth" or a key of TASKS.
        folder: where "reference" writes the gradients in float64, and "details" reads them.
        network: a key of NETWORKS.
        sizes: sizes of its input, with numbers of steps.
        implementations: keys of ADAPTERS.
        repeats: how many steps of each implementation are timed.
        layers: depths of the networks that "depth" measures.
    """

    kind: str
    folder: str
    network: str = ""
    sizes: tuple[Size, ...] = ()
    implementations: tuple[str, ...] = ()
    repeats: int = 0
    layers: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job that `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"sizes": tuple(Size(*size) for size in fields["sizes"])})

    def to_json(self) -> str:
        """The job as JSON."""
        return json.dumps(asdict(self))

    def reference_file(self, size: Size) -> Path:
        """The file of the gradients in float64."""
        return Path(self.folder) / f"{self.network}-{size.steps}.pt"


def build_step(name: str, job: Job, size: Size) -> MeasuredStep:
    """The training step of an implementation; all have the same weights."""
    network = NETWORKS[job.network]
    implementation = ADAPTERS[name](network, network.build(size), size)
    return MeasuredStep(implementation, ExecutionMode.of_this_machine(), network, size)


def measure_time(job: Job, size: Size) -> dict[str, list[float]]:
    """The seconds of each implementation's steps; in each turn another implementation is first."""
    steps = {name: build_step(name, job, size) for name in job.implementations}
    for step in steps.values():  # warm up: compilers, caches and page faults
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for turn in range(job.repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(steps[name].seconds())
    return seconds


def measure_details(job: Job, size: Size) -> dict[str, float | None]:
    """Peak, gradient error and operation counts of the job's one implementation."""
    (name,) = job.implementations
    step, compiled = build_step(name, job, size), "compiled" in name
    if compiled:  # what compiling allocates does not count
        step()
    peak = step.peak()
    reference = torch.load(job.reference_file(size))
    error = (step.gradients() - reference).norm() / reference.norm()
    details = {
        "peak": peak, "error": float(error), "evaluations": None, "batch_norm_updates": None
    }  # fmt: skip
    if size == min(job.sizes):  # the counts that follow are the same at the other sizes
        details["batch_norm_updates"] = step.batch_norm_updates()
        if not compiled:  # compiled code calls operations that cannot be counted
            per_evaluation = size.steps * NETWORKS[job.network].operations_per_step
            details["evaluations"] = step.operations() / per_evaluation
    return details


def write_reference(job: Job, size: Size) -> None:
    """Writes the gradients in float64, by plain autograd on the CPU."""
    network = NETWORKS[job.network]
    implementation = plain(network, network.build(size).double(), size)
    step = MeasuredStep(implementation, ExecutionMode("cpu"), network, size, torch.float64)
    step()
    torch.save(step.gradients(), job.reference_file(size))


TASKS = {"time": measure_time, "details": measure_details, "reference": write_reference}


def perform(job: Job) -> list | dict[str, str]:
    """A result for each size or depth; or, under "missing", why there is none."""
    if job.kind == "depth":
        return [asdict(measure_deep_step(layers)) for layers in job.layers]
    try:
        return [TASKS[job.kind](job, size) for size in job.sizes]
    except NotExpressible as error:
        return {"missing": str(error)}
    except ImportError as error:
        return {"missing": f"not installed ({error.name})"}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(json.dumps(perform(Job.from_json(path.read_text()))))
