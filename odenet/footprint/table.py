"""The footprint of a specification in all memory modes, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from rich.console import Console
from rich.table import Table
from rich.text import Text

from odenet.compiler import Program
from odenet.diagnostics import printable
from odenet.footprint.step import Footprint, Mode
from odenet.rich_tables import print_table
from odenet.training.errors import NotPossible
from odenet.training.flows import flows

ROWS = {
    "parameters": "parameters",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "chain": "held by flows",
    "outside": "held outside flows",
    "working": "working memory",
    "peak": "peak",
}
STEPS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def modes_of(program: Program, exact: bool) -> tuple[Mode, ...]:
    """The memory modes that all flows of a network have; the exact one only if asked for.

    Raises:
        TrainingError: if it is asked for, and a flow cannot be reversed.
    """
    if all(flow.reversible for flow in flows(program.network()).values()):
        return ("reversible", *(["exact"] if exact else []), "stored", "checkpoint")
    if exact:
        raise NotPossible("exact arithmetic undoes steps, and these cannot be undone")
    return ("stored", "checkpoint")


def show_footprints(
    title: str,
    predicted: Mapping[str, Footprint],
    measured: Mapping[str, Footprint | None],
    console: Console,
) -> None:
    """Print a table: a row per part, a column per mode, measured beside predicted; None failed."""
    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for mode in predicted:
        table.add_column(f"{mode}\npredicted", justify="right")
        if measured:
            table.add_column("\nmeasured", justify="right", style="bold")
    for field in fields(Footprint):
        row = [ROWS[field.name]]
        for mode, footprint in predicted.items():
            row.append(size_text(getattr(footprint, field.name)))
            if measured:
                found = measured.get(mode)
                row.append("failed" if found is None else size_text(getattr(found, field.name)))
        table.add_row(*row)
    print_table(table, console)


def size_text(count: int) -> str:
    """Bytes in the largest unit that they fill, such as `4.8 MiB`."""
    for unit, name in STEPS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
