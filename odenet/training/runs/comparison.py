"""Several finished runs side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.diagnostics import printable, typed
from odenet.rich_tables import print_table
from odenet.training.errors import BadRunFolder
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result, draw_curves


def read_results(runs: Sequence[Path]) -> list[Result]:
    """The results of runs.

    Raises:
        TrainingError: if one of them is not a finished run.
    """
    results = []
    for run in runs:
        folder = RunFolder(run)
        folder.read_record()
        if not folder.result.is_file():
            raise BadRunFolder(f"{run} is not finished", f"odenet train --resume {typed(run)}")
        results.append(replace(Result.read(folder.result), folder=str(run)))  # it may have moved
    return results


def show_comparison(results: Sequence[Result], console: Console) -> None:
    """Print a row per run."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    measures = {result.chosen_by.words for result in results}
    mixed = len(measures) > 1  # each number then says of what it is
    first = "metric" if mixed else measures.pop()
    for name in (first, "best", "at epoch", "parameters", "seconds", "samples/s"):
        table.add_column(name, justify="right", min_width=len(name))
    for result in results:
        table.add_row(
            Text(printable(result.folder)),
            f"{result.chosen_by.words} {result.show(result.last)}"
            if mixed
            else result.show(result.last),
            result.show(result.best),
            str(result.best_epoch),
            f"{result.parameters:,}",
            f"{result.seconds:.1f}",
            f"{result.samples_per_second:,.0f}",
        )
    print_table(table, console)


def draw_comparison(runs: Sequence[Path], path: Path) -> None:
    """Draw the curves of runs into one picture.

    Raises:
        TrainingError: the metrics of one cannot be read.
    """
    rows = {}
    for run, place in zip(runs, shortest_distinct_paths(runs), strict=True):
        rows[str(place)] = found = RunFolder(run).rows()
        if not found:
            raise BadRunFolder(f"{RunFolder(run).metrics} has no rows to draw")
    draw_curves(rows, path)


def shortest_distinct_paths(runs: Sequence[Path]) -> list[Path]:
    """The ends of the paths of runs, as short as tells the folders apart; relative ones."""
    whole = [run.resolve().parts[1:] for run in runs]
    for length in range(1, max(map(len, whole)) + 1):
        ends = [parts[-length:] for parts in whole]
        if len(set(ends)) == len(set(whole)):
            return [Path(*end) for end in ends]
    return [Path(*parts) for parts in whole]
