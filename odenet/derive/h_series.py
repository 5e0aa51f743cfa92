"""Scalars as truncated power series in the step size, with exact or 50-digit coefficients."""

from collections.abc import Mapping
from fractions import Fraction

import mpmath

from odenet.derive.coefficients import Value, as_mpf
from odenet.model import expr
from odenet.model.scheme import Scheme

# degree of h -> coefficient; negative degrees occur where a scheme divides by h
Powers = dict[int, Value]

# The order conditions are computed with 50 digits where they are not exact.
WORKING_DIGITS = 50
TINY = mpmath.mpf(10) ** -40


class NoSeries(Exception):
    """A scalar is no power series in h; carries the reason and the expression."""

    def __init__(self, reason: str, node: expr.Node | None = None):
        super().__init__(reason)
        self.reason = reason
        self.node = node


def is_zero(value: Value) -> bool:
    """Exactly zero, or zero to 40 digits."""
    return value == 0 if isinstance(value, Fraction) else abs(value) < TINY


def number(value: Value) -> Powers:
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


def invert(value: Powers, limit: int) -> Powers:
    """1 / value up to a degree; the value is not zero."""
    lowest = min(value)
    lead = value[lowest]
    lead = 1 / lead
    rest = {degree - lowest: -a * lead for degree, a in value.items() if degree != lowest}
    total: Powers = {0: Fraction(1)}
    term = total
    while term := multiply(term, rest, limit + lowest):
        total = add(total, term)
    return {degree - lowest: a * lead for degree, a in total.items()}


class Scales:
    """Reads a scheme's scalars as power series.

    Args:
        scheme: its text.
        values: of the constants, lets that do not depend on h included.
        limit: the highest degree that is kept.
    """

    def __init__(self, scheme: Scheme, values: Mapping[str, Value], limit: int):
        self.limit = limit
        self._named: dict[str, Powers] = {"h": {1: Fraction(1)}}
        self._named |= {name: number(value) for name, value in values.items()}
        for name, value in scheme.lets:
            if name not in self._named:
                self._named[name] = self.read(value)

    def read(self, node: expr.Node) -> Powers:
        """A scalar expression as a power series.

        Raises:
            NoSeries: it has none, or it divides by zero.
        """
        match node:
            case expr.Number():
                return number(node.value)
            case expr.Constant():
                return self._named[node.name]
            case expr.Sum():
                total: Powers = {}
                for sign, term in node.terms:
                    total = add(total, self.read(term), sign)
                return total
            case expr.Product():
                return multiply(self.read(node.left), self.read(node.right), self.limit)
            case expr.Quotient():
                below = self._inverse(node.denominator)
                return multiply(self.read(node.numerator), below, self.limit)
            case expr.Power():
                return self._power(node)
        raise NoSeries("it is no number", node)

    def _inverse(self, node: expr.Node) -> Powers:
        value = self.read(node)
        if not value:
            raise NoSeries("this is zero, and divides", node)
        return invert(value, self.limit)

    def _power(self, node: expr.Power) -> Powers:
        base, exponent = self.read(node.base), self.read(node.exponent)
        by = exponent.get(0, Fraction(0))
        if set(exponent) <= {0} and isinstance(by, Fraction) and by.denominator == 1:
            base = self._inverse(node.base) if by < 0 else base
            total: Powers = {0: Fraction(1)}
            for _ in range(abs(int(by))):
                total = multiply(total, base, self.limit)
            return total
        if set(exponent) | set(base) <= {0} and base and base[0] > 0:
            with mpmath.workdps(WORKING_DIGITS):
                return number(as_mpf(base[0]) ** as_mpf(by))
        raise NoSeries("this power is no power series in h", node)
