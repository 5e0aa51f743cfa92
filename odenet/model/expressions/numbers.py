"""Evaluates scalar expressions, to numbers (exact while they are rational) or channel counts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import exp, isfinite
from typing import overload

from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic


class NotLinear(ValueError):
    """Raised where arithmetic with `c` does not give a multiple of `c` plus a number."""


@dataclass(frozen=True)
class Width:
    """A channel count, `multiple * c + constant`, where `c` is the number of channels of a state.

    Args:
        multiple: the factor of `c`.
        constant: the number added to it.
        has_new_c: whether `c` is the number of channels after a `unit`, a flow whose first step
            changes that number. Widths in that step are marked so once they are complete, and no
            sum has both the old and the new number.
    """

    multiple: Fraction
    constant: Fraction = Fraction(0)
    has_new_c: bool = False

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
            has_new_c=self.has_new_c or other.has_new_c,
        )

    def __neg__(self) -> "Width":
        return self * -1

    def __mul__(self, factor: "Value | int") -> "Width":
        if not isinstance(factor, Fraction | int):
            raise NotLinear("a channel count is a multiple of `c`")
        return replace(self, multiple=self.multiple * factor, constant=self.constant * factor)

    def __truediv__(self, divisor: Fraction) -> "Width":
        return self * (1 / divisor)

    def __rtruediv__(self, dividend: Fraction) -> "Width":
        raise NotLinear("`c` cannot divide")

    __radd__, __rmul__ = __add__, __mul__

    def channels(self, c: int) -> Fraction:
        """The number of channels where a state has `c` of them."""
        return self.multiple * c + self.constant


def fixed_width(count: Fraction | int) -> Width:
    """A width that does not depend on `c`."""
    return Width(Fraction(0), Fraction(count))


STATE_WIDTH = Width(Fraction(1))  # `c`, the number of channels of a state

# The value of a scalar expression: exact, rounded, or a number of channels.
Value = Fraction | float | Width


def as_width(value: Value) -> Width:
    """A value as a width; a plain number is a width without `c`."""
    return value if isinstance(value, Width) else fixed_width(Fraction(value))


MOST_BITS = 4096  # of a numerator or a denominator


class EvaluationError(ValueError):
    """Raised for an expression without a value.

    Attributes:
        node: the subexpression at fault.
    """

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
        values: the values of the constants that it may name, by name.

    Raises:
        EvaluationError: if it names something else, divides by zero, is not linear in `c`, or is
            too large.
    """
    try:
        match node:
            case expr.Number():
                value = node.value
            case expr.Constant() if node.name in values:
                value = values[node.name]
            case expr.Sum() | expr.Product() | expr.Quotient():
                value = fold_arithmetic(node, partial(evaluate, values=values))
            case expr.Power():
                base, exponent = evaluate(node.base, values), evaluate(node.exponent, values)
                value = _power(base, exponent, node)
            case expr.Time():
                raise EvaluationError("`t` moves from step to step, and this is one number", node)
            case expr.Exp():
                value = exp(_real_exponent(evaluate(node.exponent, values), node))
            case _:
                raise EvaluationError("a number is wanted here", node)
    except OverflowError:
        raise EvaluationError("this number is too large", node) from None
    except ZeroDivisionError:
        raise EvaluationError("this divides by zero", node) from None
    except NotLinear as error:
        raise EvaluationError(str(error), node) from None
    if not _in_range(value):
        raise EvaluationError("this number is too large", node)
    return value


def known_scalars(node: expr.Node, valueless: Callable[[expr.Node], bool]) -> Iterator[expr.Node]:
    """The largest scalar subexpressions in which every node has a value.

    Args:
        node: the expression.
        valueless: whether a node, such as a learned scalar, has no value yet.
    """
    if node.kind is expr.Kind.SCALAR and not any(valueless(inner) for inner in node.walk()):
        yield node
        return
    for child in node.children():
        yield from known_scalars(child, valueless)


def _in_range(value: Value) -> bool:
    """Whether a float is finite, or the fractions of an exact value are short enough to store."""
    if isinstance(value, float):
        return isfinite(value)
    fractions = (value.multiple, value.constant) if isinstance(value, Width) else (value,)
    return all(max(abs(p.numerator), p.denominator).bit_length() <= MOST_BITS for p in fractions)


def _real_exponent(value: Value, node: expr.Node) -> float:
    """An exponent as a float."""
    if isinstance(value, Width):
        raise EvaluationError("`c` cannot be in an exponent", node)
    return float(value)


def _power(base: Value, exponent: Value, node: expr.Node) -> Value:
    """A power: exact for integer exponents below 1000, else a float."""
    if isinstance(base, Width) or isinstance(exponent, Width):
        raise EvaluationError("`c` cannot appear in a power", node)
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and abs(exponent) < 1000:
        return base ** int(exponent)
    if base < 0:
        raise EvaluationError("this power has no real value", node)
    return float(base) ** float(exponent)
