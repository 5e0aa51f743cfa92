"""The figures of a report: stability, depth, and the curves of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from odenet.derive import AxisStability
from odenet.derive.stability import EquationStability
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

GRID_POINTS = 161  # in each direction of the complex plane; odd, so that the grid has the axes
ZOOM_SHARE = 0.3  # of half the panel's width; a second panel magnifies dots that all lie within
LARGEST_LIMIT = 40.0  # stability limits of hλ beyond this do not enlarge the panel
PLANE_HEIGHT = 3.6  # in inches, of panels that show a part of the complex plane

Points = Mapping[str, np.ndarray]  # complex numbers, by the name of their flow in the legend


@dataclass(frozen=True)
class Panel:
    """A panel of a figure, which is drawn when it is needed.

    Args:
        name: unique on a page.
        alt: a description for readers who cannot see it.
        draw_content: draws everything but the title.
        height: in inches, for a width of 4.2.
        legend_columns: 0 for no legend.
        title: above it; may be empty.
    """

    name: str
    alt: str
    draw_content: Callable[[Axes], None]
    height: float = 2.7
    legend_columns: int = 0
    title: str = ""

    def draw(self, axes: Axes) -> None:
        """Draw the content and the title."""
        self.draw_content(axes)
        if self.title:
            axes.set_title(self.title)

    def svg(self) -> str:
        """The panel as SVG, for the page."""
        drawing = Drawing(self.name, self.height)
        self.draw(drawing.axes)
        if self.legend_columns:
            drawing.legend(self.legend_columns)
        return drawing.svg(self.alt)


@dataclass(frozen=True)
class Figure:
    """Panels side by side, with a caption.

    Args:
        panels: in order.
        caption: what they show, and what to look for.
    """

    panels: list[Panel]
    caption: str


def stability_figure(tested: EquationStability, points: Points, weights_text: str) -> Figure:
    """The region of stability in the complex plane of hλ, with the hλ of some weights as dots.

    Args:
        tested: the stability of a scheme on a test equation, such as x' = λx.
        points: complex arrays of hλ by the names of flows; empty for the region alone.
        weights_text: which weights these are, for the caption.
    """
    largest = max((float(np.abs(values).max()) for values in points.values()), default=0.0)
    limits = [axis.limit for axis in _known_axes(tested) if 0 < axis.limit < LARGEST_LIMIT]
    extent = 1.3 * max([largest, *limits] if limits else [largest, 1.5])  # half the panel's width
    views = [("stability", extent, "")]
    if 0 < largest < ZOOM_SHARE * extent:
        zoomed = 1.6 * largest
        views.append(("spectrum", zoomed, f"the same, {extent / zoomed:.0f} times larger"))
    limit = "; ".join(axis.sentence for axis in _known_axes(tested))
    alt = f"The plane of hλ with {sum(map(len, points.values()))} eigenvalues as dots: {limit}."
    legend_columns = min(len(points), 3) if len(points) > 1 else 0
    draw_view = partial(_draw_view, tested=tested, points=points)
    panels = [
        Panel(name, alt, partial(draw_view, extent=extent), PLANE_HEIGHT, legend_columns, title)
        for name, extent, title in views
    ]
    dots = f" Dots: hλ of {weights_text}, at most {largest:.3g} in size." if points else ""
    outside = " A dot outside is a component that steps amplify." if points else ""
    return Figure(
        panels,
        f"Shaded, and thick on the axes: where steps are stable on {tested.equation.text}."
        f"{dots}{outside}",
    )


def _draw_view(axes: Axes, tested: EquationStability, points: Points, extent: float) -> None:
    """Draw the region and the points, in a square of twice `extent` around 0."""
    _draw_region(axes, tested, extent)
    for (name, values), colour in zip(points.items(), cycle(COLOURS), strict=False):
        axes.plot(np.real(values), np.imag(values), ".", color=colour, label=name)
    axes.set(xlabel="Re hλ", ylabel="Im hλ", aspect="equal",
             xlim=(-extent, extent), ylim=(-extent, extent))  # fmt: skip


def _known_axes(tested: EquationStability) -> list[AxisStability]:
    """Stability on the imaginary and on the real axis; an axis is left out if unknown."""
    return [axis for axis in (tested.imaginary_axis, tested.real_axis) if axis is not None]


def _draw_region(axes: Axes, tested: EquationStability, extent: float) -> None:
    """Draw the region, whose interior is empty for some schemes, and its intervals on the axes."""
    grid = np.linspace(-extent, extent, GRID_POINTS)
    stable = tested.region(grid[None, :] + 1j * grid[:, None])
    middle = GRID_POINTS // 2
    if np.delete(np.delete(stable, middle, 0), middle, 1).any():
        axes.contourf(grid, grid, stable, levels=[0.5, 1.5], colors=[COLOURS[0]], alpha=0.2)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.axvline(0, color=GREY, linewidth=0.6)
    thick_line = {"color": COLOURS[0], "linewidth": 4, "alpha": 0.45, "solid_capstyle": "butt"}
    for axis in _known_axes(tested):
        for interval in axis.intervals:
            ends = np.array([float(interval.low), min(float(interval.high), 2 * extent)])
            for y in (ends, -ends) if axis.axis == "imaginary" else ():
                axes.plot(0 * y, y, **thick_line)
            if axis.axis == "real":
                axes.plot(-ends, 0 * ends, **thick_line)


def depth_figure(flows: Mapping[str, DepthProfile], subject: str) -> Figure:
    """The norms of the state and of a step's change, and the energy, along the depth of all flows.

    Args:
        flows: by name, in the order of the network.
        subject: which weights and inputs were measured, in words; the caption begins with it.
    """
    norms, energy = norms_figure(flows, subject), energy_figure(flows, subject)
    if energy is None:
        return norms
    energy_caption = energy.caption.removeprefix(subject + ". ")
    return Figure(norms.panels + energy.panels, f"{norms.caption} {energy_caption}")


def norms_figure(flows: Mapping[str, DepthProfile], subject: str) -> Figure:
    """The norms of the state and of a step's change; the arguments are those of `depth_figure`."""
    flow_text = f"{len(flows)} flows" if len(flows) > 1 else "the flow"
    alt = f"‖u‖ and ‖hF‖ at each step of {flow_text}, on a logarithmic axis."
    return Figure(
        [Panel("norms", alt, partial(draw_norms, flows=flows), legend_columns=2)],
        f"{subject}. ‖hF‖ is what a step changes, ‖u‖ the state that it changes.",
    )


def energy_figure(flows: Mapping[str, DepthProfile], subject: str) -> Figure | None:
    """The energy by step; None if none is certified. The arguments are those of `depth_figure`."""
    changes = [f"{energy_change(f.energies)} in {name}" for name, f in flows.items() if f.energies]
    if not changes:
        return None
    change = ", ".join(changes)
    alt = f"The energy at each step: {change}."
    panel = Panel("energy", alt, partial(draw_energy, flows=flows), legend_columns=1)
    return Figure([panel], f"{subject}. The energy changes by {change}.")


def spectrum_figure(flows: Mapping[str, DepthProfile], order: int, subject: str) -> Figure:
    """The eigenvalues of the Jacobian of F, with a panel for each flow.

    Args:
        flows: by name, in the order of the network.
        order: the order of the equations, 1 or 2.
        subject: which weights and inputs were measured, in words; the caption begins with it.
    """
    panels: list[Panel] = []
    for name, flow in flows.items():
        steps = {
            f"step {step}, {len(eigenvalues)} eigenvalues": eigenvalues
            for step, eigenvalues in flow.eigenvalues.items()
        }
        all_values = np.concatenate([np.asarray(values) for values in steps.values()])
        largest = largest_real_part(all_values)
        alt = f"{len(all_values)} eigenvalues of {name}; largest real part {largest}."
        title = f"{name}, largest Re λ: {largest}"
        draw = partial(draw_spectrum, spectrum=steps, order=order)
        panels += [
            Panel(f"spectrum-{name}", alt, draw, PLANE_HEIGHT, legend_columns=1, title=title)
        ]
    return Figure(
        panels,
        f"{subject}. λ: eigenvalues of the Jacobian of F by the state, on one sample; all of them "
        "where the state has at most 512 numbers, else the 4 largest and the 4 of largest real "
        "part.",
    )


def curves_figure(rows: Sequence[Row], watched: str, best_epoch: int | None) -> Figure:
    """Loss, metric, learning rate and h·ω / limit by epoch, with a panel for each.

    Args:
        rows: the metrics of the epochs; at least one row.
        watched: the split that decides on the best epoch, "test" or "val".
        best_epoch: counted from 1; None while the run is not finished.
    """
    names = [name.removeprefix("train_") for name in rows[0] if name.startswith("train_")]
    metric = next((name for name in names if name in METRICS), None)
    curves = {"loss": ("loss", ("train_loss", f"{watched}_loss"))}
    if metric is not None:
        curves[metric] = (METRICS[metric].title, (f"train_{metric}", f"{watched}_{metric}"))
    curves |= {"lr": ("learning rate", ("lr",)), "stability": ("h·ω / limit", ("stability",))}
    panels = [
        _curve(name, label, columns, rows, best_epoch) for name, (label, columns) in curves.items()
        if any(column in row for column in columns for row in rows)
    ]  # fmt: skip
    has_stability = any("stability" in row for row in rows)
    return Figure(
        panels,
        "By epoch: dashed on the training split, solid on the one that is watched"
        + ("" if best_epoch is None else f"; the vertical line is the best epoch, {best_epoch}")
        + (". Steps are stable where h·ω / limit is below 1." if has_stability else "."),
    )


def _curve(
    name: str, label: str, columns: Sequence[str], rows: Sequence[Row], best_epoch: int | None
) -> Panel:
    """A panel with a line for each of the `columns` of the rows; `label` is for the y axis."""
    points = {column: [(int(row["epoch"]) + 1, row[column]) for row in rows if column in row]
              for column in columns}  # fmt: skip
    lines = {column: line for column, line in points.items() if line}
    last = list(lines.values())[-1]
    draw = partial(_draw_curve, name=name, label=label, lines=lines, best_epoch=best_epoch)
    alt = f"{label} by epoch, from {last[0][1]:.4g} to {last[-1][1]:.4g}."
    legend_columns = 0 if name in ("lr", "stability") else 2
    return Panel(f"curve-{name}", alt, draw, height=2.3, legend_columns=legend_columns)


def _draw_curve(
    axes: Axes,
    name: str,
    label: str,
    lines: Mapping[str, Sequence[tuple[int, float]]],
    best_epoch: int | None,
) -> None:
    """Draw the lines of a panel, which are points (epoch, value) by column."""
    for column, points in lines.items():
        style, colour = ("o--", COLOURS[1]) if column.startswith("train_") else ("o-", COLOURS[0])
        split = column.partition("_")[0]
        face = "none" if column.startswith("train_") else colour
        axes.plot(*zip(*points, strict=True), style, markersize=3.5, color=colour,
                  markerfacecolor=face, label=split)  # fmt: skip
    if best_epoch is not None:
        axes.axvline(best_epoch, color=COLOURS[2], linewidth=1, zorder=1)  # behind the points
    if name == "stability":
        axes.axhline(1, color=GREY, linewidth=0.8)
    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
