"""Printing of tables of the library `rich`, on terminals and to files."""

from rich.console import Console
from rich.table import Table

FILE_WIDTH = 200  # columns; lines of a file need not be broken


def print_table(table: Table, console: Console) -> None:
    """Print a table: fitted to a terminal; elsewhere whole, with no blanks at the ends of lines."""
    if console.is_terminal or console.is_jupyter:
        console.print(table)
        return
    with console.capture() as printed:
        console.print(table, width=max(FILE_WIDTH, console.width), crop=False)
    for line in printed.get().splitlines():
        console.out(line.rstrip(), highlight=False)
