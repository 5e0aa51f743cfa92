"""The whole comparison: jobs to child processes, their results to bench/RESULTS.md and a plot."""

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

from bench.child import Job
from bench.contenders import BASELINE, CONTENDERS
from bench.depth import Deep
from bench.networks import NETWORKS, Size
from bench.results import Finding, Results, write_results

# Freed memory stays with the process. Otherwise glibc gives every large block back to the kernel
# and page faults are half of the noise.
KEEP = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1099511627776"


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
        depths: numbers of steps N; none for those of each network at full size, as for all sizes.
        repeats: turns per contender.
        batch: samples.
        channels: of the input.
        side: height and width, or tokens.
        layers: depths of the last table, in layers.
        only: contenders besides plain autograd; all when empty.
        networks: to measure; all when empty.
        output: the folder for RESULTS.md and the plot.
    """
    console = Console()
    names = [name for name in CONTENDERS if not only or name in (BASELINE, *only)]
    found, shapes = [], {}
    with TemporaryDirectory() as folder:
        for network in (NETWORKS[name] for name in networks or NETWORKS):
            given = (batch, channels, side)
            own = [mine or full for mine, full in zip(given, network.full, strict=True)]
            sizes = tuple(Size(*own, steps) for steps in depths or network.depths)
            shapes[network.name] = "×".join(map(str, network.shape(sizes[0])))
            job = Job("", folder, network.name, sizes, tuple(names), repeats)
            found += _compare(job, console)
        deep = _run_child(Job("depth", folder, layers=tuple(layers))) if layers else []
    if isinstance(deep, dict):
        raise RuntimeError(f"the deep networks: {deep['missing']}")
    output.mkdir(parents=True, exist_ok=True)
    write_results(Results(found, [Deep(**row) for row in deep], shapes, repeats), output)
    console.print(f"wrote {output / 'RESULTS.md'}")


def _compare(job: Job, console: Console) -> list[Finding]:
    """All contenders on one network."""
    _run_child(replace(job, kind="truth"))
    details = {}
    for name in job.contenders:
        details[name] = _run_child(replace(job, kind="details", contenders=(name,)))
    able = tuple(name for name, detail in details.items() if isinstance(detail, list))
    seconds = _run_child(replace(job, kind="time", contenders=able))
    if isinstance(seconds, dict):
        raise RuntimeError(f"the turns of {job.network}: {seconds['missing']}")
    findings = []
    for size, times in zip(job.sizes, seconds, strict=True):
        row = []
        for name, detail in details.items():
            known = detail if isinstance(detail, dict) else detail[job.sizes.index(size)]
            row.append(Finding(job.network, size.steps, name, times.get(name, []), **known))
            line = row[-1].line(row[0])
            console.print(f"{job.network}, N = {size.steps}: {line}", soft_wrap=True)
        findings += row
    return findings


def _run_child(job: Job) -> list | dict[str, str]:
    """The results of a job; or why there are none, under "missing"."""
    path = Path(job.folder) / "job.json"
    path.write_text(job.write())
    given = os.environ.get("PYTHONPATH")
    here = str(Path(__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": f"{here}{os.pathsep}{given}" if given else here,
        "KINETO_LOG_LEVEL": "99",
    }
    if job.kind == "time":
        environment["GLIBC_TUNABLES"] = KEEP
    command = [sys.executable, "-m", "bench.child", str(path)]
    child = subprocess.run(command, env=environment, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
        return {"missing": f"failed: {lines[-1]}"}
    return json.loads(path.read_text())
