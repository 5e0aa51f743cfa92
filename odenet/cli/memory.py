"""`odenet memory`: predicts the memory of a training step; imports torch when it runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from odenet.cli.memory_options import read_size
from odenet.cli.output import say, write
from odenet.cli.shared_options import Plugins, Settings, read_settings
from odenet.counted import counted
from odenet.json_text import to_json

if TYPE_CHECKING:
    from odenet.compiler import Program
    from odenet.footprint.step import Mode


def memory(
    spec: Annotated[Path, typer.Argument(help="The specification.")],
    batch: Annotated[
        int | None, typer.Option(min=2, help="Samples, 2 or more [default: as its recipe].")
    ] = None,
    set_: Settings = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Also predict the mode that takes steps in fixed point.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Also run a step in each mode, and measure it.")
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
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, in bytes.")] = False,
    plugin: Plugins = None,
) -> None:
    """Predict how much memory a training step takes in each memory mode."""
    import torch
    from rich.console import Console

    from odenet.compiler import load
    from odenet.footprint.measurement import measure
    from odenet.footprint.step import predict
    from odenet.footprint.table import available_modes, show_footprints
    from odenet.memory_limit import require_memory

    settings = read_settings(set_, spec)
    program = load(spec, set=settings)
    samples = batch or program.recipe.batch
    program.require_network()
    if fit is not None:
        limit = read_size(fit, "--fit")
        if batch is not None or run:
            message = "predicts the batch: leave out --batch and --run"
            raise typer.BadParameter(message, param_hint="--fit")
        title = f"{program.name}: the largest batch of which a training step fits into {fit}"
        _print_largest_batches(program, title, limit, exact, json_, update_in_backward)
        return
    require_memory(program, samples)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    modes = available_modes(program, exact)
    title = f"{program.name}: a training step on {counted(samples, 'sample')}, {device}"
    if update_in_backward:
        title += ", the optimizer in the backward pass"
    predictions = {m: predict(program, samples, m, device, update_in_backward) for m in modes}
    if not json_:  # now, since running a step of a large network takes a while
        show_footprints(title, predictions, {}, Console())
    measurements = {}
    with Console(stderr=True).status("") as status:
        for mode in modes if run else ():
            status.update(f"running a step in mode {mode}, to measure it")
            footprints = measure(spec, settings, samples, [mode], device, update_in_backward)
            measurements[mode] = footprints.get(mode)
    if json_:
        rows: dict[str, Any] = {mode: {"predicted": asdict(predictions[mode])} for mode in modes}
        for mode, footprint in measurements.items():  # None where the run failed
            rows[mode]["measured"] = asdict(footprint) if footprint else "failed"
        write(to_json({"batch": samples, "device": device, "modes": rows}))
    elif run:
        say("")
        show_footprints(f"{title}, run and measured", predictions, measurements, Console())


def _print_largest_batches(
    program: "Program", title: str, limit: int, exact: bool, json_: bool, in_backward: bool
) -> None:
    """Print, for each memory mode, the largest batch that fits into a limit in bytes."""
    import torch

    from odenet.footprint.largest_batch import MAX_BATCH, MIN_BATCH, largest_batch
    from odenet.footprint.step import predict
    from odenet.footprint.table import available_modes

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def find_batch(mode: "Mode") -> int | None:
        return largest_batch(lambda n: predict(program, n, mode, device, in_backward).peak, limit)

    batches = {mode: find_batch(mode) for mode in available_modes(program, exact)}
    if json_:
        write(to_json({"bytes": limit, "device": device, "batch": batches}))
        return
    say(f"{title}, {device}")
    for mode, batch in batches.items():
        samples = f"not even {MIN_BATCH}" if batch is None else f"{batch:,}"
        say(f"  {mode:<12}{samples}{' or more' if batch == MAX_BATCH else ''}")
