"""`odenet bench`: runs the benchmark, which is in bench/ of a clone of the repository."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

import odenet
from odenet.cli.output import say
from odenet.extras import require


def bench(
    step_counts: Annotated[
        str | None,
        typer.Option(
            "--depths",
            help="Numbers of steps of the compared networks [default: each network's own].",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved turns per implementation.")] = 7,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Samples in a batch [default: each network's own].")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=2, help="Input channels [default: each network's own].")
    ] = None,
    side: Annotated[
        int | None, typer.Option(min=1, help="Height and width, or tokens [default: its own].")
    ] = None,
    layer_counts: Annotated[
        str,
        typer.Option(
            "--layers",
            help="Depths of the Hamiltonian networks for memory over depth, of odenet alone.",
        ),
    ] = "14,1202,12002",
    only: Annotated[
        list[str] | None,
        typer.Option(help="An implementation to measure [default: all]; repeatable."),
    ] = None,
    networks: Annotated[
        list[str] | None,
        typer.Option(
            "--network", help="hamiltonian, momentum or transformer [default: all]; repeatable."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of RESULTS.md [default: bench].")
    ] = None,
) -> None:
    """Compare time and memory with plain autograd, checkpointing and other libraries."""
    repository = Path(odenet.__file__).parents[1]
    if not (repository / "bench" / "run.py").is_file():
        say(
            "error: the benchmark is part of the repository, not of the installed package: clone "
            "it, install it with pip install -e '.[bench]' and run odenet bench again",
            err=True,
        )
        raise typer.Exit(1)
    require("bench", "odenet bench")
    sys.path.insert(0, str(repository))
    import_module("bench.run").run(
        depths=_read_numbers(step_counts, "--depths") if step_counts else [],
        repeats=repeats,
        batch=batch,
        channels=channels,
        side=side,
        layers=_read_numbers(layer_counts, "--layers") if layer_counts else [],
        only=only or [],
        networks=_known_networks(networks or []),
        output=output or repository / "bench",
    )


def _known_networks(names: list[str]) -> list[str]:
    """The names; raises BadParameter if the benchmark has no such network."""
    known = import_module("bench.networks").NETWORKS
    for name in names:
        if name not in known:
            message = f"no network {name}: {', '.join(known)}"
            raise typer.BadParameter(message, param_hint="--network")
    return names


def _read_numbers(text: str, option: str) -> list[int]:
    """`"4,16"` as `[4, 16]`; raises BadParameter, naming the option, if it is something else."""
    items = text.split(",")
    if not all(item.strip().isdecimal() and int(item) > 0 for item in items):
        raise typer.BadParameter("numbers with commas between, such as 4,16", param_hint=option)
    return [int(item) for item in items]
