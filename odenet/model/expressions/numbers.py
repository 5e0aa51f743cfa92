"""The value of a scalar expression; exact as long as it is rational."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import exp, isfinite
from typing import overload

from odenet.model.expressions import expr
from odenet.model.expressions.fold import arithmetic


class NotLinear(ValueError):
    """Arithmetic with `c` that does not come to a multiple of `c` and a number."""


@dataclass(frozen=True)
class Width:
    """A channel count: `multiple * c + constant`, where `c` is the states' channel count.

    Args:
        multiple: of `c`.
        constant: added to it.
        new: whether `c` is the count after the first step of a unit, which changes it.
    """

    multiple: Fraction
    constant: Fraction = Fraction(0)
    new: bool = False

    def __str__(self) -> str:
        if not self.multiple:
            return str(self.constant)
        space = "" if self.multiple.denominator == 1 else " "
        number = "" if self.multiple == 1 else f"{self.multiple}{space}"
        sign = "-" if self.constant < 0 else "+"
        return f"{number}c {sign} {abs(self.constant)}" if self.constant else f"{number}c"

    def __add__(self, other: "Width | Fraction") -> "Width":
        other = as_width(other)
        return replace(
            self,
            multiple=self.multiple + other.multiple,
            constant=self.constant + other.constant,
            new=self.new or other.new,
        )

    def __neg__(self) -> "Width":
        return self * -1

    def __mul__(self, number: "Value | int") -> "Width":
        if not isinstance(number, Fraction | int):
            raise NotLinear("a channel count is a multiple of `c`")
        return replace(self, multiple=self.multiple * number, constant=self.constant * number)

    def __truediv__(self, number: Fraction) -> "Width":
        return self * (1 / number)

    def __rtruediv__(self, number: Fraction) -> "Width":
        raise NotLinear("`c` cannot divide")

    __radd__, __rmul__ = __add__, __mul__

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
    """The expression is not a number; carries the part that is to blame."""

    def __init__(self, message: str, node: expr.Node):
        super().__init__(message)
        self.node = node


@overload
def evaluate(node: expr.Node, values: Mapping[str, Fraction | float]) -> Fraction | float: ...
@overload
def evaluate(node: expr.Node, values: Mapping[str, Value]) -> Value: ...
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
        match node:
            case expr.Number():
                value = node.value
            case expr.Constant() if node.name in values:
                value = values[node.name]
            case expr.Sum() | expr.Product() | expr.Quotient():
                value = arithmetic(node, partial(evaluate, values=values))
            case expr.Power():
                base, exponent = evaluate(node.base, values), evaluate(node.exponent, values)
                value = _power(base, exponent, node)
            case expr.Time():
                raise NotANumber("`t` moves from step to step, and this is one number", node)
            case expr.Exp():
                value = exp(_plain(evaluate(node.exponent, values), node))
            case _:
                raise NotANumber("a number is wanted here", node)
    except OverflowError:
        raise NotANumber("this number is too large", node) from None
    except ZeroDivisionError:
        raise NotANumber("this divides by zero", node) from None
    except NotLinear as error:
        raise NotANumber(str(error), node) from None
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


def _plain(value: Value, node: expr.Node) -> float:
    if isinstance(value, Width):
        raise NotANumber("`c` cannot be in an exponent", node)
    return float(value)


def _power(base: Value, exponent: Value, node: expr.Node) -> Value:
    if isinstance(base, Width) or isinstance(exponent, Width):
        raise NotANumber("`c` cannot appear in a power", node)
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and abs(exponent) < 1000:
        return base ** int(exponent)
    if base < 0:
        raise NotANumber("this power has no real value", node)
    return float(base) ** float(exponent)
