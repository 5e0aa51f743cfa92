"""Conversion of sympy numbers and linear combinations to expressions of the language.

The expressions print and compile like those in a file. A *field* in the language is an expression
for values of a feature map.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial
from typing import Any

import sympy

from odenet.derive.coefficients import H
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node
from odenet.model.expressions.fold import map_children, product_of, sum_of


def scalar(value: Any) -> Node:
    """A sympy number or rational function of constants as a scalar expression."""
    if isinstance(value, sympy.Rational):
        fraction = Fraction(int(value.p), int(value.q))
        return expr.Number(fraction, str(fraction))
    if isinstance(value, sympy.Symbol):
        return expr.Constant(value.name)
    if isinstance(value, sympy.Add):
        return expr.Sum(_plus_first([_signed(term) for term in value.as_ordered_terms()]))
    if isinstance(value, sympy.Mul):
        return _fraction(value)
    if isinstance(value, sympy.exp):
        return expr.Exp(scalar(value.args[0]))
    if isinstance(value, sympy.Pow):
        if _negative(value.exp):
            return expr.Quotient(scalar(sympy.Integer(1)), scalar(1 / value))
        return expr.Power(scalar(value.base), scalar(value.exp))
    raise AssertionError(f"{value} is not a rational function of constants")


def _negative(value: Any) -> bool:
    """Whether a sympy term is printed with a minus sign."""
    return bool(value.as_coeff_Mul()[0] < 0)


def _signed(value: Any) -> tuple[int, Node]:
    return (-1, scalar(-value)) if _negative(value) else (1, scalar(value))


def _plus_first(terms: list[tuple[int, Node]]) -> tuple[tuple[int, Node], ...]:
    """(sign, term) pairs, with a positive one first if there is any."""
    negative = terms[:1] and terms[0][0] < 0
    return tuple(sorted(terms, key=lambda term: -term[0]) if negative else terms)


def _fraction(value: sympy.Mul) -> Node:
    """A product as a numerator over one denominator, with the sign in front."""
    if _negative(value):
        return expr.Sum(((-1, scalar(-value)),))
    # order: numbers, constants, step size, as in 2 c1 h
    factors = sorted(value.as_ordered_factors(), key=lambda factor: factor.has(H))
    parts = [(f, 1) if isinstance(f, sympy.exp) else f.as_numer_denom() for f in factors]
    numerators, denominators = ([part[i] for part in parts] for i in (0, 1))
    numerator = product_of(scalar(f) for f in numerators if f != 1)
    if all(f == 1 for f in denominators):
        return numerator
    return expr.Quotient(numerator, product_of(scalar(f) for f in denominators if f != 1))


def combination(terms: Iterable[tuple[int, sympy.Expr, Node]]) -> Node:
    """Σ sign * coefficient * field as an expression; the zero field if there are no terms."""
    found: list[tuple[int, Node]] = []
    for sign, coefficient, operand in terms:
        if _negative(coefficient):
            sign, coefficient = -sign, -coefficient
        value = operand if coefficient == 1 else expr.Product(scalar(coefficient), operand)
        found.append((sign, value))
    return sum_of(_plus_first(found))


def scaled(value: Node, exponents: Iterable[Node]) -> Node:
    """A field times the exponentials of other fields, element by element."""
    for exponent in reversed(list(exponents)):
        value = expr.Hadamard(expr.ElementwiseExp(exponent), value)
    return value


def negated(node: Node) -> Node:
    """The negative of a field; in a sum each term changes its sign."""
    terms = node.terms if isinstance(node, expr.Sum) else ((1, node),)
    return sum_of(_plus_first([(-sign, term) for sign, term in terms]))


def substitute(node: Node, replace: Callable[[expr.Slot], Node]) -> Node:
    """A field expression with its slots replaced by a function."""
    if isinstance(node, expr.Slot):
        return replace(node)
    return map_children(node, partial(substitute, replace=replace))
