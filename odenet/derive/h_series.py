"""Truncated power series in the step size, with exact or 50-digit coefficients."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath
import sympy
from sympy.polys.fields import FracElement

from odenet.derive.coefficients import H, Scalars
from odenet.derive.printed import Printed
from odenet.model.expressions import expr

# Fractions, numbers of mpmath, decimals known to their last digit, or elements of a field of
# symbolic constants: all that is asked of them is + - * / and a test for zero.
Number = Any

# degree of h -> coefficient; negative degrees occur where a scheme divides by h
Powers = dict[int, Number]

# The order conditions are computed with 50 digits where they are not exact.
WORKING_DIGITS = 50
TINY = mpmath.mpf(10) ** -40


class NoSeries(Exception):
    """A scalar is not a power series in h; carries the reason and the expression."""

    def __init__(self, reason: str, node: expr.Node | None = None):
        super().__init__(reason)
        self.reason = reason
        self.node = node


def is_zero(value: Number) -> bool:
    """Exactly zero, zero to 40 digits, or zero to the digits that were given."""
    if isinstance(value, Printed):
        return value.may_be_zero
    if isinstance(value, mpmath.mpf):
        return bool(abs(value) < TINY)
    return value == 0


def number(value: Number) -> Powers:
    """A number that does not depend on h."""
    return {} if is_zero(value) else {0: value}


def add(one: Powers, other: Powers, sign: int = 1) -> Powers:
    """The sum, or with sign -1 the difference."""
    total = dict(one)
    for degree, value in other.items():
        total[degree] = total.get(degree, Fraction(0)) + sign * value
    return {degree: value for degree, value in total.items() if not is_zero(value)}


def multiply(one: Powers, other: Powers, limit: int) -> Powers:
    """The product up to a degree."""
    total: Powers = {}
    for i, a in one.items():
        for j, b in other.items():
            if i + j <= limit:
                total[i + j] = total.get(i + j, Fraction(0)) + a * b
    return {degree: value for degree, value in total.items() if not is_zero(value)}


def shift(powers: Powers, degree: int, factor: Number, limit: int) -> Powers:
    """The product with factor * h^degree."""
    return {k + degree: a * factor for k, a in powers.items() if k + degree <= limit}


def invert(value: Powers, limit: int) -> Powers:
    """1 / value up to a degree; the value is not zero."""
    lowest = min(value)
    first = value[lowest]
    # an integer of Python would give a float, and lose the exactness of everything that follows
    lead = 1 / (Fraction(first) if isinstance(first, int) else first)
    rest = {degree - lowest: -a * lead for degree, a in value.items() if degree != lowest}
    total: Powers = {0: Fraction(1)}
    term = total
    while term := multiply(term, rest, limit + lowest):
        total = add(total, term)
    return {degree - lowest: a * lead for degree, a in total.items()}


class SeriesWriter:
    """Writes the coefficients of a scheme as power series in h.

    Args:
        scalars: the field the coefficients are elements of. A `let` that is a symbol of its own
            may depend on h.
        values: of its symbols other than h and `let`s.
        limit: the highest degree that is kept.
    """

    def __init__(self, scalars: Scalars, values: Mapping[sympy.Symbol, Number], limit: int):
        symbols: tuple[Any, ...] = scalars.field.symbols
        self.values: list[Powers | None] = [
            number(values[symbol]) if symbol in values else None for symbol in symbols
        ]
        self.values[symbols.index(H)] = {1: Fraction(1)}
        self.limit = limit
        self._known: dict[FracElement, Powers] = {}
        if not scalars.expand:
            for name, value in scalars.scheme.lets:
                self.values[symbols.index(sympy.Symbol(name))] = self.read(scalars.read(value))

    def read(self, element: FracElement) -> Powers:
        """An element of the field as a power series.

        Raises:
            NoSeries: it divides by zero.
        """
        if element not in self._known:
            above, below = self._polynomial(element.numer), self._polynomial(element.denom)
            if not below:
                raise NoSeries("a number of the scheme divides by zero at these constants")
            if below != {0: 1}:
                above = multiply(above, invert(below, self.limit), self.limit)
            self._known[element] = above
        return self._known[element]

    def _polynomial(self, polynomial: Any) -> Powers:
        total: Powers = {}
        for powers, coefficient in polynomial.terms():
            exact = Fraction(int(coefficient.numerator), int(coefficient.denominator))
            term: Powers = {0: exact}
            for value, power in zip(self.values, powers, strict=True):
                for _ in range(power):
                    assert value is not None
                    term = multiply(term, value, self.limit)
            total = add(total, term)
        return total


def backwards(read: Callable[[FracElement], Powers]) -> Callable[[FracElement], Powers]:
    """The same coefficients for steps of size -h."""
    known: dict[FracElement, Powers] = {}

    def reversed_(element: FracElement) -> Powers:
        if element not in known:
            known[element] = {k: a * (-1) ** k for k, a in read(element).items()}
        return known[element]

    return reversed_
