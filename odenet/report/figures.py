"""The figures of a report: stability, depth, and the curves of a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from odenet.derive import Axis
from odenet.derive.stability import Tested
from odenet.model.tables.losses import METRICS
from odenet.report.svg import COLOURS, Drawing
from odenet.training.along import Along
from odenet.training.records import Row

GRID = 161  # points of the complex plane in each direction; odd, so that the axes are among them
SMALL = 0.3  # of the panel's half width: eigenvalues below that are drawn larger, too
WIDE = 40.0  # a limit of hλ beyond this would make all else a dot
AXIS = "#8a8b8c"


@dataclass(frozen=True)
class Figure:
    """Panels with their words.

    Args:
        panels: SVG, ready for the page.
        caption: what they show, and what to look for.
    """

    panels: list[str]
    caption: str


def stability_figure(tested: Tested, points: Mapping[str, np.ndarray], whose: str) -> Figure:
    """Where steps are stable in the plane of hλ, and the hλ of some weights.

    Args:
        tested: the scheme on the test equation that the plane is about.
        points: hλ, complex, by the name of the flow.
        whose: the weights, in words.
    """
    largest = max((float(np.abs(values).max()) for values in points.values()), default=0.0)
    limits = [axis.limit for axis in _axes(tested) if 0 < axis.limit < WIDE]
    reach = 1.3 * max([largest, *limits] if limits else [largest, 1.5])
    extents = {"stability": reach}
    if 0 < largest < SMALL * reach:
        extents["spectrum"] = 1.6 * largest
    panels: list[str] = []
    for name, extent in extents.items():
        drawing = Drawing(name, height=3.6)
        _plane(drawing.axes, tested, extent)
        _dots(drawing.axes, points)
        if len(points) > 1:
            drawing.legend(min(len(points), 3))
        title = "" if name == "stability" else f"the same, {reach / extent:.0f} times larger"
        drawing.axes.set(xlabel="Re hλ", ylabel="Im hλ", aspect="equal", title=title,
                         xlim=(-extent, extent), ylim=(-extent, extent))  # fmt: skip
        limit = "; ".join(axis.sentence for axis in _axes(tested))
        count = sum(map(len, points.values()))
        panels.append(drawing.svg(f"The plane of hλ with {count} eigenvalues as dots: {limit}."))
    dots = f" Dots: hλ of {whose}, at most {largest:.3g} in size." if points else ""
    outside = " A dot outside is a component that steps amplify." if points else ""
    return Figure(
        panels,
        f"Shaded, and thick on the axes: where steps are stable on {tested.equation.text}."
        f"{dots}{outside}",
    )


def _axes(tested: Tested) -> list[Axis]:
    return [axis for axis in (tested.imaginary, tested.real) if axis is not None]


def _plane(axes: Axes, tested: Tested, extent: float) -> None:
    """The region, which for some schemes is no more than a piece of an axis."""
    line = np.linspace(-extent, extent, GRID)
    stable = tested.region(line[None, :] + 1j * line[:, None])
    middle = GRID // 2
    if np.delete(np.delete(stable, middle, 0), middle, 1).any():
        axes.contourf(line, line, stable, levels=[0.5, 1.5], colors=[COLOURS[0]], alpha=0.2)
    axes.axhline(0, color=AXIS, linewidth=0.6)
    axes.axvline(0, color=AXIS, linewidth=0.6)
    thick = {"color": COLOURS[0], "linewidth": 4, "alpha": 0.45, "solid_capstyle": "butt"}
    for axis in _axes(tested):
        for part in axis.intervals:
            ends = np.array([float(part.low), min(float(part.high), 2 * extent)])
            for end in (ends, -ends) if axis.where == "imaginary" else ():
                axes.plot(0 * end, end, **thick)
            if axis.where == "real":
                axes.plot(-ends, 0 * ends, **thick)


def _dots(axes: Axes, points: Mapping[str, np.ndarray]) -> None:
    for (name, values), colour in _coloured(points):
        axes.plot(values.real, values.imag, ".", color=colour, label=name)


def depth_figure(flows: Mapping[str, Along], what: str) -> Figure:
    """The norms of the state and of a step's change, and the energy, along the depth of all flows.

    Args:
        flows: in the order of the network, by name.
        what: the weights and the inputs, in words.
    """
    starts = _starts(flows)
    norms = Drawing("norms")
    for (name, flow), colour in _coloured(flows):
        places = np.arange(len(flow.changes)) + starts[name]
        norms.axes.semilogy(places, flow.states, "s--", color=colour, label=f"‖u‖, {name}")
        norms.axes.semilogy(places, flow.changes, "o-", color=colour, label=f"‖hF‖, {name}")
    norms.axes.set(xlabel="step", ylabel="mean norm")
    norms.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    norms.legend(2)
    several = f"{len(flows)} flows" if len(flows) > 1 else "the flow"
    panels = [norms.svg(f"‖u‖ and ‖hF‖ at each step of {several}, on a logarithmic axis.")]
    energetic = {name: flow for name, flow in flows.items() if flow.energy}
    change = ", ".join(f"{_change(flow.energy)} in {name}" for name, flow in energetic.items())
    if energetic:
        panels.append(_energies(flows, starts).svg(f"The energy at each step: {change}."))
    energy = f" The energy changes by {change}." if energetic else ""
    return Figure(
        panels, f"{what}. ‖hF‖ is what a step changes, ‖u‖ the state that it changes.{energy}"
    )


def _starts(flows: Mapping[str, Along]) -> dict[str, int]:
    """At which step of the whole network each flow begins."""
    begins = np.cumsum([0, *(len(flow.changes) for flow in flows.values())])
    return {name: int(begin) for name, begin in zip(flows, begins, strict=False)}


def _energies(flows: Mapping[str, Along], starts: Mapping[str, int]) -> Drawing:
    """From 0, so that a small change is seen to be small."""
    drawing = Drawing("energy")
    for (name, flow), colour in _coloured(flows):
        if flow.energy:
            places = np.arange(len(flow.energy)) + starts[name]
            drawing.axes.plot(places, flow.energy, "o-", color=colour, label=name)
    low, high = drawing.axes.get_ylim()
    drawing.axes.set(xlabel="step", ylabel="mean energy E", ylim=(min(0.0, low), max(0.0, high)))
    drawing.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(flows) > 1:
        drawing.legend(min(len(flows), 3))
    return drawing


def _change(energy: Sequence[float]) -> str:
    first, last = energy[0], energy[-1]
    return f"{(last - first) / abs(first):+.2%}" if first else f"{last - first:+.3g}"


def curves_figure(rows: Sequence[Row], watched: str, best: int | None) -> Figure:
    """Loss, metric, learning rate and margin by epoch, a panel each.

    Args:
        rows: of the metrics; at least one.
        watched: the split that chooses the best epoch, "test" or "val".
        best: that epoch, from 1; None where the run is not over.
    """
    measured = [name.removeprefix("train_") for name in rows[0] if name.startswith("train_")]
    metric = next((name for name in measured if name in METRICS), None)
    panels = {"loss": ("loss", ("train_loss", f"{watched}_loss"))}
    if metric is not None:
        words = METRICS[metric].words
        panels[metric] = (words, (f"train_{metric}", f"{watched}_{metric}"))
    panels |= {"lr": ("learning rate", ("lr",)), "stability": ("h·ω / limit", ("stability",))}
    found = [
        _curve(name, words, columns, rows, best) for name, (words, columns) in panels.items()
        if any(column in row for column in columns for row in rows)
    ]  # fmt: skip
    margin = any("stability" in row for row in rows)
    return Figure(
        found,
        "By epoch: dashed on the training split, solid on the one that is watched"
        + ("" if best is None else f"; the vertical line is the best epoch, {best}")
        + (". Steps are stable where h·ω / limit is below 1." if margin else "."),
    )


def _curve(
    name: str, words: str, columns: Iterable[str], rows: Sequence[Row], best: int | None
) -> str:
    drawing = Drawing(f"curve-{name}", height=2.3)
    axes, said = drawing.axes, ""
    for column in columns:
        known = [(int(row["epoch"]) + 1, row[column]) for row in rows if column in row]
        if not known:
            continue
        epochs, values = zip(*known, strict=True)
        train = column.startswith("train_")
        style, colour = ("o--", COLOURS[1]) if train else ("o-", COLOURS[0])
        split = column.partition("_")[0]
        axes.plot(epochs, values, style, markersize=3, color=colour, label=split)
        said = f"from {values[0]:.4g} to {values[-1]:.4g}"
    if best is not None:
        axes.axvline(best, color=COLOURS[2], linewidth=1)
    if name == "stability":
        axes.axhline(1, color=AXIS, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel=words)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if name not in ("lr", "stability"):
        drawing.legend(2)
    return drawing.svg(f"{words} by epoch, {said}.")


def _coloured(named: Mapping[str, Any]) -> Iterable[tuple[tuple[str, Any], str]]:
    return zip(named.items(), COLOURS * len(named), strict=False)
