"""Truncated power series in the step size h, with exact or 50-digit coefficients."""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

import mpmath
import sympy
from sympy.polys.fields import FracElement

from odenet.derive.cached_method import cached_method
from odenet.derive.coefficients import CoefficientField, H
from odenet.derive.exact_numbers import as_mpf
from odenet.derive.rounded_numbers import RoundedNumber
from odenet.model.expressions import expr

# A coefficient: a fraction, an mpmath number, a rounded decimal (`rounded_numbers.py`), or an
# element of a field of symbolic constants. It has to support + - * / and a test for zero.
Number = Any

# Degree of h -> coefficient that is not zero. Degrees are negative where a scheme divides by h.
PowerSeries = dict[int, Number]
Values = Mapping[sympy.Symbol, Number]

# The order conditions are computed with 50 digits where they are not exact.
WORKING_DIGITS = 50
TINY = mpmath.mpf(10) ** -40


class NoSeries(Exception):
    """A coefficient is not a power series in h.

    Args:
        reason: why not.
        node: the expression in the scheme, if one is known.
    """

    def __init__(self, reason: str, node: expr.Node | None = None):
        super().__init__(reason)
        self.reason = reason
        self.node = node


def is_zero(value: Number) -> bool:
    """Whether a number is zero: exactly, to 40 digits, or within the error of a rounded one."""
    if isinstance(value, RoundedNumber):
        return value.may_be_zero
    if isinstance(value, mpmath.mpf):
        return bool(abs(value) < TINY)
    return value == 0


def constant_series(value: Number) -> PowerSeries:
    """A number as a power series."""
    return {} if is_zero(value) else {0: value}


def add(one: PowerSeries, other: PowerSeries, sign: int = 1) -> PowerSeries:
    """The sum, or with sign -1 the difference."""
    total = dict(one)
    for degree, value in other.items():
        total[degree] = total.get(degree, Fraction(0)) + sign * value
    return {degree: value for degree, value in total.items() if not is_zero(value)}


def multiply(one: PowerSeries, other: PowerSeries, max_degree: int) -> PowerSeries:
    """The product up to a degree."""
    total: PowerSeries = {}
    for i, a in one.items():
        for j, b in other.items():
            if i + j <= max_degree:
                total[i + j] = total.get(i + j, Fraction(0)) + a * b
    return {degree: value for degree, value in total.items() if not is_zero(value)}


def shift(powers: PowerSeries, degree: int, factor: Number, max_degree: int) -> PowerSeries:
    """The product with factor * h^degree."""
    return {k + degree: a * factor for k, a in powers.items() if k + degree <= max_degree}


def invert(value: PowerSeries, max_degree: int) -> PowerSeries:
    """1 / value up to a degree; the value is not zero."""
    lowest = min(value)
    first = value[lowest]
    # 1 / int would be a float, and no longer exact
    inverse_of_first = 1 / (Fraction(first) if isinstance(first, int) else first)
    rest = {k - lowest: -a * inverse_of_first for k, a in value.items() if k != lowest}
    total: PowerSeries = {0: Fraction(1)}
    term = total
    while term := multiply(term, rest, max_degree + lowest):
        total = add(total, term)
    return {degree - lowest: a * inverse_of_first for degree, a in total.items()}


def exponential(powers: PowerSeries, max_degree: int) -> PowerSeries:
    """The exponential of a power series, up to a degree.

    Raises:
        NoSeries: it is not a power series, or its value at h = 0 depends on symbolic constants.
    """
    if min(powers, default=0) < 0:
        raise NoSeries("an exponential grows beyond all powers of h as h tends to 0")
    rest = {degree: value for degree, value in powers.items() if degree}
    total: PowerSeries = {0: Fraction(1)}
    term, k = total, 1
    while term := multiply(term, {d: a / k for d, a in rest.items()}, max_degree):
        total, k = add(total, term), k + 1
    return multiply(total, {0: _exp(powers[0])}, max_degree) if 0 in powers else total


def _exp(value: Number) -> Number:
    """The exponential of a number that is not zero."""
    if isinstance(value, RoundedNumber):
        found = mpmath.exp(value.value)
        return RoundedNumber(found, float(found) * math.expm1(value.error))
    if isinstance(value, Fraction | mpmath.mpf):
        return mpmath.exp(as_mpf(value))
    raise NoSeries("an exponential of constants alone")


# So many more degrees are computed than are kept in the end, where there are exponentials: dividing
# by h, as in (1 - exp(-γ h))/(γ h), loses one each time.
EXTRA_DEGREES = 8


class SeriesWriter:
    """Writes the coefficients of a scheme as power series in h.

    Args:
        coeff_field: the field of the coefficients. If its `let`s are symbols, they may depend on h.
        values: the values of its symbols other than h and `let`s.
        max_degree: the highest degree that is kept.

    Attributes:
        working_degree: the highest degree that is computed on the way.
    """

    def __init__(self, coeff_field: CoefficientField, values: Values, max_degree: int):
        self.symbols: tuple[Any, ...] = coeff_field.sympy_field.symbols
        self.values = {s: constant_series(values[s]) for s in self.symbols if s in values}
        self.values[H] = {1: Fraction(1)}
        self.max_degree = max_degree
        self.working_degree = max_degree + (EXTRA_DEGREES if coeff_field.exponentials else 0)
        self._define_exponentials(coeff_field)
        if not coeff_field.expand_lets:
            for name, value in coeff_field.scheme.lets:
                self.values[sympy.Symbol(name)] = self._quotient(coeff_field.read(value))
                self._define_exponentials(coeff_field)

    def _define_exponentials(self, coeff_field: CoefficientField) -> None:
        """The series of all exponentials whose exponents are known."""
        known = {*self.values}
        for generator in coeff_field.exponentials:
            symbols = generator.exponent.as_expr().free_symbols
            if generator.symbol not in known and symbols <= known:
                series = exponential(self._quotient(generator.exponent), self.working_degree)
                self.values[generator.symbol] = series

    @cached_method
    def to_series(self, element: FracElement) -> PowerSeries:
        """An element of the field as a power series.

        Raises:
            NoSeries: it divides by zero.
        """
        return {d: a for d, a in self._quotient(element).items() if d <= self.max_degree}

    def _quotient(self, element: FracElement) -> PowerSeries:
        """As `to_series`, with all degrees up to `working_degree`."""
        numerator, denominator = self._polynomial(element.numer), self._polynomial(element.denom)
        if not denominator:
            raise NoSeries("a number of the scheme divides by zero at these constants")
        if denominator == {0: 1}:
            return numerator
        return multiply(numerator, invert(denominator, self.working_degree), self.working_degree)

    def _polynomial(self, polynomial: Any) -> PowerSeries:
        total: PowerSeries = {}
        for powers, coefficient in polynomial.terms():
            exact = Fraction(int(coefficient.numerator), int(coefficient.denominator))
            term: PowerSeries = {0: exact}
            for symbol, power in zip(self.symbols, powers, strict=True):
                for _ in range(power):
                    term = multiply(term, self.values[symbol], self.working_degree)
            total = add(total, term)
        return total


def with_negative_step(
    to_series: Callable[[FracElement], PowerSeries],
) -> Callable[[FracElement], PowerSeries]:
    """The function that gives the power series of coefficients for steps of size -h."""

    @cache
    def backward_series(element: FracElement) -> PowerSeries:
        return {k: a * (-1) ** k for k, a in to_series(element).items()}

    return backward_series
