"""The figures of a report: stability, depth, and the curves of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from odenet.derive import Axis
from odenet.derive.stability import TestedScheme
from odenet.model.tables.losses import METRICS
from odenet.report.svg import Drawing
from odenet.training.figures import COLOURS, GREY
from odenet.training.run_folder.records import Row
from odenet.training.trained_runs.depth_figures import (
    draw_energy,
    draw_norms,
    draw_spectrum,
    energy_change,
    largest_real_part,
)
from odenet.training.trained_runs.depth_profile import DepthProfile

GRID = 161  # points of the complex plane in each direction; odd, so that the axes are among them
SMALL = 0.3  # of the panel's half width: eigenvalues below that are drawn larger, too
WIDE = 40.0  # a limit of hλ beyond this would make all else a dot


@dataclass(frozen=True)
class Panel:
    """A panel, not yet drawn.

    Args:
        name: of it, which no other of a page has.
        alt: what is to be seen, for who does not see it.
        content: draws it, but for its title.
        height: in inches, where it is as wide as a phone.
        columns: of its legend; 0 for none.
        title: above it, if any.
    """

    name: str
    alt: str
    content: Callable[[Axes], None]
    height: float = 2.7
    columns: int = 0
    title: str = ""

    def draw(self, axes: Axes) -> None:
        """Draw it."""
        self.content(axes)
        if self.title:
            axes.set_title(self.title)

    def svg(self) -> str:
        """As SVG, ready for the page."""
        drawing = Drawing(self.name, self.height)
        self.draw(drawing.axes)
        if self.columns:
            drawing.legend(self.columns)
        return drawing.svg(self.alt)


@dataclass(frozen=True)
class Figure:
    """Panels with their words.

    Args:
        panels: side by side.
        caption: what they show, and what to look for.
    """

    panels: list[Panel]
    caption: str


def stability_figure(tested: TestedScheme, points: Mapping[str, np.ndarray], whose: str) -> Figure:
    """Where steps are stable in the plane of hλ, and the hλ of some weights.

    Args:
        tested: the scheme on the test equation that the plane is about.
        points: hλ, complex, by the name of the flow.
        whose: the weights, in words.
    """
    largest = max((float(np.abs(values).max()) for values in points.values()), default=0.0)
    limits = [axis.limit for axis in _axes(tested) if 0 < axis.limit < WIDE]
    reach = 1.3 * max([largest, *limits] if limits else [largest, 1.5])
    views = [("stability", reach, "")]
    if 0 < largest < SMALL * reach:
        near = 1.6 * largest
        views.append(("spectrum", near, f"the same, {reach / near:.0f} times larger"))
    limit = "; ".join(axis.sentence for axis in _axes(tested))
    alt = f"The plane of hλ with {sum(map(len, points.values()))} eigenvalues as dots: {limit}."
    columns = min(len(points), 3) if len(points) > 1 else 0
    region = partial(_region, tested=tested, points=points)
    panels = [
        Panel(name, alt, partial(region, extent=extent), 3.6, columns, title)
        for name, extent, title in views
    ]
    dots = f" Dots: hλ of {whose}, at most {largest:.3g} in size." if points else ""
    outside = " A dot outside is a component that steps amplify." if points else ""
    return Figure(
        panels,
        f"Shaded, and thick on the axes: where steps are stable on {tested.equation.text}."
        f"{dots}{outside}",
    )


def _region(
    axes: Axes, tested: TestedScheme, points: Mapping[str, np.ndarray], extent: float
) -> None:
    _plane(axes, tested, extent)
    for (name, values), colour in zip(points.items(), cycle(COLOURS), strict=False):
        axes.plot(np.real(values), np.imag(values), ".", color=colour, label=name)
    axes.set(xlabel="Re hλ", ylabel="Im hλ", aspect="equal",
             xlim=(-extent, extent), ylim=(-extent, extent))  # fmt: skip


def _axes(tested: TestedScheme) -> list[Axis]:
    return [axis for axis in (tested.imaginary, tested.real) if axis is not None]


def _plane(axes: Axes, tested: TestedScheme, extent: float) -> None:
    """The region, which for some schemes is no more than a piece of an axis."""
    line = np.linspace(-extent, extent, GRID)
    stable = tested.region(line[None, :] + 1j * line[:, None])
    middle = GRID // 2
    if np.delete(np.delete(stable, middle, 0), middle, 1).any():
        axes.contourf(line, line, stable, levels=[0.5, 1.5], colors=[COLOURS[0]], alpha=0.2)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axvline(0, color=GREY, linewidth=0.6)
    thick = {"color": COLOURS[0], "linewidth": 4, "alpha": 0.45, "solid_capstyle": "butt"}
    for axis in _axes(tested):
        for part in axis.intervals:
            ends = np.array([float(part.low), min(float(part.high), 2 * extent)])
            for end in (ends, -ends) if axis.where == "imaginary" else ():
                axes.plot(0 * end, end, **thick)
            if axis.where == "real":
                axes.plot(-ends, 0 * ends, **thick)


def depth_figure(flows: Mapping[str, DepthProfile], what: str) -> Figure:
    """The norms of the state and of a step's change, and the energy, along the depth of all flows.

    Args:
        flows: in the order of the network, by name.
        what: the weights and the inputs, in words.
    """
    norms, energy = norms_figure(flows, what), energy_figure(flows, what)
    if energy is None:
        return norms
    return Figure(
        norms.panels + energy.panels, f"{norms.caption} {energy.caption.removeprefix(what + '. ')}"
    )


def norms_figure(flows: Mapping[str, DepthProfile], what: str) -> Figure:
    """The norms of the state and of a step's change; arguments as of `depth_figure`."""
    several = f"{len(flows)} flows" if len(flows) > 1 else "the flow"
    alt = f"‖u‖ and ‖hF‖ at each step of {several}, on a logarithmic axis."
    return Figure(
        [Panel("norms", alt, partial(draw_norms, flows=flows), columns=2)],
        f"{what}. ‖hF‖ is what a step changes, ‖u‖ the state that it changes.",
    )


def energy_figure(flows: Mapping[str, DepthProfile], what: str) -> Figure | None:
    """The energy by step, None where none is certified; arguments as of `depth_figure`."""
    changes = [
        f"{energy_change(flow.energies)} in {name}" for name, flow in flows.items() if flow.energies
    ]
    if not changes:
        return None
    said = ", ".join(changes)
    panel = Panel("energy", f"The energy at each step: {said}.", partial(draw_energy, flows=flows),
                  columns=1)  # fmt: skip
    return Figure([panel], f"{what}. The energy changes by {said}.")


def spectrum_figure(flows: Mapping[str, DepthProfile], order: int, what: str) -> Figure:
    """The eigenvalues of the Jacobian of F, a panel for each flow.

    Args:
        flows: in the order of the network, by name.
        order: of the equations, as `draw_spectrum` takes it.
        what: the weights and the inputs, in words.
    """
    panels: list[Panel] = []
    for name, flow in flows.items():
        steps = {
            f"step {step}, {len(found)} eigenvalues": found
            for step, found in flow.eigenvalues.items()
        }
        every = np.concatenate([np.asarray(values) for values in steps.values()])
        alt = f"{len(every)} eigenvalues of {name}; largest real part {largest_real_part(every)}."
        title = f"{name}, largest Re λ: {largest_real_part(every)}"
        content = partial(draw_spectrum, spectrum=steps, order=order)
        panels.append(Panel(f"spectrum-{name}", alt, content, 3.6, 1, title))
    return Figure(
        panels,
        f"{what}. λ: eigenvalues of the Jacobian of F by the state, on one sample; all of them "
        "where the state has at most 512 numbers, else the 4 largest and the 4 of largest real "
        "part.",
    )


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
        words = METRICS[metric].title
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
    name: str, words: str, columns: Sequence[str], rows: Sequence[Row], best: int | None
) -> Panel:
    known = {column: [(int(row["epoch"]) + 1, row[column]) for row in rows if column in row]
             for column in columns}  # fmt: skip
    lines = {column: points for column, points in known.items() if points}
    last = list(lines.values())[-1]
    draw = partial(_draw_curve, name=name, words=words, lines=lines, best=best)
    alt = f"{words} by epoch, from {last[0][1]:.4g} to {last[-1][1]:.4g}."
    return Panel(f"curve-{name}", alt, draw, 2.3, 0 if name in ("lr", "stability") else 2)


def _draw_curve(
    axes: Axes,
    name: str,
    words: str,
    lines: Mapping[str, Sequence[tuple[int, float]]],
    best: int | None,
) -> None:
    for column, points in lines.items():
        style, colour = ("o--", COLOURS[1]) if column.startswith("train_") else ("o-", COLOURS[0])
        split = column.partition("_")[0]
        face = "none" if column.startswith("train_") else colour
        axes.plot(*zip(*points, strict=True), style, markersize=3.5, color=colour,
                  markerfacecolor=face, label=split)  # fmt: skip
    if best is not None:
        axes.axvline(best, color=COLOURS[2], linewidth=1, zorder=1)  # behind the points
    if name == "stability":
        axes.axhline(1, color=GREY, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel=words)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
