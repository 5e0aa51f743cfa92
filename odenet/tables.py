"""Tables of rich, on terminals and in files."""

from rich.console import Console
from rich.table import Table

WIDE = 200  # columns of a file, where no line needs to be broken


def print_table(table: Table, console: Console) -> None:
    """Print a table: fitted to a terminal; elsewhere whole, with no blanks at the ends of lines."""
    if console.is_terminal or console.is_jupyter:
        console.print(table)
        return
    with console.capture() as printed:
        console.print(table, width=max(WIDE, console.width), crop=False)
    for line in printed.get().splitlines():
        console.out(line.rstrip(), highlight=False)
