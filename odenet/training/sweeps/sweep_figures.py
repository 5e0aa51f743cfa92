"""The results of a sweep, which trains a spec on a grid of settings, as a table and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.diagnostics import printable
from odenet.rich_tables import print_table
from odenet.training.figures import figure_text, save_figure
from odenet.training.runs.results import Result
from odenet.training.sweeps.sweeps import Failure, Point

LOG_SCALE_RATIO = 20.0  # largest value / smallest value, above which the axis is logarithmic


def show_sweep(points: Sequence[Point], console: Console) -> None:
    """Print one row for each point of the grid, the best in bold."""
    results = [point.result for point in points if isinstance(point.result, Result)]
    table = Table(box=box.SIMPLE_HEAD)
    for name in points[0].settings:
        table.add_column(Text(printable(name)), justify="right")
    metric_name = results[0].chosen_by.title if results else "outcome"
    split = {"test": "test ", "val": "held-out "}[results[0].watched] if results else ""
    for name in (f"{split}{metric_name}", "best", "at epoch", "seconds"):
        table.add_column(name, justify="right")
    best = best_point(points)
    for point in points:
        row = [Text(printable(value)) for value in point.settings.values()]
        table.add_row(*row, *_value_cells(point), style="bold" if point is best else None)
    print_table(table, console)


def _value_cells(point: Point) -> list[Text]:
    match point.result:
        case Result() as result:
            cells = [result.show(result.last), result.show(result.best), str(result.best_epoch)]
            return [Text(text) for text in (*cells, f"{result.seconds:.1f}")]
        case Failure() as failure:
            return [Text("diverged", "red"), Text("–"), Text(str(failure.epoch)), Text("–")]
        case None:
            return [Text("not finished"), *[Text("–")] * 3]


def best_point(points: Sequence[Point]) -> Point | None:
    """The first point with the best metric after its last epoch; None if no point is finished."""
    values = [(value, p) for p in points if (value := _last_metric(p)) is not None]
    if not values:
        return None
    result = values[0][1].result
    maximise = isinstance(result, Result) and result.chosen_by.best == "max"
    return (max if maximise else min)(values, key=lambda pair: pair[0])[1]


def draw_sweep(points: Sequence[Point], path: Path) -> None:
    """Draw the metric after the last epoch against the setting that has the most values.

    There is one curve for each combination of the other settings. Points that diverged are crosses
    at the lower edge.

    Args:
        points: all points of the grid.
        path: the file to write.
    """
    values = {name: list(dict.fromkeys(p.settings[name] for p in points)) for name in
              points[0].settings}  # fmt: skip
    x_name = max(values, key=lambda name: (len(values[name]), _as_floats(values[name]) is not None))
    x_numbers = _as_floats(values[x_name])
    positions = dict(zip(values[x_name], x_numbers or range(len(values[x_name])), strict=True))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, curve_points) in enumerate(_curves(points, x_name).items()):
        placed = [(positions[p.settings[x_name]], p) for p in curve_points]
        finished = sorted((x, y) for x, p in placed if (y := _last_metric(p)) is not None)
        diverged = [x for x, p in placed if isinstance(p.result, Failure)]
        xs, ys = [x for x, _ in finished], [y for _, y in finished]
        colour = f"C{number % 10}"
        axes.plot(xs, ys, "o-", label=figure_text(name), color=colour)
        edge = axes.get_xaxis_transform()  # y is a share of the height of the axes
        axes.plot(diverged, [0.02] * len(diverged), "x", transform=edge, color=colour)
    if x_numbers is None:
        axes.set_xticks(range(len(positions)), [figure_text(value) for value in positions])
    elif min(x_numbers) > 0 and max(x_numbers) / min(x_numbers) > LOG_SCALE_RATIO:
        axes.set_xscale("log")
    results = [point.result for point in points if isinstance(point.result, Result)]
    axes.set_xlabel(figure_text(x_name))
    axes.set_ylabel(f"{results[0].watched} {results[0].chosen_by.title}" if results else "")
    axes.grid(alpha=0.3)
    if len(values) > 1:
        axes.legend(frameon=False, fontsize="small")
    save_figure(figure, path, dpi=150)


def _last_metric(point: Point) -> float | None:
    """The metric after the last epoch; None if the point is not finished or diverged."""
    return point.result.last if isinstance(point.result, Result) else None


def _curves(points: Sequence[Point], x_name: str) -> Mapping[str, list[Point]]:
    """The points of each curve, by the values of all settings but the one on the x axis."""
    curves: dict[str, list[Point]] = {}
    for point in points:
        others = {name: value for name, value in point.settings.items() if name != x_name}
        name = ", ".join(f"{name} = {value}" for name, value in others.items())
        curves.setdefault(name, []).append(point)
    return curves


def _as_floats(values: Sequence[str]) -> list[float] | None:
    """The values as numbers; None if one of them is not a number."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return None
