"""The lines of a scheme on numbers, straight from the typed text.

The lines are written as Python once and then run, so that hundreds of steps take milliseconds. Any
kind of number will do: floats, complex ones for derivatives, decimals for an inverse that is to be
told from rounding. Every unknown has two entries, since right-hand sides of one do not tell all
elementary differentials apart.
"""

import cmath
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from odenet.confirm.disagreement import NoNumbers
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.typed.scheme import Scheme, Update

WIDTH = 2
EXPONENTIAL: dict[Any, Callable[[Any], Any]] = {
    float: math.exp,
    complex: cmath.exp,
    Decimal: Decimal.exp,
}
NumberKind = Callable[[Any], Any]
Run = Callable[[Sequence[Any]], list[Any]]


def numbers_of(
    scheme: Scheme, kind: NumberKind, h: Any, values: Mapping[str, Any]
) -> dict[str, Any]:
    """`h`, the constants of a scheme and its `let`s.

    Args:
        scheme: as parsed.
        kind: of number.
        h: step size.
        values: of the constants; a default where none is given.

    Raises:
        NoNumbers: a constant has no value.
    """
    known = {"h": h, **{name: as_kind(value, kind) for name, value in values.items()}}
    for name, node in (*scheme.constants, *scheme.lets):
        if name not in known:
            if node is None:
                raise NoNumbers(f"the constant {name} has no value")
            known[name] = number(node, known, kind)
    return known


def as_kind(value: Any, kind: NumberKind) -> Any:
    """A fraction or a float as a number of some kind."""
    if isinstance(value, Fraction):
        return kind(value.numerator) / kind(value.denominator)
    return kind(value)


def number(node: Node, known: Mapping[str, Any], kind: NumberKind) -> Any:
    """The value of a scalar expression."""
    match node:
        case expr.Number():
            return as_kind(node.value, kind)
        case expr.Constant() if node.name in known:
            return known[node.name]
        case expr.Sum():
            return sum((sign * number(term, known, kind) for sign, term in node.terms), kind(0))
        case expr.Product():
            return number(node.left, known, kind) * number(node.right, known, kind)
        case expr.Quotient():
            return number(node.numerator, known, kind) / number(node.denominator, known, kind)
        case expr.Power():
            return number(node.base, known, kind) ** number(node.exponent, known, kind)
        case expr.Exp():
            return EXPONENTIAL[kind](number(node.exponent, known, kind))
        case _:
            raise NoNumbers(f"{type(node).__name__} is not a number")


@dataclass(frozen=True)
class RightHandSides:
    """Nonlinear functions that do not commute, one for each and each map that a scheme names.

    Each is B φ(Σ A x + b) with matrices and a vector of its own.

    Args:
        inner: function -> A for each argument.
        outer: function -> B.
        shift: function -> b.
        squash: φ of a number.
    """

    inner: Mapping[str, list[list[list[Any]]]]
    outer: Mapping[str, list[list[Any]]]
    shift: Mapping[str, list[Any]]
    squash: Callable[[Any], Any]

    @staticmethod
    def draw(scheme: Scheme, rng: Random, squash: Callable[[Any], Any]) -> "RightHandSides":
        """Random ones of size 1 for a scheme."""

        def matrix() -> list[list[float]]:
            return [[rng.uniform(-1.5, 1.5) for _ in range(WIDTH)] for _ in range(WIDTH)]

        reads = {p.function: len(p.reads) for p in scheme.patterns}
        reads |= dict.fromkeys((f"map {name}" for name in scheme.maps), 1)
        return RightHandSides(
            {name: [matrix() for _ in range(count)] for name, count in reads.items()},
            {name: matrix() for name in reads},
            {name: [rng.uniform(0.3, 1) for _ in range(WIDTH)] for name in reads},
            squash,
        )

    def of_kind(self, kind: NumberKind) -> "RightHandSides":
        """The same with numbers of some kind."""
        return RightHandSides(
            {f: [[[kind(x) for x in r] for r in m] for m in a] for f, a in self.inner.items()},
            {f: [[kind(x) for x in r] for r in m] for f, m in self.outer.items()},
            {f: [kind(x) for x in b] for f, b in self.shift.items()},
            self.squash,
        )

    def function(self, name: str) -> Callable[..., tuple[Any, Any]]:
        """A function of the entries of its arguments, one after the other."""
        if name not in self.outer:
            raise NoNumbers(f"{name} is not a right-hand side of the pattern")
        squash, (b0, b1) = self.squash, self.shift[name]
        upper = [a for matrix in self.inner[name] for a in matrix[0]]
        lower = [a for matrix in self.inner[name] for a in matrix[1]]
        (o00, o01), (o10, o11) = self.outer[name]

        def rate(*entries: Any) -> tuple[Any, Any]:
            u0, u1 = b0, b1
            for a0, a1, x in zip(upper, lower, entries, strict=True):
                u0, u1 = u0 + a0 * x, u1 + a1 * x
            u0, u1 = squash(u0), squash(u1)
            return o00 * u0 + o01 * u1, o10 * u0 + o11 * u1

        return rate


def rational(x: Any) -> Any:
    """A bounded odd function of any kind of number."""
    return x / (1 + x * x)


def compiled(
    updates: Iterable[Update],
    before: Sequence[Slot],
    after: Sequence[Node],
    numbers: Mapping[str, Any],
    rates: RightHandSides,
    kind: NumberKind,
) -> Run:
    """Lines as a function from the entries of some values to those of others.

    Raises:
        NoNumbers: a line has something that is not modelled here.
    """
    writer = _Writer(numbers, rates, kind)
    writer.names = {slot: writer.pair() for slot in before}
    arguments = [name for slot in before for name in writer.names[slot]]
    for update in updates:
        value, target = writer.field(update.value), writer.pair()
        writer.lines += [f"{name} = {entry}" for name, entry in zip(target, value, strict=True)]
        writer.names[update.target] = target
    results = [name for node in after for name in writer.field(node)]
    body = "\n    ".join(
        [f"{', '.join(arguments)}, = values", *writer.lines, f"return [{', '.join(results)}]"]
    )
    exec(f"def run(values):\n    {body}", writer.space)
    return writer.space["run"]


class _Writer:
    """Writes field expressions as Python, entry by entry.

    Attributes:
        space: what the numbers and functions in the lines are.
        lines: assignments, one each.
        names: what the entries of a value are called.
    """

    def __init__(self, numbers: Mapping[str, Any], rates: RightHandSides, kind: NumberKind):
        self.numbers = numbers
        self.rates = rates
        self.kind = kind
        self.space: dict[str, Any] = {"zero": kind(0)}
        self.lines: list[str] = []
        self.names: dict[Node, tuple[str, str]] = {}
        self._count = 0

    def name(self, letter: str) -> str:
        """A new name."""
        self._count += 1
        return f"{letter}{self._count}"

    def pair(self) -> tuple[str, str]:
        """New names for two entries."""
        return self.name("x"), self.name("x")

    def field(self, node: Node) -> tuple[str, str]:
        """An expression for each entry of a field."""
        match node:
            case Slot() | Stage() if node in self.names:
                return self.names[node]
            case expr.Zero():
                return "zero", "zero"
            case expr.Sum():
                return self._sum(node)
            case expr.Product():
                left, (a, b) = self._number(node.left), self.field(node.right)
                return f"{left} * {a}", f"{left} * {b}"
            case expr.Quotient():
                (a, b), below = self.field(node.numerator), self._number(node.denominator)
                return f"({a}) / {below}", f"({b}) / {below}"
            case expr.Rate(function, arguments):
                return self._call(self.rates.function(function), arguments)
            case expr.MapCall():
                return self._call(self.rates.function(f"map {node.function.name}"), [node.operand])
            case expr.Hadamard():
                (a, b), (c, d) = self.field(node.left), self.field(node.right)
                return f"{a} * {c}", f"{b} * {d}"
            case expr.ElementwiseExp():
                a, b = self.field(node.operand)
                self.space["exp"] = EXPONENTIAL[self.kind]
                return f"exp({a})", f"exp({b})"
            case _:
                raise NoNumbers(f"{type(node).__name__} has no numerical model")

    def _sum(self, node: expr.Sum) -> tuple[str, str]:
        terms = [(sign, self.field(term)) for sign, term in node.terms]
        first, second = (
            " ".join(f"{'-' if sign < 0 else '+'} {term[i]}" for sign, term in terms)
            for i in range(WIDTH)
        )
        return f"({first})", f"({second})"

    def _number(self, node: Node) -> str:
        name = self.name("c")
        self.space[name] = number(node, self.numbers, self.kind)
        return name

    def _call(self, value: Callable[..., Any], arguments: Iterable[Node]) -> tuple[str, str]:
        entries = [entry for argument in arguments for entry in self.field(argument)]
        function, target = self.name("f"), self.pair()
        self.space[function] = value
        self.lines.append(f"{', '.join(target)} = {function}({', '.join(entries)})")
        return target
