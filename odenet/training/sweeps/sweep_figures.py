"""A sweep as a table and a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.diagnostics import printable
from odenet.rich_tables import print_table
from odenet.training.figures import label, save_figure
from odenet.training.runs.results import Result
from odenet.training.sweeps.sweeps import Failure, Outcome

LOG_SCALE_RATIO = (
    20.0  # a ratio of the largest to the least value from which an axis is logarithmic
)


def show_sweep(found: Sequence[Outcome], console: Console) -> None:
    """Print a row per point, the best one bold."""
    results = [outcome.result for outcome in found if isinstance(outcome.result, Result)]
    table = Table(box=box.SIMPLE_HEAD)
    for name in found[0].settings:
        table.add_column(Text(printable(name)), justify="right")
    words = results[0].chosen_by.words if results else "outcome"
    split = {"test": "test ", "val": "held-out "}[results[0].watched] if results else ""
    for name in (f"{split}{words}", "best", "at epoch", "seconds"):
        table.add_column(name, justify="right")
    best = best_outcome(found)
    for outcome in found:
        row = [Text(printable(value)) for value in outcome.settings.values()]
        table.add_row(*row, *_value_cells(outcome), style="bold" if outcome is best else None)
    print_table(table, console)


def _value_cells(outcome: Outcome) -> list[Text]:
    match outcome.result:
        case Result() as result:
            shown = [result.show(result.last), result.show(result.best), str(result.best_epoch)]
            return [Text(text) for text in (*shown, f"{result.seconds:.1f}")]
        case Failure() as failure:
            return [Text("diverged", "red"), Text("–"), Text(str(failure.epoch)), Text("–")]
        case None:
            return [Text("not finished"), *[Text("–")] * 3]


def best_outcome(found: Sequence[Outcome]) -> Outcome | None:
    """The point whose last value is the best; of equal ones the first."""
    done = [
        (o.result, o) for o in found if isinstance(o.result, Result) and o.result.last is not None
    ]
    if not done:
        return None
    largest = done[0][0].chosen_by.best == "max"
    return (max if largest else min)(done, key=lambda pair: pair[0].last or 0.0)[1]


def draw_sweep(found: Sequence[Outcome], path: Path) -> None:
    """Draw the last value of the metric over the axis with most values, a line for each other.

    Points that diverged are crosses at the lower edge.

    Args:
        found: the points.
        path: the picture.
    """
    values = {name: list(dict.fromkeys(o.settings[name] for o in found)) for name in
              found[0].settings}  # fmt: skip
    across = max(values, key=lambda name: (len(values[name]), _as_floats(values[name]) is not None))
    places = _as_floats(values[across])
    at = dict(zip(values[across], places or range(len(values[across])), strict=True))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(_curves(found, across).items()):
        done = [(at[o.settings[across]], o.result.last) for o in points
                if isinstance(o.result, Result) and o.result.last is not None]  # fmt: skip
        lost = [at[o.settings[across]] for o in points if isinstance(o.result, Failure)]
        done.sort()
        colour = f"C{number % 10}"
        axes.plot([x for x, _ in done], [y for _, y in done], "o-", label=label(name), color=colour)
        edge = axes.get_xaxis_transform()
        axes.plot(lost, [0.02] * len(lost), "x", transform=edge, color=colour)
    if places is None:
        axes.set_xticks(range(len(at)), [label(value) for value in at])
    elif min(places) > 0 and max(places) / min(places) > LOG_SCALE_RATIO:
        axes.set_xscale("log")
    results = [outcome.result for outcome in found if isinstance(outcome.result, Result)]
    axes.set_xlabel(label(across))
    axes.set_ylabel(f"{results[0].watched} {results[0].chosen_by.words}" if results else "")
    axes.grid(alpha=0.3)
    if len(values) > 1:
        axes.legend(frameon=False, fontsize="small")
    save_figure(figure, path, dpi=150)


def _curves(found: Sequence[Outcome], across: str) -> Mapping[str, list[Outcome]]:
    """The points of each line, by the settings that it is of."""
    lines: dict[str, list[Outcome]] = {}
    for outcome in found:
        others = {name: value for name, value in outcome.settings.items() if name != across}
        name = ", ".join(f"{name} = {value}" for name, value in others.items())
        lines.setdefault(name, []).append(outcome)
    return lines


def _as_floats(values: Sequence[str]) -> list[float] | None:
    """Values as numbers, if all are."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return None
