"""What `odenet train` does other than train once: a dry run, a search for the rate, a sweep."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from odenet.cli.header import announce
from odenet.cli.output import say
from odenet.diagnostics import typed

if TYPE_CHECKING:
    from rich.console import Console

    from odenet.compiler import Program
    from odenet.training.run_folder.records import Options


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep and not of a run."""
    return (folder / "sweep.json").is_file()


def try_out(program: "Program", options: "Options", console: "Console", unchecked: bool) -> None:
    """Run a few batches and print what the whole training would take."""
    from odenet.training.runs.dry_run import dry_run

    say(dry_run(program, options, console, unchecked))


def search_rate(
    program: "Program", options: "Options", console: "Console", unchecked: bool, out: str | None
) -> None:
    """Raise the learning rate from step to step; print the suggestion, and draw the loss."""
    from odenet.training.figures import require_format
    from odenet.training.runs.rate_finder import find_rate

    picture = Path(out or f"{program.name}-lr.png")
    require_format(picture)
    found = find_rate(program, options, console, unchecked)
    say(found)
    found.draw(picture)
    say(f"wrote {picture}")


def begin_sweep(
    spec: Path,
    axes: str,
    settings: dict[str, Any],
    options: "Options",
    out: str | None,
    unchecked: bool,
) -> Path:
    """The folder of a new sweep."""
    import odenet
    from odenet.training.sweeps.sweeps import new_sweep, read_axes

    values = read_axes(axes)
    folder = new_sweep(spec, values, settings, options, out, unchecked)
    first = {name: each[0] for name, each in values.items()}
    count = prod(map(len, values.values()))
    say(f"sweep {folder}, {count} point{'s'[: count > 1]}; the first:")
    announce(odenet.load(spec, set={**settings, **first}))
    return folder


def run_sweep(folder: Path, at_once: int | None, console: "Console") -> None:
    """Train the points that are left, and print the table of all; the exit code if stopped."""
    from odenet.training.callbacks.stopping import Stopped
    from odenet.training.sweeps.sweep_figures import best_outcome, draw_sweep, show_sweep
    from odenet.training.sweeps.sweep_workers import train_sweep

    try:
        found = train_sweep(folder, console, at_once)
    except Stopped as stopped:
        say(f"stopped; go on with: odenet train --resume {typed(folder)}")
        raise typer.Exit(128 + stopped.number) from None
    show_sweep(found, console)
    draw_sweep(found, folder / "sweep.png")
    say(f"wrote {folder / 'sweep.png'}, results.csv and results.json")
    if best := best_outcome(found):
        say(f"next  odenet report {typed(best.folder)}  # the best of them")
