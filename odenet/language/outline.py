"""A syntax tree as text: a statement a line, and where that is too long, its parts below it."""

from collections.abc import Iterator
from dataclasses import fields
from typing import cast

from odenet.language.formulas import Name, Node, Number, Text

WIDTH = 90


def outline(node: Node, indent: int = 0, mark: str = "") -> str:
    """A node on one line if it fits there, else with its parts indented below it.

    Args:
        node: the node.
        indent: of its line.
        mark: the sign or operator before it.
    """
    line = " " * indent + mark + _line(node)
    parts = list(_parts(node))
    if len(line) <= WIDTH or not parts:
        return line
    head = " " * indent + mark + " ".join([type(node).__name__, *_words(node)])
    return "\n".join([head, *(outline(part, indent + 2, mark) for mark, part in parts)])


def _line(node: Node) -> str:
    """`Term(Power(K1, T), σ, Group(Z))`."""
    match node:
        case Name():
            return node.spelling
        case Number():
            return node.text
        case Text():
            return f'"{node.value}"'
        case _:
            inside = [*_words(node), *(mark + _line(part) for mark, part in _parts(node))]
            return f"{type(node).__name__}({', '.join(inside)})"


def _parts(node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes directly inside a node, each with the sign or operator before it."""
    for f in fields(node):
        value: object = getattr(node, f.name)
        items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for item in items:
            match item:
                case Node():
                    yield "", item
                case (int(sign), Node() as part):
                    yield "+ " if sign > 0 else "- ", part
                case (str(operator), Node() as part):
                    yield f"{operator} " if operator else "", part
                case _:
                    pass


def _words(node: Node) -> Iterator[str]:
    """What a node holds other than nodes: orders, offsets, texts and flags that are set."""
    for f in fields(node):
        value = getattr(node, f.name)
        if value is True:
            yield f.name
        elif isinstance(value, str):
            yield f'"{value}"'
        elif isinstance(value, int) and value is not False:
            yield f"{f.name} {value}"
