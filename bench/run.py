"""The whole comparison: jobs for worker processes, and their results in RESULTS.md and a plot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from bench.adapters import ADAPTERS, BASELINE
from bench.deep_hamiltonian import DeepStep
from bench.networks import NETWORKS, Size
from bench.results import Measurement, Results, write_results
from bench.worker import Job

# Freed memory stays with the process. By default glibc returns every large block to the kernel, and
# the page faults that follow are half of the noise.
KEEP_FREED_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776"


def run(
    depths: Sequence[int],
    repeats: int,
    batch: int | None,
    channels: int | None,
    side: int | None,
    layers: Sequence[int],
    only: Sequence[str],
    networks: Sequence[str],
    output: Path,
) -> None:
    """Measure everything and write it down.

    Args:
        depths: numbers of steps N; if empty, the default of each network.
        repeats: turns per implementation, that is, steps of it that are timed.
        batch: number of samples; if None, the default of each network, as for the next two.
        channels: number of channels of the input.
        side: height and width of pictures, or tokens of a sequence.
        layers: depths of the deep Hamiltonian networks, in layers; if empty, none is measured.
        only: implementations to compare with plain autograd; all if empty.
        networks: keys of NETWORKS to measure; all if empty.
        output: the folder for RESULTS.md and the plot.
    """
    console = Console()
    names = [name for name in ADAPTERS if not only or name in (BASELINE, *only)]
    measurements, shapes = [], {}
    with TemporaryDirectory() as folder:
        for network in (NETWORKS[name] for name in networks or NETWORKS):
            requested = zip((batch, channels, side), network.default_size, strict=True)
            input_size = [number or default for number, default in requested]
            sizes = tuple(Size(*input_size, steps) for steps in depths or network.default_depths)
            shapes[network.name] = "×".join(map(str, network.shape(sizes[0])))
            everything = Job("", folder, network.name, sizes, tuple(names), repeats)
            measurements += _compare(everything, console)
        deep = _run_worker(Job("depth", folder, layers=tuple(layers))) if layers else []
    if isinstance(deep, dict):
        raise RuntimeError(f"the deep networks: {deep['missing']}")
    output.mkdir(parents=True, exist_ok=True)
    deep_steps = [DeepStep(**fields) for fields in deep]
    write_results(Results(measurements, deep_steps, shapes, repeats), output)
    console.print(f"wrote {output / 'RESULTS.md'}")


def _compare(job: Job, console: Console) -> list[Measurement]:
    """Measure all implementations of one network, and print a line for each.

    Args:
        job: the network with all sizes and implementations; its kind does not matter.
        console: where the lines are printed.
    """
    _run_worker(replace(job, kind="reference"))
    details = {}
    for name in job.implementations:
        details[name] = _run_worker(replace(job, kind="details", implementations=(name,)))
    running = tuple(name for name, detail in details.items() if isinstance(detail, list))
    seconds = _run_worker(replace(job, kind="time", implementations=running))
    if isinstance(seconds, dict):
        raise RuntimeError(f"the turns of {job.network}: {seconds['missing']}")
    measurements = []
    for size, times in zip(job.sizes, seconds, strict=True):
        of_size = []
        for name, detail in details.items():
            fields = detail if isinstance(detail, dict) else detail[job.sizes.index(size)]
            of_size.append(
                Measurement(job.network, size.steps, name, times.get(name, []), **fields)
            )
            line = of_size[-1].summary(of_size[0])
            console.print(f"{job.network}, N = {size.steps}: {line}", soft_wrap=True)
        measurements += of_size
    return measurements


def _run_worker(job: Job) -> list | dict[str, str]:
    """The results of a job from a worker process; or, under "missing", why there are none."""
    path = Path(job.folder) / "job.json"
    path.write_text(job.to_json())
    python_path = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": f"{root}{os.pathsep}{python_path}" if python_path else root,
        "KINETO_LOG_LEVEL": "99",  # torch's profiler logs nothing
    }
    if job.kind == "time":
        environment["GLIBC_TUNABLES"] = KEEP_FREED_MEMORY
    command = [sys.executable, "-m", "bench.worker", str(path)]
    worker = subprocess.run(command, env=environment, capture_output=True, text=True)
    if worker.returncode:
        lines = worker.stderr.strip().splitlines() or [f"exit code {worker.returncode}"]
        return {"missing": f"failed: {lines[-1]}"}
    return json.loads(path.read_text())
