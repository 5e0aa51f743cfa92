"""What all walks over formulas share: sums, products, quotients and powers.

A walk matches the nodes that mean something of their own to it, and leaves the others to one of
these, which take a formula apart by one layer and call the walk on its parts.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any, TypeVar

from odenet.diagnostics import Span, SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Part

Factor = TypeVar("Factor")

_ONE, _MINUS_ONE = expr.Number(Fraction(1), "1"), expr.Number(Fraction(-1), "-1")


def arithmetic(
    node: Node, read: Callable[[Node], Any], number: Callable[[Node], Any] | None = None
) -> Any:
    """A sum, product, quotient or power of what is read from the parts, by Python's operators.

    Args:
        node: the formula.
        read: the walk, for the parts.
        number: the walk for the scalars that multiply or divide a field or an operator, where it
            is another one.

    Raises:
        SpecError: the formula has another form.
    """
    number = number or read
    match node:
        case expr.Sum():
            return reduce(add, (read(t) if sign > 0 else -read(t) for sign, t in node.terms))
        case expr.Product():
            return number(node.left) * read(node.right)
        case expr.Quotient():
            return read(node.numerator) / number(node.denominator)
        case expr.Power():
            return read(node.base) ** read(node.exponent)
        case _:
            raise SpecError.of("not-a-number", "a number is wanted here", node.span)


def combination(
    node: expr.Sum | expr.Product | expr.Quotient, number: Callable[[Node], Factor]
) -> Iterator[tuple[Factor, Node]]:
    """Σ factor · part for a field or an operator, where values have no operators of their own.

    Args:
        node: the formula.
        number: the walk for scalars; of a quotient it reads `1/denominator`.
    """
    match node:
        case expr.Sum():
            for sign, term in node.terms:
                yield number(_ONE if sign > 0 else _MINUS_ONE), term
        case expr.Product():
            yield number(node.left), node.right
        case expr.Quotient():
            yield number(expr.Quotient(_ONE, node.denominator, span=node.span)), node.numerator


def sum_of(terms: Sequence[tuple[int, Node]], span: Span | None = None) -> Node:
    """The sum of signed terms; of one that is added, that term, and of none the zero field."""
    if not terms:
        return expr.Zero(span=span)
    (sign, first), *others = terms
    return expr.Sum(tuple(terms), span=span) if others or sign < 0 else first


def product_of(factors: Iterable[Node]) -> Node:
    """The product of numbers, from left to right; of none the number 1."""
    listed = list(factors)
    return reduce(expr.Product, listed) if listed else _ONE


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same formula with its direct parts changed; spans stay."""
    parts: dict[str, Part] = {f.name: getattr(node, f.name) for f in fields(node)}
    found = {n: _changed(p, change) for n, p in parts.items() if isinstance(p, Node | tuple)}
    return replace(node, **found) if found else node


def _changed(part: Part, change: Callable[[Node], Node]) -> Part:
    if isinstance(part, tuple):
        return tuple(_changed(item, change) for item in part)
    return change(part) if isinstance(part, Node) else part
