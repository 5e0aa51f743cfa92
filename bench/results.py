"""RESULTS.md, the tables of what was measured, and its plot of time against memory."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench.adapters import BASELINE
from bench.deep_hamiltonian import DeepStep
from bench.measured_step import ExecutionMode
from bench.networks import NETWORKS
from odenet.files import write_text

MIB = 2**20
DEPTH_TITLE = "Depth: one training step of a Hamiltonian network, 8×16×16×16, on the CPU"
INTRODUCTION = """# Measured

Written by `odenet bench`, each part with its machine.

- Time: of a training step without the optimizer, relative to plain autograd in the same turn.
- Peak: the most that the allocator held at once, without weights, their gradients and the input.
- MiB per step: by how much the peak grows with each further step of the network.
- F: evaluations of each right-hand side, without vector-Jacobian products, which all take alike.
- Batch norm: how often one training step counts its batch in the running statistics; 1 is right.
- Gradient error: of all weights together, relative to float64, at the largest N.

![time against memory](time_memory.svg)
"""
OTHER_LIBRARIES = ("momentumnet", "memcnn", "revlib", "revtorch")


@dataclass(frozen=True)
class Measurement:
    """A training step of one implementation of one network at one depth.

    Attributes:
        network: a key of NETWORKS.
        steps: N, the depth.
        implementation: a key of ADAPTERS.
        seconds: times of the step, in the order of the turns.
        peak: the most bytes of activations and working memory held at once.
        error: relative error of the gradients by all weights, compared with those in float64.
        evaluations: how often each right-hand side is evaluated, in both passes.
        batch_norm_updates: how often running statistics are updated with the batch.
        missing: why nothing could be measured; else empty.
    """

    network: str
    steps: int
    implementation: str
    seconds: list[float]
    peak: int = 0
    error: float = 0.0
    evaluations: float | None = None
    batch_norm_updates: int | None = None
    missing: str = ""

    def time_ratio(self, plain: Measurement) -> float:
        """The median, over the turns, of its time divided by that of plain autograd."""
        pairs = zip(self.seconds, plain.seconds, strict=True)
        return statistics.median(own / reference for own, reference in pairs)

    def summary(self, plain: Measurement) -> str:
        """Time, memory and error in one line."""
        if self.missing:
            return f"{self.implementation}: {self.missing}"
        time = f"{self.time_ratio(plain):.2f} of plain"
        return f"{self.implementation}: {time}, {self.peak / MIB:.1f} MiB, {self.error:.1e}"


@dataclass(frozen=True)
class Results:
    """Everything that one run of the benchmark has measured.

    Attributes:
        measurements: one for each implementation, network and depth.
        deep_steps: one for each depth of the deep Hamiltonian networks.
        shapes: the shape of each network's input, such as "32×64×32×32".
        repeats: turns per implementation, that is, steps of it that were timed.
    """

    measurements: Sequence[Measurement]
    deep_steps: Sequence[DeepStep]
    shapes: Mapping[str, str]
    repeats: int

    def by_implementation(self, network: str) -> dict[str, dict[int, Measurement]]:
        """The measurements of one network, by implementation and number of steps."""
        table: dict[str, dict[int, Measurement]] = {}
        for measurement in self.measurements:
            if measurement.network == network:
                table.setdefault(measurement.implementation, {})[measurement.steps] = measurement
        return table


def write_results(results: Results, folder: Path) -> None:
    """Write RESULTS.md, keeping its parts on networks that were not measured now, and the plot."""
    names = [name for name in NETWORKS if results.by_implementation(name)]
    parts = [_table(results, name) for name in names]
    if results.deep_steps:
        parts.append(_depth_table(results.deep_steps))
    file = folder / "RESULTS.md"
    old_text = file.read_text("utf-8") if file.is_file() else ""
    write_text(file, _merge(old_text, parts))
    if len(names) == len(NETWORKS):
        _draw(results, folder / "time_memory.svg")


def _merge(old_text: str, new_parts: Sequence[str]) -> str:
    """The text with new parts in place of the old ones of the same titles."""
    new = {_title(part): part for part in new_parts}
    old = {_title(part): f"## {part}" for part in old_text.split("\n## ")[1:]}
    order = [*(network.title for network in NETWORKS.values()), DEPTH_TITLE]
    parts = old | new
    kept = (parts[title].rstrip() + "\n" for title in order if title in parts)
    return "\n".join([INTRODUCTION, *kept])


def _title(part: str) -> str:
    """The title of a part: its first line without the size of the input."""
    return part.removeprefix("## ").partition("\n")[0].partition("; input")[0]


def _conditions(results: Results) -> str:
    """The date, the machine and the versions of the libraries."""
    device = ExecutionMode.of_this_machine().device
    numbers = "float32" if device == "cpu" else "channels-last, bfloat16 autocast"
    return (
        f"{date.today():%d %B %Y}, {machine(device)}, {numbers}, torch {torch.__version__}; "
        f"{library_versions()}; {results.repeats} interleaved turns, medians."
    )


def _table(results: Results, name: str) -> str:
    """The part of RESULTS.md on a network."""
    table = results.by_implementation(name)
    network = NETWORKS[name]
    plain = table[BASELINE]
    depths = sorted(plain)
    columns = ["", *(f"time, N = {n}" for n in depths), *(f"MiB, N = {n}" for n in depths)]
    columns += ["MiB per step", "F", "batch norm", "gradient error"]
    rows = [_row(by_depth, plain, depths) for by_depth in table.values()]
    seconds = ", ".join(f"{statistics.median(plain[n].seconds):.3g} s at N = {n}" for n in depths)
    speed = ""
    if network.is_sequence_model:
        batch, tokens, _ = map(int, results.shapes[name].split("×"))
        rate = batch * tokens / statistics.median(plain[depths[-1]].seconds)
        speed = f", {rate:,.0f} tokens/s"
    lines = [
        f"## {network.title}; input {results.shapes[name]}",
        "",
        table_row(columns),
        table_row(["---"] + ["---:"] * (len(columns) - 1)),
        *map(table_row, rows),
        "",
        f"Plain autograd takes {seconds}{speed}. {_conditions(results)}",
        "",
    ]
    return "\n".join(lines)


def _row(
    measured: dict[int, Measurement], plain: dict[int, Measurement], depths: Sequence[int]
) -> list[str]:
    """The row of an implementation, from its measurements and those of plain autograd by depth."""
    first, last = measured[depths[0]], measured[depths[-1]]
    missing = next((m.missing for m in measured.values() if m.missing), "")
    if missing:
        remaining_columns = 2 * len(depths) + 3
        return [last.implementation, missing, *[""] * remaining_columns]
    peaks = [measured[n].peak / MIB for n in depths]
    growth = (peaks[-1] - peaks[0]) / (depths[-1] - depths[0]) if len(depths) > 1 else None
    return [
        last.implementation,
        *(f"{measured[n].time_ratio(plain[n]):.2f}" for n in depths),
        *(f"{peak:.1f}" for peak in peaks),
        "" if growth is None else f"{growth:.2f}",
        "" if first.evaluations is None else f"{first.evaluations:.3g}",
        "" if first.batch_norm_updates is None else str(first.batch_norm_updates),
        f"{last.error:.1e}",
    ]


def _depth_table(deep_steps: Sequence[DeepStep]) -> str:
    """The part of RESULTS.md on deep Hamiltonian networks."""
    columns = ["layers", "peak MiB", "parameters MiB", "seconds", "drift"]
    rows = [
        [
            f"{step.layers:,}",
            f"{step.peak / MIB:.2f}",
            f"{step.parameters / MIB:.2f}",
            f"{step.seconds:.2f}",
            f"{step.drift:.0e}",
        ]
        for step in deep_steps
    ]
    lines = [
        f"## {DEPTH_TITLE}",
        "",
        "Peak without parameters and gradients; drift: error of the rebuilt first state. "
        f"{date.today():%d %B %Y}, {machine('cpu')}.",
        "",
        table_row(columns),
        table_row(["---:"] * len(columns)),
        *map(table_row, rows),
        "",
    ]
    return "\n".join(lines)


def table_row(values: Sequence[str]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(values)} |"


def _draw(results: Results, path: Path) -> None:
    """Time against memory at the largest depth, a panel per network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(NETWORKS)), NETWORKS, strict=True):
        table = results.by_implementation(name)
        depth = max(table[BASELINE])
        plain = table[BASELINE][depth]
        for implementation, by_depth in table.items():
            measurement = by_depth[depth]
            if measurement.missing:
                continue
            is_odenet = implementation.startswith("odenet")
            x, y = measurement.peak / MIB, measurement.time_ratio(plain)
            axes.plot(x, y, "o", color="tab:red" if is_odenet else "tab:gray")
            axes.annotate(implementation, (x, y), (4, 4), textcoords="offset points", fontsize=8)
        axes.set(
            xscale="log", xlabel="peak MiB", ylabel="time / plain", title=f"{name}, N = {depth}"
        )
        axes.margins(x=0.25, y=0.12)
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})  # so that equal plots are equal files


def machine(device: str) -> str:
    """The GPU with its memory, or the processor with its cores and threads."""
    if device == "cuda":
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
        return f"{torch.cuda.get_device_name()}, {free:.0f} of {total:.0f} GiB free"
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def library_versions() -> str:
    """The versions of the other libraries, in words."""
    return ", ".join(f"{name} {_version(name)}" for name in OTHER_LIBRARIES)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
