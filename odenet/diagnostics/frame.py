"""The code frame: a diagnostic as text."""

import unicodedata

from odenet.diagnostics.diagnostic import Diagnostic
from odenet.diagnostics.printable import printable, printable_lines


def render(diagnostic: Diagnostic) -> str:
    """The diagnostic with its line of source, the offending part underlined.

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
        indent = _blank(text[: span.column - 1])
        carets = "^" * max(1, _width(text[span.column - 1 : span.column - 1 + length]))
        lines.append(f"{margin} ┌─ {printable(span.source.name)}:{span.line}:{span.column}")
        lines.append(f"{number} │ {printable(text)}")
        lines.append(f"{margin} │ {indent}{carets} {diagnostic.label}".rstrip())
    elif diagnostic.file:
        lines.append(f"{margin} ┌─ {printable(diagnostic.file)}")
    lines += [f"{margin} = help: {text}" for text in diagnostic.help.splitlines()]
    return printable_lines("\n".join(lines))


def _blank(text: str) -> str:
    """As many columns of white space as the text takes, tabs kept."""
    return "".join("\t" if char == "\t" else " " * _width(char) for char in text)


def _width(text: str) -> int:
    """Columns in a terminal: combining marks take none, wide characters two."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    marks = sum(unicodedata.combining(char) != 0 for char in text)
    return len(text) + wide - marks
