"""The table and the plot of what was measured."""

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

from bench.contenders import BASELINE
from bench.depth import Deep
from bench.instruments import Setting
from bench.networks import NETWORKS
from odenet.files import write_text

MIB = 2**20
DEPTH = "Depth: one training step of a Hamiltonian network, 8×16×16×16, on the CPU"
FRONT = """# Measured

Written by `odenet bench`, each part with its machine.

- Time: of a training step without the optimizer, relative to plain autograd in the same turn.
- Peak: the most that the allocator held at once, without weights, their gradients and the input.
- MiB per step: by how much the peak grows with each further step of the network.
- F: evaluations of each right-hand side; vector-Jacobian products are two more for everyone.
- Batch norm: how often one training step counts its batch in the running statistics; 1 is right.
- Gradient error: of all weights together, relative to float64, at the largest N.

![time against memory](time_memory.svg)
"""
PEERS = ("momentumnet", "memcnn", "revlib", "revtorch")


@dataclass(frozen=True)
class Finding:
    """One contender on one network of one depth.

    Attributes:
        network: its name.
        steps: N.
        name: of the contender.
        seconds: of its steps, in the order of the turns.
        peak: bytes of activations.
        error: of the gradients by all weights, relative to float64.
        evaluations: of each right-hand side, forward and in the backward pass over again.
        statistics: how often batch norm counts the batch.
        missing: why there is nothing of all this.
    """

    network: str
    steps: int
    name: str
    seconds: list[float]
    peak: int = 0
    error: float = 0.0
    evaluations: float | None = None
    statistics: int | None = None
    missing: str = ""

    def ratio(self, plain: Finding) -> float:
        """Of its time to that of plain autograd in the same turns: the median."""
        pairs = zip(self.seconds, plain.seconds, strict=True)
        return statistics.median(mine / its for mine, its in pairs)

    def line(self, plain: Finding) -> str:
        """All of it, while the rest is being measured."""
        if self.missing:
            return f"{self.name}: {self.missing}"
        peak = self.peak / MIB
        return f"{self.name}: {self.ratio(plain):.2f} of plain, {peak:.1f} MiB, {self.error:.1e}"


@dataclass(frozen=True)
class Results:
    """Everything that was measured, and how.

    Attributes:
        findings: of the comparison.
        deep: of the deep networks.
        shapes: of the input of each network.
        repeats: turns per contender.
    """

    findings: Sequence[Finding]
    deep: Sequence[Deep]
    shapes: Mapping[str, str]
    repeats: int

    def of(self, network: str) -> dict[str, dict[int, Finding]]:
        """Of one network: contender -> N -> finding."""
        table: dict[str, dict[int, Finding]] = {}
        for finding in self.findings:
            if finding.network == network:
                table.setdefault(finding.name, {})[finding.steps] = finding
        return table


def write_results(results: Results, folder: Path) -> None:
    """RESULTS.md, with what it has of networks that were not measured now, and its plot."""
    names = [name for name in NETWORKS if results.of(name)]
    parts = [_table(results, name) for name in names]
    if results.deep:
        parts.append(_depth_table(results.deep))
    file = folder / "RESULTS.md"
    before = file.read_text("utf-8") if file.is_file() else ""
    write_text(file, _merged(before, parts))
    if len(names) == len(NETWORKS):
        _draw(results, folder / "time_memory.svg")


def _merged(before: str, parts: Sequence[str]) -> str:
    """The text with these parts in place of those of the same networks."""
    new = {_title(part): part for part in parts}
    old = {_title(part): f"## {part}" for part in before.split("\n## ")[1:]}
    order = [*(network.title for network in NETWORKS.values()), DEPTH]
    found = old | new
    return "\n".join([FRONT, *(found[title].rstrip() + "\n" for title in order if title in found)])


def _title(part: str) -> str:
    """Of a part, without the sizes that follow in its first line."""
    return part.removeprefix("## ").partition("\n")[0].partition("; input")[0]


def _conditions(results: Results) -> str:
    setting = Setting.here()
    how = "float32" if setting.device == "cpu" else "channels-last, bfloat16 autocast"
    return (
        f"{date.today():%d %B %Y}, {machine(setting.device)}, {how}, torch {torch.__version__}; "
        f"{peers()}; {results.repeats} interleaved turns, medians."
    )


def _table(results: Results, name: str) -> str:
    table = results.of(name)
    network = NETWORKS[name]
    plain = table[BASELINE]
    depths = sorted(plain)
    columns = ["", *(f"time, N = {n}" for n in depths), *(f"MiB, N = {n}" for n in depths)]
    columns += ["MiB per step", "F", "batch norm", "gradient error"]
    rows = [_row(found, plain, depths) for found in table.values()]
    seconds = ", ".join(f"{statistics.median(plain[n].seconds):.3g} s at N = {n}" for n in depths)
    speed = ""
    if network.sequence:
        batch, tokens, _ = map(int, results.shapes[name].split("×"))
        rate = batch * tokens / statistics.median(plain[depths[-1]].seconds)
        speed = f", {rate:,.0f} tokens/s"
    lines = [
        f"## {network.title}; input {results.shapes[name]}",
        "",
        cells(columns),
        cells(["---"] + ["---:"] * (len(columns) - 1)),
        *map(cells, rows),
        "",
        f"Plain autograd takes {seconds}{speed}. {_conditions(results)}",
        "",
    ]
    return "\n".join(lines)


def _row(found: dict[int, Finding], plain: dict[int, Finding], depths: Sequence[int]) -> list[str]:
    first, last = found[depths[0]], found[depths[-1]]
    missing = next((f.missing for f in found.values() if f.missing), "")
    if missing:
        return [last.name, missing, *[""] * (2 * len(depths) + 3)]
    peaks = [found[n].peak / MIB for n in depths]
    growth = (peaks[-1] - peaks[0]) / (depths[-1] - depths[0]) if len(depths) > 1 else None
    return [
        last.name,
        *(f"{found[n].ratio(plain[n]):.2f}" for n in depths),
        *(f"{peak:.1f}" for peak in peaks),
        "" if growth is None else f"{growth:.2f}",
        "" if first.evaluations is None else f"{first.evaluations:.3g}",
        "" if first.statistics is None else str(first.statistics),
        f"{last.error:.1e}",
    ]


def _depth_table(deep: Sequence[Deep]) -> str:
    columns = ["layers", "peak MiB", "parameters MiB", "seconds", "drift"]
    rows = [
        [
            f"{d.layers:,}",
            f"{d.peak / MIB:.2f}",
            f"{d.parameters / MIB:.2f}",
            f"{d.seconds:.2f}",
            f"{d.drift:.0e}",
        ]
        for d in deep
    ]
    lines = [
        f"## {DEPTH}",
        "",
        "Peak without parameters and gradients; drift: error of the rebuilt first state. "
        f"{date.today():%d %B %Y}, {machine('cpu')}.",
        "",
        cells(columns),
        cells(["---:"] * len(columns)),
        *map(cells, rows),
        "",
    ]
    return "\n".join(lines)


def cells(values: Sequence[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(values)} |"


def _draw(results: Results, path: Path) -> None:
    """Time against memory at the largest depth, a panel per network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(NETWORKS)), NETWORKS, strict=True):
        table = results.of(name)
        depth = max(table[BASELINE])
        plain = table[BASELINE][depth]
        for contender, found in table.items():
            finding = found[depth]
            if finding.missing:
                continue
            ours = contender.startswith("odenet")
            x, y = finding.peak / MIB, finding.ratio(plain)
            axes.plot(x, y, "o", color="tab:red" if ours else "tab:gray")
            axes.annotate(contender, (x, y), (4, 4), textcoords="offset points", fontsize=8)
        axes.set(
            xscale="log", xlabel="peak MiB", ylabel="time / plain", title=f"{name}, N = {depth}"
        )
        axes.margins(x=0.25, y=0.12)
        axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})


def machine(device: str) -> str:
    """The card, or the processor and how much of it is used."""
    if device == "cuda":
        free, whole = (size / 2**30 for size in torch.cuda.mem_get_info())
        return f"{torch.cuda.get_device_name()}, {free:.0f} of {whole:.0f} GiB free"
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def peers() -> str:
    """The versions of the other libraries."""
    return ", ".join(f"{name} {_version(name)}" for name in PEERS)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
