"""What commands print, apart from tables: plain text, which gets colours on a terminal."""

import os
import re
import shutil
import sys
from pathlib import Path
from textwrap import wrap
from typing import TextIO

from odenet.diagnostics import SpecError, printable_lines

# The parts of a line that are coloured, each with the name of its style in rich.
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


# The beginnings of lines that are wrapped; continuation lines are indented by the match's length.
WRAPPED_LINE = re.compile("(error|warning)(\\[[a-z-]+\\])?: |\\s*= help: |stopped; |  ")


def say(text: object, err: bool = False) -> None:
    """Print text for people, on the standard output or (`err`) the standard error.

    Control characters are replaced; on a terminal, messages are wrapped and coloured.
    """
    stream = sys.stderr if err else sys.stdout
    lines = printable_lines(str(text))
    if stream.isatty():
        lines = wrap_messages(lines, shutil.get_terminal_size().columns)
    if shows_colours(stream):
        _print_coloured(lines, stream)
    else:
        print(lines, file=stream)


def write(text: object) -> None:
    """Print text for programs on the standard output: never wrapped or coloured."""
    print(printable_lines(str(text)))


def wrap_messages(text: str, width: int) -> str:
    """A text whose long messages are wrapped; lines of source text and of tables are kept."""
    lines: list[str] = []
    for line in text.split("\n"):
        beginning = WRAPPED_LINE.match(line)
        if beginning is None or len(line) <= width:
            lines.append(line)
            continue
        indent = " " * len(beginning[0])
        lines += wrap(line, width, subsequent_indent=indent, break_long_words=False,
                      break_on_hyphens=False)  # fmt: skip
    return "\n".join(lines)


def shows_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal with colours that the environment does not turn off."""
    has_colours = os.environ.get("TERM") not in ("dumb", "unknown")
    return has_colours and not os.environ.get("NO_COLOR") and stream.isatty()


def terminal_width() -> int | None:
    """The columns of the terminal on the standard output; None if that is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def require_replaceable(file: Path, is_named: bool, mark: bytes, spec: Path | None = None) -> None:
    """Check that a file may be written: it must not replace a specification or a foreign file.

    Args:
        file: the file that is to be written.
        is_named: whether the user has named it; then only the specification is protected.
        mark: bytes by which files of this kind that odenet has written are recognised.
        spec: the specification that the file is made from, if there is one.

    Raises:
        SpecError: if it must not be written.
    """
    if not file.is_file():
        return
    message = ""
    if spec is not None and spec.exists() and file.samefile(spec):
        message = "this is the specification, which would be replaced"
    elif not is_named and mark not in file.read_bytes():
        message = "this file exists and was not written by odenet"
    if message:
        help_ = f"name another with -o FILE{file.suffix}"
        raise SpecError.of("unwritable-file", message, file=str(file), help=help_)


def _print_coloured(text: str, stream: TextIO) -> None:
    from rich.console import Console  # here, since it is slow and only needed on terminals
    from rich.text import Text

    coloured = Text(text)
    for pattern, style in COLOURS:
        for match in re.finditer(pattern, text, re.MULTILINE):
            coloured.stylize(style, *match.span())
    Console(file=stream).print(coloured, soft_wrap=True, highlight=False)
