"""A syntax tree as text: one line per statement, a long one with its children indented below."""

from collections.abc import Iterator
from dataclasses import fields
from typing import cast

from odenet.language.formulas import Name, Node, Number, Text

MOST_COLUMNS = 90


def outline(node: Node, indent: int = 0, operator: str = "") -> str:
    """A node on one line if it fits, else with its children indented below it.

    Args:
        node: the node.
        indent: the number of spaces before its line.
        operator: the sign or operator to write before it.
    """
    line = " " * indent + operator + _inline(node)
    children = list(_children(node))
    if len(line) <= MOST_COLUMNS or not children:
        return line
    head = " " * indent + operator + " ".join([type(node).__name__, *_attributes(node)])
    return "\n".join([head, *(outline(child, indent + 2, sign) for sign, child in children)])


def _inline(node: Node) -> str:
    """A node on one line, as in `Term(Power(K1, T), σ, Group(Z))`."""
    match node:
        case Name():
            return node.spelling
        case Number():
            return node.text
        case Text():
            return f'"{node.value}"'
        case _:
            items = [*_attributes(node), *(s + _inline(child) for s, child in _children(node))]
            return f"{type(node).__name__}({', '.join(items)})"


def _children(node: Node) -> Iterator[tuple[str, Node]]:
    """The nodes directly inside a node, each with the sign or operator before it."""
    for f in fields(node):
        value: object = getattr(node, f.name)
        items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for item in items:
            match item:
                case Node():
                    yield "", item
                case (int(sign), Node() as child):
                    yield "+ " if sign > 0 else "- ", child
                case (str(operator), Node() as child):
                    yield f"{operator} " if operator else "", child
                case _:
                    pass


def _attributes(node: Node) -> Iterator[str]:
    """The attributes of a node that are not nodes: orders, offsets, texts, flags that are set."""
    for f in fields(node):
        value = getattr(node, f.name)
        if value is True:
            yield f.name
        elif isinstance(value, str):
            yield f'"{value}"'
        elif isinstance(value, int) and value is not False:
            yield f"{f.name} {value}"
