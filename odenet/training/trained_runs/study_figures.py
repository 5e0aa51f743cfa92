"""Studies of trained flows (see `studies.py`) as a table and as figures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.counted import counted
from odenet.diagnostics import printable
from odenet.model.tables.losses import MetricKind
from odenet.rich_tables import print_table
from odenet.training.figures import figure_text, save_figure
from odenet.training.trained_runs import depth_figures
from odenet.training.trained_runs.studies import FlowStudy, Study, depth_law

SHUFFLED_DISTANCE = 0.4  # the Kendall distance from which steps count as shuffled


def show_study(study: Study, console: Console) -> None:
    """Print a row for each flow."""
    metric = f"{study.measure.title} {study.measure.show(study.value)}"
    console.print(Text(f"{printable(study.name)}: {metric}, {counted(study.depth, 'step')}"))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("flow")
    for name in ("steps", "one left out", "shuffled", "|hF|/|u|", "largest Re λ", "Lyapunov"):
        table.add_column(name, justify="right")
    worst_of = min if study.measure.best == "max" else max
    for flow in study.flows:
        eigenvalues = [value for values in flow.eigenvalues.values() for value in values]
        table.add_row(
            flow.name,
            str(len(flow.metric_without_step)),
            study.measure.show(worst_of(flow.metric_without_step)),
            _shuffled_text(flow, study.measure),
            f"{np.divide(flow.change_norms, flow.state_norms).mean():.3g}",
            depth_figures.largest_real_part(eigenvalues),
            f"{flow.lyapunov_exponent:.3g}",
        )
    print_table(table, console)


def draw_study(study: Study, folder: Path) -> list[Path]:
    """Draw lesions, norms, energies and spectra, each as a figure with a panel for each flow.

    Args:
        study: the study of a run.
        folder: where the figures are written.

    Returns:
        The paths of the figures.
    """
    drawings: dict[str, Callable[[Axes, FlowStudy], None]] = {  # by the names of the files
        "lesion": lambda axes, flow: _draw_one_left_out(axes, flow, study),
        "several": lambda axes, flow: _draw_several_left_out(axes, flow, study),
        "norms": lambda axes, flow: depth_figures.draw_norms(axes, {flow.name: flow}),
        "spectrum": lambda axes, flow: _draw_spectrum(axes, flow, study),
    }
    if any(flow.energies for flow in study.flows):
        drawings["energy"] = lambda axes, flow: depth_figures.draw_energy(axes, {flow.name: flow})
    written = []
    for name, draw in drawings.items():
        figure = _figure(len(study.flows))
        for axes, flow in zip(figure.axes, study.flows, strict=True):
            draw(axes, flow)
            axes.set_title(figure_text(f"{study.name}, layer {flow.name}"), fontsize="medium")
            if name == "lesion":
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            below_axes = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
            axes.legend(frameon=False, fontsize="small", **below_axes)
        written.append(folder / f"{name}.png")
        save_figure(figure, written[-1], dpi=130)
    return written


def draw_depth_law(studies: Sequence[Study], path: Path) -> None:
    """Draw the mean |h F| / |u| of runs against their depth, with 1 / depth for comparison."""
    figure = _figure(1)
    (axes,) = figure.axes
    depths = np.array([study.depth for study in studies])
    changes = np.array([study.change for study in studies])
    axes.loglog(depths, changes, "o", label=f"runs: depth^{depth_law(studies):.2f}")
    sorted_depths = np.sort(depths)
    scale = np.exp(np.mean(np.log(changes * depths)))
    axes.loglog(sorted_depths, scale / sorted_depths, "--", color="grey", label="1 / depth")
    axes.set(xlabel="steps of all flows", ylabel="mean |hF| / |u|")
    axes.legend(frameon=False)
    save_figure(figure, path, dpi=130)


def draw_rates(studies: Sequence[Study], path: Path) -> None:
    """Draw |F| of all runs against time, with a panel for each flow.

    As in Chang et al. 2018 (ICLR), Fig. 7.
    """
    figure = _figure(len(studies[0].flows))
    for axes, flows in zip(figure.axes, zip(*(s.flows for s in studies), strict=True), strict=True):
        for study, flow in zip(studies, flows, strict=True):
            time = np.arange(len(flow.rate_norms)) / len(flow.rate_norms)
            axes.plot(time, flow.rate_norms, "o-", markersize=3, label=figure_text(study.name))
        axes.set(xlabel="time, as a share of the whole", ylabel="mean |F|", title=flows[0].name)
    figure.axes[0].legend(frameon=False, fontsize="small")
    save_figure(figure, path, dpi=130)


def _figure(panels: int) -> Figure:
    figure = Figure(figsize=(1 + 3.6 * panels, 3.8), layout="constrained")
    for axes in figure.subplots(1, panels, squeeze=False)[0]:
        axes.grid(alpha=0.3)
    return figure


def _draw_one_left_out(axes: Axes, flow: FlowStudy, study: Study) -> None:
    axes.axhline(study.value, color="grey", linestyle="--", label="whole")
    axes.plot(flow.metric_without_step, "o-", label="without this step")
    axes.set(xlabel="step", **_metric_axis(study.measure))


def _draw_several_left_out(axes: Axes, flow: FlowStudy, study: Study) -> None:
    axes.axhline(study.value, color="grey", linestyle="--", label="whole")
    counts, metrics = np.array(flow.metric_by_left_out).T
    axes.plot(counts / len(flow.metric_without_step), metrics, "o-", label="steps left out")
    axes.plot(*np.array(flow.metric_by_disorder).T, ".", label="pairs in the wrong order")
    axis = _metric_axis(study.measure)
    axes.set(xlabel="share of the steps, or of the pairs", xlim=(0, 1), **axis)


def _draw_spectrum(axes: Axes, flow: FlowStudy, study: Study) -> None:
    spectrum = {f"step {step}": values for step, values in flow.eigenvalues.items()}
    depth_figures.draw_spectrum(axes, spectrum, study.order)


def _metric_axis(measure: MetricKind) -> dict[str, Any]:
    """Keywords of `Axes.set` for a metric on the vertical axis, from 0 to 1 if it is a share."""
    is_share = measure.best == "max" and measure.number_format.endswith("%}")
    return {"ylabel": measure.title, **({"ylim": (0, 1)} if is_share else {})}


def _shuffled_text(flow: FlowStudy, measure: MetricKind) -> str:
    """The mean metric with thoroughly shuffled steps, as text; a dash if there are none."""
    values = [value for share, value in flow.metric_by_disorder if share >= SHUFFLED_DISTANCE]
    return measure.show(float(np.mean(values))) if values else "–"
