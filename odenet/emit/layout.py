"""Long lines of generated code, broken as ruff's formatter breaks them."""

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
    head, value = _value(line)
    if head and value.startswith('"'):
        return [f"{' ' * indent}{head}(", *_operands(value, indent + 4), f"{' ' * indent})"]
    operators = len(_split_operators(value)) - 1 if head else 0
    if operators and (operators > 1 or not _closes_with_group(line, indent)):
        inside, rest = _opening_group(value)
        if not inside or indent + len(rest) >= WIDTH:
            inside, rest = value, ""
        return [f"{' ' * indent}{head}(", *_body(inside, indent + 4), f"{' ' * indent}){rest}"]
    return _break_last_group(line, indent)


def _break_last_group(line: str, indent: int) -> list[str]:
    """A line whose last brackets hold lines of their own."""
    found = _last_group(line)
    if not found:
        return [" " * indent + line]
    start, end = found
    inside = _body(line[start + 1 : end], indent + 4)
    return [" " * indent + line[: start + 1], *inside, " " * indent + line[end:]]


def _shorter_strings(literal: str, indent: int) -> list[str]:
    """A string literal as adjacent ones that fit, broken after spaces."""
    room = WIDTH - indent
    if len(literal) <= room:
        return [literal]
    words = re.findall(r"[^ ]* ?", literal[1:-1])
    parts = [""]
    for word in words:
        if len(parts[-1]) + len(word) > room - 2:
            parts.append("")
        parts[-1] += word
    return [f'"{part}"' for part in parts]


def _value(line: str) -> tuple[str, str]:
    """`return ` or `name = ` and what follows; no head for another statement."""
    for head in re.findall(r"^(?:return |[\w.]+ = )", line):
        return head, line[len(head) :]
    return "", line


def _closes_with_group(line: str, indent: int) -> bool:
    """Whether brackets end the line and what comes before them fits on one."""
    found = _last_group(line)
    return found is not None and found[1] == len(line) - 1 and indent + found[0] < WIDTH


def _opening_group(value: str) -> tuple[str, str]:
    """What is in the brackets a value begins with, and the rest; nothing without brackets."""
    for i, _, depth in _code(value):
        if depth == 0:
            return (value[1:i], value[i + 1 :]) if i else ("", value)
    return "", value


def _body(body: str, indent: int) -> list[str]:
    """What is in broken brackets: on one line if it fits, else an item a line."""
    if indent + len(body) <= WIDTH and not body.endswith(","):
        return [" " * indent + body]
    items = _split(body, ",")
    parts = [f"{item.strip()}," for item in items] if len(items) > 1 else [body]
    return [line for part in parts for line in _operands(part, indent)]


def _operands(text: str, indent: int) -> list[str]:
    """An expression in brackets: an operand a line where it does not fit, sums before products."""
    if indent + len(text) <= WIDTH:
        return [" " * indent + text]
    if text[0] == text[-1] == '"':
        return [" " * indent + part for part in _shorter_strings(text, indent)]
    pieces = _split_operators(text)
    if len(pieces) == 1:
        return _break_last_group(text, indent)
    return [line for piece in pieces for line in _operands(piece, indent)]


def _last_group(line: str) -> tuple[int, int] | None:
    """The last outermost pair of brackets with something inside."""
    start, found = 0, None
    for i, char, depth in _code(line):
        if char in _OPENS and depth == 1:
            start = i
        elif char in _CLOSES and depth == 0 and i > start + 1:
            found = (start, i)
    return found


def _split(text: str, separator: str) -> list[str]:
    """The parts between separators that are outside brackets; a trailing one adds none."""
    parts: list[str] = []
    last = 0
    for i, char, depth in _code(text):
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
        for i, char, depth in _code(text):
            if depth == 0 and char in operators and text[i - 1 : i + 2] == f" {char} ":
                pieces.append(text[last:i].strip())
                last = i
        if pieces:
            return [*pieces, text[last:].strip()]
    return [text.strip()]


def _code(text: str) -> Iterator[tuple[int, str, int]]:
    """The characters outside quotes: place, character, and how many brackets are open after it."""
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
    pad = " " * indent
    room = WIDTH - indent - (3 if len(lines) > 1 else 6)
    wrapped = [part for line in lines for part in textwrap.wrap(line, room) or [""]]
    first, *rest = [escaped(line) for line in wrapped]
    body = [f"{pad}{line}".rstrip() for line in rest]
    return [f'{pad}"""{first}', *body, f'{pad}"""'] if rest else [f'{pad}"""{first}"""']


def tuple_of(items: Iterable[str]) -> str:
    """A tuple of pieces of code."""
    listed = list(items)
    return f"({', '.join(listed)}{',' if len(listed) == 1 else ''})"


def strings(names: Iterable[str]) -> str:
    """A tuple of strings."""
    return tuple_of(f'"{name}"' for name in names)


def quoted(text: str) -> str:
    """A string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(text: str) -> str:
    """A text that may be inside a docstring, and does not act on what shows it."""
    return printable(text).replace("\\", "\\\\").replace('"""', "'''")
