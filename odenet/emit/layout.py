"""Formatting of generated code: long lines are broken as ruff's formatter breaks them."""

import re
import textwrap
from collections.abc import Iterable, Iterator

from odenet.diagnostics import printable

WIDTH = 88
_OPENS, _CLOSES = "([{", ")]}"


def lay_out(line: str, indent: int) -> list[str]:
    """One statement as lines of at most WIDTH columns where its brackets and operators allow.

    Args:
        line: the statement; its own indentation is added to `indent`.
        indent: its indentation in columns.
    """
    indent += len(line) - len(line.lstrip())
    line = line.lstrip()
    if indent + len(line) <= WIDTH:
        return [" " * indent + line]
    head, value = _split_head(line)  # as `name = ` and the expression after it
    if head and value.startswith('"'):
        return [f"{' ' * indent}{head}(", *_operands(value, indent + 4), f"{' ' * indent})"]
    operator_count = len(_split_operators(value)) - 1 if head else 0
    if operator_count > 1 or (operator_count == 1 and not _closes_with_group(line, indent)):
        inside, rest = _opening_group(value)
        if not inside or indent + len(rest) >= WIDTH:
            inside, rest = value, ""
        lines = _bracket_contents(inside, indent + 4)
        return [f"{' ' * indent}{head}(", *lines, f"{' ' * indent}){rest}"]
    return _break_last_group(line, indent)


def _break_last_group(line: str, indent: int) -> list[str]:
    """A line broken inside of its last brackets."""
    group = _last_group(line)
    if not group:
        return [" " * indent + line]
    start, end = group
    inside = _bracket_contents(line[start + 1 : end], indent + 4)
    return [" " * indent + line[: start + 1], *inside, " " * indent + line[end:]]


def _adjacent_strings(literal: str, indent: int) -> list[str]:
    """A string literal as adjacent ones that fit, broken after spaces."""
    width = WIDTH - indent
    if len(literal) <= width:
        return [literal]
    words = re.findall(r"[^ ]* ?", literal[1:-1])
    parts = [""]
    for word in words:
        if len(parts[-1]) + len(word) > width - len('""'):
            parts.append("")
        parts[-1] += word
    return [f'"{part}"' for part in parts]


def _split_head(line: str) -> tuple[str, str]:
    """A statement split after `return ` or `name = `; the head is empty for other statements."""
    for head in re.findall(r"^(?:return |[\w.]+ = )", line):
        return head, line[len(head) :]
    return "", line


def _closes_with_group(line: str, indent: int) -> bool:
    """Whether the line ends with brackets, and the text before them fits on one line."""
    group = _last_group(line)
    return group is not None and group[1] == len(line) - 1 and indent + group[0] < WIDTH


def _opening_group(value: str) -> tuple[str, str]:
    """The contents of the brackets at the start of a value, empty without any, and the rest."""
    for i, _, depth in _outside_strings(value):
        if depth == 0:
            return (value[1:i], value[i + 1 :]) if i else ("", value)
    return "", value


def _bracket_contents(contents: str, indent: int) -> list[str]:
    """The lines between broken brackets: one if the contents fit, else one per item."""
    if indent + len(contents) <= WIDTH and not contents.endswith(","):
        return [" " * indent + contents]
    items = _split_outside_brackets(contents, ",")
    parts = [f"{item.strip()}," for item in items] if len(items) > 1 else [contents]
    return [line for part in parts for line in _operands(part, indent)]


def _operands(text: str, indent: int) -> list[str]:
    """An expression in brackets: one line if it fits, else one per term, else one per factor."""
    if indent + len(text) <= WIDTH:
        return [" " * indent + text]
    if text[0] == text[-1] == '"':
        return [" " * indent + part for part in _adjacent_strings(text, indent)]
    pieces = _split_operators(text)
    if len(pieces) == 1:
        return _break_last_group(text, indent)
    return [line for piece in pieces for line in _operands(piece, indent)]


def _last_group(line: str) -> tuple[int, int] | None:
    """The last outermost pair of brackets with something inside."""
    start, group = 0, None
    for i, char, depth in _outside_strings(line):
        if char in _OPENS and depth == 1:
            start = i
        elif char in _CLOSES and depth == 0 and i > start + 1:
            group = (start, i)
    return group


def _split_outside_brackets(text: str, separator: str) -> list[str]:
    """The parts between separators that are outside brackets; a trailing one adds none."""
    parts: list[str] = []
    last = 0
    for i, char, depth in _outside_strings(text):
        if depth == 0 and char == separator:
            parts.append(text[last:i])
            last = i + 1
    rest = text[last:]
    return [*parts, rest] if rest.strip() else parts


def _split_operators(text: str) -> list[str]:
    """The terms of a sum, else the factors of a product, each with its operator before it."""
    for operators in ("+-", "*/"):
        pieces: list[str] = []
        last = 0
        for i, char, depth in _outside_strings(text):
            if depth == 0 and char in operators and text[i - 1 : i + 2] == f" {char} ":
                pieces.append(text[last:i].strip())
                last = i
        if pieces:
            return [*pieces, text[last:].strip()]
    return [text.strip()]


def _outside_strings(text: str) -> Iterator[tuple[int, str, int]]:
    """The characters outside strings: index, character, and the depth of brackets after it."""
    quote, depth = "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += (char in _OPENS) - (char in _CLOSES)
            yield i, char, depth


def docstring(lines: list[str], indent: int) -> list[str]:
    """The lines of a docstring, wrapped."""
    margin = " " * indent
    width = WIDTH - indent - (3 if len(lines) > 1 else 6)  # the quotes of one end, or of both
    wrapped = [part for line in lines for part in textwrap.wrap(line, width) or [""]]
    first, *rest = [escaped(line) for line in wrapped]
    body = [f"{margin}{line}".rstrip() for line in rest]
    return [f'{margin}"""{first}', *body, f'{margin}"""'] if rest else [f'{margin}"""{first}"""']


def tuple_code(items: Iterable[str]) -> str:
    """The code of a tuple of expressions."""
    codes = list(items)
    return f"({', '.join(codes)}{',' if len(codes) == 1 else ''})"


def string_tuple(names: Iterable[str]) -> str:
    """The code of a tuple of strings."""
    return tuple_code(f'"{name}"' for name in names)


def string_literal(text: str) -> str:
    """A string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(text: str) -> str:
    """A text escaped for a docstring, without terminal control characters."""
    return printable(text).replace("\\", "\\\\").replace('"""', "'''")
