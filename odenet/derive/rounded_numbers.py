"""Numbers with a bound on their error, for coefficients that papers print as rounded decimals.

An order condition on such coefficients holds *to the digits given* if it is zero for some numbers
that round to the printed ones. Errors of computed values are bounded as in interval arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from sys import float_info
from typing import Any

import mpmath

from odenet.derive.exact_numbers import as_mpf
from odenet.model.expressions import expr
from odenet.model.expressions.fold import map_children
from odenet.model.typed.scheme import Scheme

# Decimals with fewer digits count as exact: 0.5, 0.125, 0.9.
FEWEST_DIGITS = 6

# Relative to a bound. Bounds are sums of floats: a value that equals its bound, such as 2a - b = 1
# if both are off by one unit in the last place, must not exceed it by rounding errors of the bound.
BOUND_SLACK = 1e-9

# Relative to a constant. One that was computed in double precision, as 1 / (2 - 2^(1/3)), has an
# error of a few units in the last binary place. That can be more than one in the last decimal place
# of `repr`.
DOUBLE_ERROR = 4 * float_info.epsilon
DIGITS_OF_A_DOUBLE = 17


@dataclass(frozen=True, slots=True)
class RoundedNumber:
    """A number with a bound on its error.

    Args:
        value: an mpmath number.
        error: a bound on the absolute value of (value - true number).
    """

    value: Any
    error: float

    @property
    def may_be_zero(self) -> bool:
        """Whether zero lies within the error."""
        return bool(abs(self.value) <= self.error * (1 + BOUND_SLACK))

    def __add__(self, other: Any) -> RoundedNumber:
        other = _as_rounded(other)
        return RoundedNumber(self.value + other.value, self.error + other.error)

    def __neg__(self) -> RoundedNumber:
        return RoundedNumber(-self.value, self.error)

    def __sub__(self, other: Any) -> RoundedNumber:
        return self + -_as_rounded(other)

    def __rsub__(self, other: Any) -> RoundedNumber:
        return _as_rounded(other) + -self

    def __mul__(self, other: Any) -> RoundedNumber:
        other = _as_rounded(other)
        left, right = float(abs(self.value)), float(abs(other.value))
        error = left * other.error + right * self.error + self.error * other.error
        return RoundedNumber(self.value * other.value, error)

    def __truediv__(self, other: Any) -> RoundedNumber:
        return self * _as_rounded(other)._reciprocal()

    def __rtruediv__(self, other: Any) -> RoundedNumber:
        return _as_rounded(other) * self._reciprocal()

    def _reciprocal(self) -> RoundedNumber:
        size = float(abs(self.value))
        if size <= self.error:
            raise ZeroDivisionError("zero to the digits given")
        return RoundedNumber(1 / self.value, self.error / (size * (size - self.error)))

    def __pow__(self, power: int) -> RoundedNumber:
        product = RoundedNumber(mpmath.mpf(1), 0.0)
        for _ in range(abs(power)):
            product = product * self
        return product if power >= 0 else product._reciprocal()

    __radd__ = __add__
    __rmul__ = __mul__


def _as_rounded(value: Any) -> RoundedNumber:
    if isinstance(value, RoundedNumber):
        return value
    return RoundedNumber(mpmath.mpf(as_mpf(value)), 0.0)


@dataclass(frozen=True)
class LongDecimals:
    """The long decimals of a scheme, which count as rounded.

    Args:
        scheme: the scheme with a constant in place of each long decimal.
        digits: the number of digits of the shortest one.
        values: constant -> the decimal. Its error is one unit in its last place, or more if it may
            have been computed in double precision.
    """

    scheme: Scheme
    digits: int
    values: Mapping[str, RoundedNumber]


def long_decimals(scheme: Scheme, values: Mapping[str, Any]) -> LongDecimals | None:
    """The long decimals among a scheme's literals and constants; None if there are none.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants, as fractions or floats.
    """
    found: dict[str, Decimal] = {}

    def name_literal(node: expr.Number) -> expr.Node:
        """A constant in the place of a long decimal; other numbers stay."""
        decimal = _long_literal(node.text)
        if decimal is None:
            return node
        found[f"decimal {len(found)}"] = decimal
        return expr.Constant(f"decimal {len(found) - 1}")

    lets = tuple((key, _map_numbers(value, name_literal)) for key, value in scheme.lets)
    updates = tuple(replace(u, value=_map_numbers(u.value, name_literal)) for u in scheme.updates)
    constants = (*scheme.constants, *((key, None) for key in found))
    decimals_of_constants = {key: _long_value(value) for key, value in values.items()}
    found |= {key: value for key, value in decimals_of_constants.items() if value is not None}
    if not found:
        return None
    rewritten = replace(scheme, lets=lets, updates=updates, constants=constants)
    rounded = {key: _with_error(value, computed=key in values) for key, value in found.items()}
    return LongDecimals(rewritten, min(map(_digits, found.values())), rounded)


def _map_numbers(node: expr.Node, change: Callable[[expr.Number], expr.Node]) -> expr.Node:
    """A scalar expression with a function applied to its numbers, except in exponents."""
    if isinstance(node, expr.Power):
        return replace(node, base=_map_numbers(node.base, change))
    if isinstance(node, expr.Exp):
        return node
    if isinstance(node, expr.Number):
        return change(node)
    return map_children(node, partial(_map_numbers, change=change))


def _long_literal(text: str) -> Decimal | None:
    """A literal as a decimal, if it has a decimal point and many digits."""
    if "." not in text or "/" in text:
        return None
    found = Decimal(text.replace("_", ""))
    return found if _digits(found) >= FEWEST_DIGITS else None


def _long_value(value: Any) -> Decimal | None:
    """The value of a constant as a decimal, if that is finite and has many digits."""
    if isinstance(value, float):
        return _long_literal(repr(value))
    if not isinstance(value, Fraction) or value.denominator == 1:
        return None
    decimal_places, rest = 0, value
    while rest.denominator != 1:
        rest, decimal_places = rest * 10, decimal_places + 1
        if decimal_places > 60:
            return None
    found = Decimal((int(rest < 0), tuple(map(int, str(abs(rest.numerator)))), -decimal_places))
    return found if _digits(found) >= FEWEST_DIGITS else None


def _digits(value: Decimal) -> int:
    return len(value.as_tuple().digits)


def _with_error(value: Decimal, computed: bool) -> RoundedNumber:
    """A decimal with its error.

    Args:
        value: the decimal.
        computed: whether it may be the `repr` of a float that was computed.
    """
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    found = RoundedNumber(as_mpf(Fraction(value)), 10.0**exponent)
    if computed and _digits(value) <= DIGITS_OF_A_DOUBLE:
        return replace(found, error=max(found.error, DOUBLE_ERROR * abs(float(value))))
    return found
