"""The footprints of a network in its memory modes, as a table."""

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

ROW_TITLES = {  # by the fields of `Footprint`
    "parameters": "parameters",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "chain": "held by flows",
    "outside": "held outside flows",
    "working": "working memory",
    "peak": "peak",
}
UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def available_modes(program: Program, exact: bool) -> tuple[Mode, ...]:
    """The memory modes that all flows of a network have.

    Args:
        program: the program that has the network.
        exact: whether to include the exact mode.

    Raises:
        NotPossible: if the exact mode is to be included, and a flow is not reversible.
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
    """Print a table with a row for each part of the footprint and a column for each mode.

    Args:
        title: the title of the table.
        predicted: footprints by mode.
        measured: footprints by mode, shown beside the predicted ones; None where measuring failed.
        console: the console to print on.
    """
    table = Table(title=Text(printable(title)), title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for mode in predicted:
        table.add_column(f"{mode}\npredicted", justify="right")
        if measured:
            table.add_column("\nmeasured", justify="right", style="bold")
    for field in fields(Footprint):
        row = [ROW_TITLES[field.name]]
        for mode, footprint in predicted.items():
            row.append(size_text(getattr(footprint, field.name)))
            if measured:
                actual = measured.get(mode)
                row.append("failed" if actual is None else size_text(getattr(actual, field.name)))
        table.add_row(*row)
    print_table(table, console)


def size_text(size: int) -> str:
    """A number of bytes in a suitable unit, such as `4.8 MiB`."""
    for unit, name in UNITS:
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"
