"""The nodes of formulas and values in the syntax tree.

Nodes are frozen. Their span is left out of comparison, so that two trees are equal if they say the
same, wherever it is in the text. Names compare by their canonical form (names.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import cast

from odenet.diagnostics import Span


@dataclass(frozen=True, kw_only=True)
class Node:
    """Anything that has a place in the text."""

    span: Span = field(compare=False, repr=False)

    def walk(self) -> Iterator["Node"]:
        """This node and all nodes inside it."""
        yield self
        for f in fields(self):
            for child in _nodes(getattr(self, f.name)):
                yield from child.walk()


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in cast("tuple[object, ...]", value):
            yield from _nodes(item)


@dataclass(frozen=True)
class Number(Node):
    """A number; `value` is exact, `text` is how it was written."""

    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True)
class Name(Node):
    """A name; `id` is canonical ASCII, `spelling` is how it was written."""

    id: str
    spelling: str = field(compare=False)


@dataclass(frozen=True)
class Derivative(Node):
    """`Y'` (order 1) or `Y''` (order 2)."""

    name: Name
    order: int


@dataclass(frozen=True)
class Indexed(Node):
    """`Y[n+1]` (base `n`, offset 1) or `Y[-1]` (base None, offset -1)."""

    name: Name
    base: Name | None
    offset: int


@dataclass(frozen=True)
class Argument(Node):
    """One argument in brackets, with its name if it has one."""

    name: Name | None
    value: "Value"


@dataclass(frozen=True)
class Group(Node):
    """`( … )`: brackets in a formula, or the arguments of a call."""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Sum(Node):
    """Terms, each with its sign +1 or -1."""

    terms: tuple[tuple[int, "Expr"], ...]


@dataclass(frozen=True)
class Term(Node):
    """A chain of factors; the operator before each is "" (juxtaposition), "*" or "/"."""

    factors: tuple[tuple[str, "Expr"], ...]


@dataclass(frozen=True)
class Power(Node):
    """`base ^ exponent`; a transpose when the exponent is the name `T` and the base an operator."""

    base: "Expr"
    exponent: "Expr"


Expr = Number | Name | Derivative | Indexed | Group | Sum | Term | Power


@dataclass(frozen=True)
class Text(Node):
    """A quoted string."""

    value: str


@dataclass(frozen=True)
class ListValue(Node):
    """`[a, b]`."""

    items: tuple["Value", ...]


@dataclass(frozen=True)
class Pipeline(Node):
    """`a -> b -> c`, two layers or more."""

    layers: tuple[Expr, ...]


Value = Expr | Text | ListValue | Pipeline
