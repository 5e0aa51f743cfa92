"""`odenet compare`: several finished runs in one table and one figure."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.diagnostics import printable, shell_quoted
from odenet.rich_tables import print_table
from odenet.training.errors import BadRunFolder
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs.results import Result, draw_curves


def read_results(runs: Sequence[Path]) -> list[Result]:
    """The results of finished runs.

    Args:
        runs: the folders.

    Raises:
        TrainingError: one of them is not the folder of a finished run.
    """
    results = []
    for run in runs:
        folder = RunFolder(run)
        folder.read_record()
        if not folder.result.is_file():
            help_ = f"odenet train --resume {shell_quoted(run)}"
            raise BadRunFolder(f"{run} is not finished", help_)
        results.append(replace(Result.read(folder.result), folder=str(run)))  # if it was moved
    return results


def show_comparison(results: Sequence[Result], console: Console) -> None:
    """Print a row for each run."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    metric_names = {result.chosen_by.title for result in results}
    has_several = len(metric_names) > 1  # then each row names its own
    metric_column = "metric" if has_several else metric_names.pop()
    for name in (metric_column, "best", "at epoch", "parameters", "seconds", "samples/s"):
        table.add_column(name, justify="right", min_width=len(name))
    for result in results:
        metric = f"{result.chosen_by.title} " if has_several else ""
        table.add_row(
            Text(printable(result.folder)),
            metric + result.show(result.last),
            result.show(result.best),
            str(result.best_epoch),
            f"{result.parameters:,}",
            f"{result.seconds:.1f}",
            f"{result.samples_per_second:,.0f}",
        )
    print_table(table, console)


def draw_comparison(runs: Sequence[Path], path: Path) -> None:
    """Draw the training curves of several runs into one figure.

    Args:
        runs: the folders.
        path: the file to write.

    Raises:
        TrainingError: the metrics of a run are missing or cannot be read.
    """
    rows = {}
    for run, short_path in zip(runs, shortest_distinct_paths(runs), strict=True):
        rows[str(short_path)] = run_rows = RunFolder(run).rows()
        if not run_rows:
            raise BadRunFolder(f"{RunFolder(run).metrics} has no rows to draw")
    draw_curves(rows, path)


def shortest_distinct_paths(runs: Sequence[Path]) -> list[Path]:
    """The last components of each path, just as many as are needed to tell the paths apart."""
    all_parts = [run.resolve().parts[1:] for run in runs]
    for length in range(1, max(map(len, all_parts)) + 1):
        endings = [parts[-length:] for parts in all_parts]
        if len(set(endings)) == len(set(all_parts)):
            return [Path(*ending) for ending in endings]
    return [Path(*parts) for parts in all_parts]
