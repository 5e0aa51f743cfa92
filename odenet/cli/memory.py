"""`odenet memory`; torch is imported when it runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odenet.cli.fitting import read_size
from odenet.cli.output import say, write
from odenet.cli.settings import Plugins, Settings, read_settings
from odenet.json_text import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from odenet.compiler import Program
    from odenet.footprint.step import Mode


def memory(
    spec: Annotated[Path, typer.Argument(help="The specification.")],
    batch: Annotated[
        int | None,
        typer.Option(min=2, help="Samples, 2 or more [default: as its recipe]."),
    ] = None,
    set_: Settings = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Also predict the mode that takes steps in fixed point.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Run a step in each mode too, and measure it.")
    ] = False,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Predict the largest batch within a size such as 8GB instead."
        ),
    ] = None,
    update_in_backward: Annotated[
        bool,
        typer.Option(
            "--update-in-backward", help="The optimizer acts in the backward pass, as in `train`."
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Bytes, for programs.")] = False,
    plugin: Plugins = None,
) -> None:
    """Predict how much memory a training step takes in each memory mode."""
    import torch
    from rich.console import Console

    from odenet.compiler import load
    from odenet.footprint.measure import measured
    from odenet.footprint.step import predicted
    from odenet.footprint.table import modes_of, show_footprints
    from odenet.memory_limit import require_memory

    settings = read_settings(set_, spec)
    program = load(spec, set=settings)
    samples = batch or program.recipe.batch
    program.require_network()
    if fit is not None:
        _fit(program, fit, exact, json_, batch is not None or run, update_in_backward)
        return
    require_memory(program, samples)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    modes = modes_of(program, exact)
    title = f"{program.name}: a training step on {samples} samples, {device}"
    if update_in_backward:
        title += ", the optimizer in the backward pass"
    early = update_in_backward
    expected = {mode: predicted(program, samples, mode, device, early) for mode in modes}
    if not json_:  # at once: running a step of a large network takes a while
        show_footprints(title, expected, {}, Console())
    found = {}
    with Console(stderr=True).status("") as status:
        for mode in modes if run else ():
            status.update(f"running a step in mode {mode}, to measure it")
            found[mode] = measured(spec, settings, samples, [mode], device, early).get(mode)
    if json_:
        rows: dict[str, dict[str, Any]] = {
            mode: {"predicted": asdict(expected[mode])} for mode in modes
        }
        for mode, footprint in found.items():  # a mode whose run failed is not left out
            rows[mode]["measured"] = asdict(footprint) if footprint else "failed"
        write(to_json({"batch": samples, "device": device, "modes": rows}))
    elif run:
        say("")
        show_footprints(f"{title}, run and measured", expected, found, Console())


def _fit(
    program: "Program", size: str, exact: bool, json_: bool, others: bool, early: bool
) -> None:
    """Print the largest batch that fits in each memory mode."""
    import torch

    from odenet.footprint.largest_batch import LEAST, MOST, largest_batch
    from odenet.footprint.step import predicted
    from odenet.footprint.table import modes_of

    limit = read_size(size, "--fit")
    if others:
        raise typer.BadParameter(
            "predicts the batch: leave out --batch and --run", param_hint="--fit"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def peak(mode: "Mode") -> "Callable[[int], int]":
        return lambda count: predicted(program, count, mode, device, early).peak

    found = {mode: largest_batch(peak(mode), limit) for mode in modes_of(program, exact)}
    if json_:
        write(to_json({"bytes": limit, "device": device, "batch": found}))
        return
    say(f"{program.name}: the largest batch of which a training step fits into {size}, {device}")
    for mode, count in found.items():
        least = f"not even {LEAST}" if count is None else f"{count:,}"
        say(f"  {mode:<12}{least}{' or more' if count == MOST else ''}")
