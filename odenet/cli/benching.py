"""`odenet bench`; the benchmark itself is in bench/ of a checkout."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

import odenet
from odenet.cli.output import say
from odenet.extras import require


def bench(
    depths: Annotated[
        str | None, typer.Option(help="Numbers of steps N [default: each network's own].")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Interleaved turns per contender.")] = 7,
    batch: Annotated[
        int | None, typer.Option(min=2, help="Samples [default: each network's own].")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=2, help="Of the input [default: each network's own].")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(min=1, help="Height and width, or tokens [default: its own]."),
    ] = None,
    layers: Annotated[
        str, typer.Option(help="Depths of single deep networks, in layers.")
    ] = "14,1202,12002",
    only: Annotated[
        list[str] | None, typer.Option(help="A contender to measure [default: all]; repeatable.")
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="hamiltonian, momentum or transformer [default: all]; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of RESULTS.md [default: bench].")
    ] = None,
) -> None:
    """Measure time and memory beside plain autograd, checkpointing and other libraries."""
    checkout = Path(odenet.__file__).parents[1]
    if not (checkout / "bench" / "run.py").is_file():
        say(
            "error: the benchmark is part of the repository, not of the installed package: clone "
            "it, install it with pip install -e '.[bench]' and run odenet bench again",
            err=True,
        )
        raise typer.Exit(1)
    require("bench", "odenet bench")
    sys.path.insert(0, str(checkout))
    import_module("bench.run").run(
        _counts(depths, "--depths") if depths else [],
        repeats,
        batch,
        channels,
        side,
        _counts(layers, "--layers") if layers else [],
        only or [],
        _networks(network or []),
        output or checkout / "bench",
    )


def _networks(names: list[str]) -> list[str]:
    """The names; a usage error where the benchmark has no such network."""
    known = import_module("bench.networks").NETWORKS
    for name in names:
        if name not in known:
            hint = f"no network {name}: {', '.join(known)}"
            raise typer.BadParameter(hint, param_hint="--network")
    return names


def _counts(text: str, option: str) -> list[int]:
    """`"4,16"` as numbers; a usage error when it is something else."""
    items = text.split(",")
    if not all(item.strip().isdecimal() and int(item) > 0 for item in items):
        raise typer.BadParameter("numbers with commas between, such as 4,16", param_hint=option)
    return [int(item) for item in items]
