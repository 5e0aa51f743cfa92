"""Decimals as papers print them: numbers that are known to their last digit, and no further.

A condition on such numbers holds *to the digits given* if it may be exactly zero for some numbers
that round to those printed. The error of a computed value is bounded as in interval arithmetic.
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

# Decimals with fewer digits are meant exactly: 0.5, 0.125, 0.9.
FEWEST = 6

# Bounds are sums of floats: one that is met exactly, as by 2a - b = 1 with both off by one unit in
# the last place, must not fail for the rounding of the bound.
ROUNDING = 1e-9

# A constant that was worked out in double precision, as 1 / (2 - 2^(1/3)), is off by a few units in
# the last binary place. That can be more than one in the last decimal place that `repr` prints.
COMPUTED = 4 * float_info.epsilon
DIGITS_OF_A_DOUBLE = 17


@dataclass(frozen=True, slots=True)
class Printed:
    """A number with a bound on its error."""

    value: Any
    error: float

    @property
    def may_be_zero(self) -> bool:
        """Whether zero is one of the numbers it may be."""
        return bool(abs(self.value) <= self.error * (1 + ROUNDING))

    def __add__(self, other: Any) -> Printed:
        other = _printed(other)
        return Printed(self.value + other.value, self.error + other.error)

    def __neg__(self) -> Printed:
        return Printed(-self.value, self.error)

    def __sub__(self, other: Any) -> Printed:
        return self + -_printed(other)

    def __rsub__(self, other: Any) -> Printed:
        return _printed(other) + -self

    def __mul__(self, other: Any) -> Printed:
        other = _printed(other)
        one, two = float(abs(self.value)), float(abs(other.value))
        error = one * other.error + two * self.error + self.error * other.error
        return Printed(self.value * other.value, error)

    def __truediv__(self, other: Any) -> Printed:
        return self * _printed(other)._inverse()

    def __rtruediv__(self, other: Any) -> Printed:
        return _printed(other) * self._inverse()

    def _inverse(self) -> Printed:
        size = float(abs(self.value))
        if size <= self.error:
            raise ZeroDivisionError("zero to the digits given")
        return Printed(1 / self.value, self.error / (size * (size - self.error)))

    def __pow__(self, power: int) -> Printed:
        found = Printed(mpmath.mpf(1), 0.0)
        for _ in range(abs(power)):
            found = found * self
        return found if power >= 0 else found._inverse()

    __radd__ = __add__
    __rmul__ = __mul__


def _printed(value: Any) -> Printed:
    if isinstance(value, Printed):
        return value
    return Printed(mpmath.mpf(as_mpf(value)), 0.0)


@dataclass(frozen=True)
class Decimals:
    """The long decimals of a scheme.

    Args:
        scheme: the text, each of them replaced by a constant.
        digits: of the shortest one.
        values: constant -> the decimal, with one unit in its last place as its error, or what
            rounding may add up to where it was computed.
    """

    scheme: Scheme
    digits: int
    values: Mapping[str, Printed]


def decimals(scheme: Scheme, values: Mapping[str, Any]) -> Decimals | None:
    """The long decimals among a scheme's literals and constants; None where there are none.

    Args:
        scheme: as parsed.
        values: of its constants, exact ones.
    """
    found: dict[str, Decimal] = {}

    def name(node: expr.Number) -> expr.Node:
        decimal = _long(node.text)
        if decimal is None:
            return node
        found[f"decimal {len(found)}"] = decimal
        return expr.Constant(f"decimal {len(found) - 1}")

    lets = tuple((key, _map(value, name)) for key, value in scheme.lets)
    updates = tuple(replace(u, value=_map(u.value, name)) for u in scheme.updates)
    constants = (*scheme.constants, *((key, None) for key in found))
    written = {key: _exact_decimal(value) for key, value in values.items()}
    found |= {key: value for key, value in written.items() if value is not None}
    if not found:
        return None
    renamed = replace(scheme, lets=lets, updates=updates, constants=constants)
    printed = {key: _with_error(value, computed=key in values) for key, value in found.items()}
    return Decimals(renamed, min(map(_digits, found.values())), printed)


def _map(node: expr.Node, change: Callable[[expr.Number], expr.Node]) -> expr.Node:
    """A scheme's expression with its numbers changed."""
    if isinstance(node, expr.Power):
        return replace(node, base=_map(node.base, change))
    if isinstance(node, expr.Exp):
        return node
    if isinstance(node, expr.Number):
        return change(node)
    return map_children(node, partial(_map, change=change))


def _long(text: str) -> Decimal | None:
    """A literal with a decimal point and many digits."""
    if "." not in text or "/" in text:
        return None
    found = Decimal(text.replace("_", ""))
    return found if _digits(found) >= FEWEST else None


def _exact_decimal(value: Any) -> Decimal | None:
    """The long decimal that a value of a constant was written as, if it was one."""
    if isinstance(value, float):
        return _long(repr(value))
    if not isinstance(value, Fraction) or value.denominator == 1:
        return None
    places, rest = 0, value
    while rest.denominator != 1:
        rest, places = rest * 10, places + 1
        if places > 60:
            return None
    digits = tuple(map(int, str(abs(rest.numerator))))
    found = Decimal((int(rest < 0), digits, -places))
    return found if _digits(found) >= FEWEST else None


def _digits(value: Decimal) -> int:
    return len(value.as_tuple().digits)


def _with_error(value: Decimal, computed: bool) -> Printed:
    """A decimal with its error.

    Args:
        value: as it is written.
        computed: whether it may be the `repr` of a double that was worked out.
    """
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    found = Printed(as_mpf(Fraction(value)), 10.0**exponent)
    if computed and _digits(value) <= DIGITS_OF_A_DOUBLE:
        error = max(found.error, COMPUTED * abs(float(value)))
        return replace(found, error=error)
    return found
