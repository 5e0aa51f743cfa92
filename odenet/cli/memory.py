"""`odenet memory`; torch is imported when it runs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from odenet.cli.output import say
from odenet.cli.settings import Plugins, Settings, read_settings
from odenet.json_text import to_json


def memory(
    spec: Annotated[Path, typer.Argument(help="The specification.")],
    batch: Annotated[
        int | None, typer.Option(min=2, help="Samples [default: those of its recipe].")
    ] = None,
    set_: Settings = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Also for flows that are reversed in exact arithmetic.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Run a step in each mode too, and measure it.")
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
    from odenet.room import require_room

    settings = read_settings(set_, spec)
    program = load(spec, set=settings)
    samples = batch or program.recipe.batch
    program.require_network()
    require_room(program, samples)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    modes = modes_of(program, exact)
    title = f"{program.name}: a training step on {samples} samples, {device}"
    expected = {mode: predicted(program, samples, mode, device) for mode in modes}
    if not json_:  # at once: running a step of a large network takes a while
        show_footprints(title, expected, {}, Console())
    found = {}
    with Console(stderr=True).status("") as status:
        for mode in modes if run else ():
            status.update(f"running a step in mode {mode}, to measure it")
            found[mode] = measured(spec, settings, samples, [mode], device).get(mode)
    if json_:
        rows = {
            mode: {"predicted": asdict(expected[mode])}
            | ({"measured": asdict(footprint)} if (footprint := found.get(mode)) else {})
            for mode in modes
        }
        say(to_json({"batch": samples, "device": device, "modes": rows}))
    elif run:
        say("")
        show_footprints(f"{title}, run and measured", expected, found, Console())
