"""Functions for recursive traversals of formulas: folds over arithmetic, and rebuilding.

A traversal (an evaluation, a translation) matches the nodes that are special to it, and calls one
of these functions for the others. They descend one level and call the traversal on the operands.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from fractions import Fraction
from functools import reduce
from operator import add
from typing import Any, TypeVar

from odenet.diagnostics import Span, SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Attribute, Node

Factor = TypeVar("Factor")

_ONE, _MINUS_ONE = expr.Number(Fraction(1), "1"), expr.Number(Fraction(-1), "-1")


def fold_arithmetic(
    node: Node, evaluate: Callable[[Node], Any], eval_scalar: Callable[[Node], Any] | None = None
) -> Any:
    """The value of a sum, product, quotient or power, by Python's operators on operand values.

    Args:
        node: the formula.
        evaluate: gives the value of an operand; usually the traversal that calls this function.
        eval_scalar: gives the value of a scalar that multiplies or divides a field or an
            operator; by default `evaluate`.

    Raises:
        SpecError: if the formula has another form.
    """
    eval_scalar = eval_scalar or evaluate
    match node:
        case expr.Sum():
            return reduce(add, (evaluate(t) if s > 0 else -evaluate(t) for s, t in node.terms))
        case expr.Product():
            return eval_scalar(node.left) * evaluate(node.right)
        case expr.Quotient():
            return evaluate(node.numerator) / eval_scalar(node.denominator)
        case expr.Power():
            return evaluate(node.base) ** evaluate(node.exponent)
        case _:
            raise SpecError.of("not-a-number", "a number is wanted here", node.span)


def linear_terms(
    node: expr.Sum | expr.Product | expr.Quotient, eval_scalar: Callable[[Node], Factor]
) -> Iterator[tuple[Factor, Node]]:
    """The terms of a formula for a field or an operator, written as Σ factor · operand.

    It is for traversals whose values cannot be added or multiplied by Python's operators.

    Args:
        node: the formula.
        eval_scalar: gives the value of a factor; of a quotient that is `1/denominator`.

    Yields:
        The value of each factor, with the operand as a formula.
    """
    match node:
        case expr.Sum():
            for sign, term in node.terms:
                yield eval_scalar(_ONE if sign > 0 else _MINUS_ONE), term
        case expr.Product():
            yield eval_scalar(node.left), node.right
        case expr.Quotient():
            factor = expr.Quotient(_ONE, node.denominator, span=node.span)
            yield eval_scalar(factor), node.numerator


def sum_of(terms: Sequence[tuple[int, Node]], span: Span | None = None) -> Node:
    """The sum of signed terms as a formula: a single term with sign +1 as it is, no terms as 0."""
    if not terms:
        return expr.Zero(span=span)
    (sign, first), *others = terms
    return expr.Sum(tuple(terms), span=span) if others or sign < 0 else first


def product_of(factors: Iterable[Node]) -> Node:
    """The product of scalars as a formula, multiplied from left to right; of none the number 1."""
    factor_list = list(factors)
    return reduce(expr.Product, factor_list) if factor_list else _ONE


def map_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """A copy of a node with every child replaced by `change(child)`; its span stays."""
    attributes: dict[str, Attribute] = {f.name: getattr(node, f.name) for f in fields(node)}
    changed = {n: _changed(p, change) for n, p in attributes.items() if isinstance(p, Node | tuple)}
    return replace(node, **changed) if changed else node


def _changed(attribute: Attribute, change: Callable[[Node], Node]) -> Attribute:
    """An attribute with `change` applied to the nodes in it."""
    if isinstance(attribute, tuple):
        return tuple(_changed(item, change) for item in attribute)
    return change(attribute) if isinstance(attribute, Node) else attribute
