"""Several finished runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.diagnostics import printable
from odenet.train.errors import TrainingError
from odenet.train.records import RunFolder
from odenet.train.results import Result, draw_curves


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
            raise TrainingError(f"{run} is not finished", f"odenet train --resume {run}")
        results.append(Result.read(folder.result))
    return results


def show_comparison(results: Sequence[Result], console: Console) -> None:
    """Print a row per run."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold")
    for name in ("accuracy", "best", "at epoch", "parameters", "seconds", "samples/s"):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(
            Text(printable(result.folder)),
            f"{result.accuracy:.2%}",
            f"{result.best_accuracy:.2%}",
            str(result.best_epoch),
            f"{result.parameters:,}",
            f"{result.seconds:.1f}",
            f"{result.samples_per_second:,.0f}",
        )
    console.print(table)


def draw_comparison(runs: Sequence[Path], path: Path) -> None:
    """Draw the curves of runs into one picture.

    Raises:
        TrainingError: the metrics of one cannot be read.
    """
    rows = {run.name: RunFolder(run).rows() for run in runs}
    for run in runs:
        if not rows[run.name]:
            raise TrainingError(f"{RunFolder(run).metrics} has no rows to draw")
    draw_curves(rows, path)
