"""The value of a scalar expression; exact as long as it is rational."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

from odenet.model import expr


@dataclass(frozen=True)
class Width:
    """A channel count: `multiple * c + constant`, where `c` is the states' channel count."""

    multiple: Fraction
    constant: Fraction = Fraction(0)

    def __str__(self) -> str:
        if not self.multiple:
            return str(self.constant)
        space = "" if self.multiple.denominator == 1 else " "
        number = "" if self.multiple == 1 else f"{self.multiple}{space}"
        sign = "-" if self.constant < 0 else "+"
        return f"{number}c {sign} {abs(self.constant)}" if self.constant else f"{number}c"

    def __add__(self, other: "Width | Fraction") -> "Width":
        other = as_width(other)
        return Width(self.multiple + other.multiple, self.constant + other.constant)

    def __mul__(self, number: Fraction | int) -> "Width":
        return Width(self.multiple * number, self.constant * number)

    def at(self, c: int) -> Fraction:
        """The number of channels when a state has `c`."""
        return self.multiple * c + self.constant


def fixed(count: Fraction | int) -> Width:
    """A width that does not depend on `c`."""
    return Width(Fraction(0), Fraction(count))


C = Width(Fraction(1))
Value = Fraction | float | Width


def as_width(value: Value) -> Width:
    """A plain number as a width."""
    return value if isinstance(value, Width) else fixed(Fraction(value))


MOST_BITS = 4096


class NotANumber(ValueError):
    """The expression is no number; carries the part that is to blame."""

    def __init__(self, message: str, node: expr.Node):
        super().__init__(message)
        self.node = node


def evaluate(node: expr.Node, values: Mapping[str, Value]) -> Value:
    """The value of a scalar expression.

    Args:
        node: a scalar expression.
        values: of the constants it may name.

    Raises:
        NotANumber: it names something learned, divides by zero, mixes `c` in a non-linear way, or
            is out of all range.
    """
    try:
        value = _evaluate(node, values)
    except OverflowError:
        raise NotANumber("this number is too large", node) from None
    if not _in_range(value):
        raise NotANumber("this number is too large", node)
    return value


def closed(node: expr.Node, is_open: Callable[[expr.Node], bool]) -> Iterator[expr.Node]:
    """The largest scalar parts of an expression in which nothing is open, that is, unknown yet."""
    if node.kind is expr.Kind.SCALAR and not any(is_open(inner) for inner in node.walk()):
        yield node
        return
    for child in node.children():
        yield from closed(child, is_open)


def _in_range(value: Value) -> bool:
    """Whether a value is finite, and exact ones can be stored without effort."""
    if isinstance(value, float):
        return isfinite(value)
    parts = (value.multiple, value.constant) if isinstance(value, Width) else (value,)
    return all(max(abs(p.numerator), p.denominator).bit_length() <= MOST_BITS for p in parts)


def _evaluate(node: expr.Node, values: Mapping[str, Value]) -> Value:
    match node:
        case expr.Number():
            return node.value
        case expr.Constant() if node.name in values:
            return values[node.name]
        case expr.Sum():
            total: Value = Fraction(0)
            for sign, term in node.terms:
                total = _add(total, _times(Fraction(sign), evaluate(term, values), node))
            return total
        case expr.Product():
            return _times(evaluate(node.left, values), evaluate(node.right, values), node)
        case expr.Quotient():
            below = evaluate(node.denominator, values)
            if isinstance(below, Width) or below == 0:
                raise NotANumber(
                    "this divides by zero" if below == 0 else "`c` cannot divide", node
                )
            above = evaluate(node.numerator, values)
            if isinstance(above, float) or isinstance(below, float):
                return float(above) / float(below)  # type: ignore[arg-type]
            return _times(1 / below, above, node)
        case expr.Power():
            return _power(evaluate(node.base, values), evaluate(node.exponent, values), node)
    raise NotANumber("a number is wanted here", node)


def _add(one: Value, other: Value) -> Value:
    if isinstance(other, Width):
        return other + one  # type: ignore[operator]
    return one + other  # type: ignore[operator]


def _times(one: Value, other: Value, node: expr.Node) -> Value:
    if isinstance(one, Width) and isinstance(other, Width | float):
        raise NotANumber("a channel count is a multiple of `c`", node)
    if isinstance(other, Width) and isinstance(one, float):
        raise NotANumber("a channel count is a multiple of `c`", node)
    return other * one if isinstance(other, Width) else one * other  # type: ignore[operator]


def _power(base: Value, exponent: Value, node: expr.Node) -> Value:
    if isinstance(base, Width) or isinstance(exponent, Width):
        raise NotANumber("`c` cannot stand in a power", node)
    if base == 0 and exponent < 0:
        raise NotANumber("this divides by zero", node)
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and abs(exponent) < 1000:
        return base ** int(exponent)
    if base < 0:
        raise NotANumber("this power has no real value", node)
    return float(base) ** float(exponent)
