"""What commands print, apart from rich's tables: plain text, with colours where a terminal is."""

import os
import re
import shutil
import sys
from pathlib import Path
from textwrap import wrap
from typing import TextIO

from odenet.diagnostics import SpecError, printable_lines

# The parts of a line that have a colour, each with rich's name of a style.
COLOURS = (
    (r"^error(?:\[[a-z-]+\])?(?=:)", "bold red"),
    (r"^warning(?:\[[a-z-]+\])?(?=:)", "bold yellow"),
    (r"^\s*= help(?=:)", "cyan"),
    (r"^\s*┌─ .*|^\s*\d* ?│", "blue"),
    (r"(?<=│ )\s*\^+", "bold red"),
    (r"✓ \S+(?: proved)?", "green"),
    (r"✗ \S+(?: refuted)?|\brefuted(?=:)", "red"),
    (r"\? \S+ open|\bopen(?=:)", "yellow"),
    (r"\(proved[^)]*\)", "green"),
    (r"^  (?:order|parasitic|limit|round trip|spectrum|energy|claims)  +", "bold"),
    (r"^wrote .*|^stopped; .*|^finished; .*", "dim"),
)


MESSAGE = re.compile("(error|warning)(\\[[a-z-]+\\])?: |\\s*= help: |stopped; |  ")


def say(text: object, err: bool = False) -> None:
    """Print lines; what a terminal would act on is shown by a stand-in."""
    stream = sys.stderr if err else sys.stdout
    shown = printable_lines(str(text))
    if stream.isatty():
        shown = wrapped(shown, shutil.get_terminal_size().columns)
    if coloured(stream):
        _say_coloured(shown, stream)
    else:
        print(shown, file=stream)


def write(text: object) -> None:
    """Print lines that programs read: without colours, wherever they go."""
    print(printable_lines(str(text)))


def wrapped(text: str, width: int) -> str:
    """A text with its messages and helps broken between words; its other lines are left alone."""
    lines: list[str] = []
    for line in text.split("\n"):
        found = MESSAGE.match(line)
        if found is None or len(line) <= width:
            lines.append(line)
            continue
        hang = " " * len(found[0])
        lines += wrap(line, width, subsequent_indent=hang, break_long_words=False,
                      break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)


def coloured(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and nobody asked it not to."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")
    return wanted and stream.isatty()


def terminal_width() -> int | None:
    """The columns of the terminal that the output goes to; None where it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def require_free(target: Path, chosen: bool, mark: bytes, spec: Path | None = None) -> None:
    """Refuse to replace the specification, or, where nobody named it, a file that is not ours.

    Args:
        target: what is about to be written.
        chosen: whether the user named it.
        mark: what every such file of odenet's begins with or holds.
        spec: what the file is made from, where that is one specification.

    Raises:
        SpecError: names the file.
    """
    if not target.is_file():
        return
    message = ""
    if spec is not None and spec.exists() and target.samefile(spec):
        message = "this is the specification, which would be replaced"
    elif not chosen and mark not in target.read_bytes():
        message = "this file exists and was not written by odenet"
    if message:
        help_ = f"name another with -o FILE{target.suffix}"
        raise SpecError.of("unwritable-file", message, file=str(target), help=help_)


def _say_coloured(text: str, stream: TextIO) -> None:
    from rich.console import Console  # where nobody looks it is not needed
    from rich.text import Text

    shown = Text(text)
    for pattern, style in COLOURS:
        for found in re.finditer(pattern, text, re.MULTILINE):
            shown.stylize(style, *found.span())
    Console(file=stream).print(shown, soft_wrap=True, highlight=False)
