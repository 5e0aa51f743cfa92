"""Prints a diagnostic with a code frame: its line of source with the error underlined."""

import unicodedata

from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.printable import printable, printable_lines


def render(diagnostic: Diagnostic) -> str:
    """The text of a diagnostic, with its line of source and the error underlined.

    Example:
        ```
        error[scheme-misfit]: verlet needs Y' to read only Z, but it reads Y
          ┌─ specs/bad.ode:8:18
        8 │ Y' = K1^T σ(K1 Y + b1)
          │                ^ Y is read here
          = help: midpoint takes Y' = F(Y)
        ```
    """
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    margin = " "
    if diagnostic.span is not None:
        span = diagnostic.span
        number = str(span.line)
        margin = " " * len(number)
        text = span.source.line(span.line)
        length = max(1, min(span.end - span.start, len(text) - span.column + 1))
        indent = _blank_copy(text[: span.column - 1])
        carets = "^" * max(1, _terminal_width(text[span.column - 1 : span.column - 1 + length]))
        lines.append(f"{margin} ┌─ {printable(span.source.name)}:{span.line}:{span.column}")
        lines.append(f"{number} │ {printable(text)}")
        lines.append(f"{margin} │ {indent}{carets} {diagnostic.label}".rstrip())
    elif diagnostic.file:
        lines.append(f"{margin} ┌─ {printable(diagnostic.file)}")
    lines += [f"{margin} = help: {text}" for text in diagnostic.help.splitlines()]
    return printable_lines("\n".join(lines))


def _blank_copy(text: str) -> str:
    """White space as wide as the text in a terminal; tabs stay tabs."""
    return "".join("\t" if char == "\t" else " " * _terminal_width(char) for char in text)


def _terminal_width(text: str) -> int:
    """The columns that a text takes in a terminal: combining marks none, wide characters two."""
    wide_count = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    mark_count = sum(unicodedata.combining(char) != 0 for char in text)
    return len(text) + wide_count - mark_count
