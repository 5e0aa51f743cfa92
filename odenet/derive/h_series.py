"""Truncated power series in the step size, with exact or 50-digit coefficients."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import sympy
from sympy.polys.fields import FracElement

from odenet.derive.coefficients import H, Scalars
from odenet.derive.exact_numbers import as_mpf
from odenet.derive.printed import Printed
from odenet.derive.remembered import remembered
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


def exponential(powers: Powers, limit: int) -> Powers:
    """The exponential of a power series, up to a degree.

    Raises:
        NoSeries: it is none in h, or its value at h = 0 depends on symbolic constants.
    """
    if min(powers, default=0) < 0:
        raise NoSeries("an exponential grows beyond all powers of h as h tends to 0")
    rest = {degree: value for degree, value in powers.items() if degree}
    total: Powers = {0: Fraction(1)}
    term, k = total, 1
    while term := multiply(term, {d: a / k for d, a in rest.items()}, limit):
        total, k = add(total, term), k + 1
    return multiply(total, {0: _exp(powers[0])}, limit) if 0 in powers else total


def _exp(value: Number) -> Number:
    """The exponential of a number that is not zero."""
    if isinstance(value, Printed):
        found = mpmath.exp(value.value)
        return Printed(found, float(found) * math.expm1(value.error))
    if isinstance(value, Fraction | mpmath.mpf):
        return mpmath.exp(as_mpf(value))
    raise NoSeries("an exponential of constants alone")


# A quotient such as (1 - exp(-γ h))/(γ h) loses as many powers of h as it divides by.
DIVIDED = 8


class SeriesWriter:
    """Writes the coefficients of a scheme as power series in h.

    Args:
        scalars: the field the coefficients are elements of. A `let` that is a symbol of its own
            may depend on h.
        values: of its symbols other than h and `let`s.
        limit: the highest degree that is kept.
    """

    def __init__(self, scalars: Scalars, values: Mapping[sympy.Symbol, Number], limit: int):
        self.symbols: tuple[Any, ...] = scalars.field.symbols
        self.values = {s: number(values[s]) for s in self.symbols if s in values}
        self.values[H] = {1: Fraction(1)}
        self.wanted = limit
        self.limit = limit + (DIVIDED if scalars.exponentials else 0)
        self._define_exponentials(scalars)
        if not scalars.expand:
            for name, value in scalars.scheme.lets:
                self.values[sympy.Symbol(name)] = self._quotient(scalars.read(value))
                self._define_exponentials(scalars)

    def _define_exponentials(self, scalars: Scalars) -> None:
        """The series of all exponentials whose exponents are known."""
        known = {*self.values}
        for generator in scalars.exponentials:
            free = generator.exponent.as_expr().free_symbols
            if generator.symbol not in known and free <= known:
                series = exponential(self._quotient(generator.exponent), self.limit)
                self.values[generator.symbol] = series

    @remembered
    def read(self, element: FracElement) -> Powers:
        """An element of the field as a power series.

        Raises:
            NoSeries: it divides by zero.
        """
        return {d: a for d, a in self._quotient(element).items() if d <= self.wanted}

    def _quotient(self, element: FracElement) -> Powers:
        above, below = self._polynomial(element.numer), self._polynomial(element.denom)
        if not below:
            raise NoSeries("a number of the scheme divides by zero at these constants")
        if below != {0: 1}:
            above = multiply(above, invert(below, self.limit), self.limit)
        return above

    def _polynomial(self, polynomial: Any) -> Powers:
        total: Powers = {}
        for powers, coefficient in polynomial.terms():
            exact = Fraction(int(coefficient.numerator), int(coefficient.denominator))
            term: Powers = {0: exact}
            for symbol, power in zip(self.symbols, powers, strict=True):
                for _ in range(power):
                    term = multiply(term, self.values[symbol], self.limit)
            total = add(total, term)
        return total


def backwards(read: Callable[[FracElement], Powers]) -> Callable[[FracElement], Powers]:
    """The same coefficients for steps of size -h."""

    @cache
    def read_backwards(element: FracElement) -> Powers:
        return {k: a * (-1) ** k for k, a in read(element).items()}

    return read_backwards
