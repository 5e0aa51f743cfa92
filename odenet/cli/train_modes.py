"""Modes of `odenet train` other than one training: dry run, search for a learning rate, sweep."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from odenet.cli.header import announce
from odenet.cli.output import say
from odenet.diagnostics import shell_quoted

if TYPE_CHECKING:
    from rich.console import Console

    from odenet.compiler import Program
    from odenet.training.run_folder.records import Options


def is_sweep(folder: Path) -> bool:
    """Whether a folder belongs to a sweep; else it belongs to a single run."""
    return (folder / "sweep.json").is_file()


def print_dry_run(
    program: "Program", options: "Options", console: "Console", unchecked: bool
) -> None:
    """Train on a few batches, and print the time and memory of the whole training."""
    from odenet.training.runs.dry_run import dry_run

    say(dry_run(program, options, console, unchecked))


def search_lr(
    program: "Program", options: "Options", console: "Console", unchecked: bool, out: str | None
) -> None:
    """Train with a rising learning rate; print the suggested rate and draw the loss."""
    from odenet.training.figures import require_format
    from odenet.training.runs.rate_finder import find_rate

    picture = Path(out or f"{program.name}-lr.png")
    require_format(picture)
    suggestion = find_rate(program, options, console, unchecked)
    say(suggestion)
    suggestion.draw(picture)
    say(f"wrote {picture}")


def begin_sweep(
    spec: Path,
    grid_text: str,
    settings: dict[str, Any],
    options: "Options",
    out: str | None,
    unchecked: bool,
) -> Path:
    """Make the folder of a new sweep, and announce its first point.

    `grid_text` is the text of `--sweep`, such as "h=0.05,0.1 lr=0.01,0.1".
    """
    import odenet
    from odenet.training.sweeps.sweeps import new_sweep, read_axes

    grid = read_axes(grid_text)
    folder = new_sweep(spec, grid, settings, options, out, unchecked)
    first_point = {name: values[0] for name, values in grid.items()}
    count = prod(map(len, grid.values()))
    say(f"sweep {folder}, {count} point{'s'[: count > 1]}; the first:")
    announce(odenet.load(spec, set={**settings, **first_point}))
    return folder


def run_sweep(folder: Path, parallel_points: int | None, console: "Console") -> None:
    """Train the remaining points of a sweep, and print the table of all.

    Args:
        folder: the folder of the sweep.
        parallel_points: how many points are trained at a time; None for one per device.
        console: where progress and table are shown.

    Raises:
        typer.Exit: if a signal has stopped the sweep.
    """
    from odenet.training.callbacks.stopping import Stopped
    from odenet.training.sweeps.sweep_figures import best_point, draw_sweep, show_sweep
    from odenet.training.sweeps.sweep_workers import train_sweep

    try:
        points = train_sweep(folder, console, parallel_points)
    except Stopped as stopped:
        say(f"stopped; go on with: odenet train --resume {shell_quoted(folder)}")
        raise typer.Exit(128 + stopped.number) from None
    show_sweep(points, console)
    draw_sweep(points, folder / "sweep.png")
    say(f"wrote {folder / 'sweep.png'}, results.csv and results.json")
    if best := best_point(points):
        say(f"next  odenet report {shell_quoted(best.folder)}  # the best of them")
