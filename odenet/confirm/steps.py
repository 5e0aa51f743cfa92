"""Runs the lines of a scheme on numbers, with random right-hand sides.

The lines are translated to Python once, so that hundreds of steps take milliseconds. Numbers may be
floats, complex numbers for derivatives, or decimals with many digits to rule out rounding errors.
Every unknown has two entries: for scalar unknowns some elementary differentials would coincide.
"""

import cmath
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

from odenet.confirm.disagreement import NotEvaluable
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.typed.scheme import Scheme, Update

ENTRIES = 2  # of every unknown
NumberType = Callable[[Any], Any]  # float, complex or Decimal
EXPONENTIAL: dict[NumberType, Any] = {float: math.exp, complex: cmath.exp, Decimal: Decimal.exp}
# From the entries of some values, one value after the other, to those of others.
EntryFunction = Callable[[Sequence[Any]], list[Any]]


def constant_values(
    scheme: Scheme, dtype: NumberType, h: Any, values: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of `h`, of a scheme's constants and of its `let`s, by name.

    Args:
        scheme: the scheme, as parsed.
        dtype: the type of the results, such as `float`.
        h: step size.
        values: values of constants; the other constants have their defaults.

    Raises:
        NotEvaluable: a constant has no value.
    """
    known = {"h": h, **{name: convert(value, dtype) for name, value in values.items()}}
    for name, node in (*scheme.constants, *scheme.lets):
        if name not in known:
            if node is None:
                raise NotEvaluable(f"the constant {name} has no value")
            known[name] = evaluate(node, known, dtype)
    return known


def convert(value: Any, dtype: NumberType) -> Any:
    """A fraction or a float as a number of the given type."""
    if isinstance(value, Fraction):
        return dtype(value.numerator) / dtype(value.denominator)
    return dtype(value)


def evaluate(node: Node, known: Mapping[str, Any], dtype: NumberType) -> Any:
    """The value of a scalar expression."""
    match node:
        case expr.Number():
            return convert(node.value, dtype)
        case expr.Constant() if node.name in known:
            return known[node.name]
        case expr.Sum():
            return sum((sign * evaluate(term, known, dtype) for sign, term in node.terms), dtype(0))
        case expr.Product():
            return evaluate(node.left, known, dtype) * evaluate(node.right, known, dtype)
        case expr.Quotient():
            return evaluate(node.numerator, known, dtype) / evaluate(node.denominator, known, dtype)
        case expr.Power():
            return evaluate(node.base, known, dtype) ** evaluate(node.exponent, known, dtype)
        case expr.Exp():
            return EXPONENTIAL[dtype](evaluate(node.exponent, known, dtype))
        case _:
            raise NotEvaluable(f"{type(node).__name__} is not a number")


@dataclass(frozen=True)
class RightHandSides:
    """Nonlinear functions B φ(Σ A x + b), one for each right-hand side and each map of a scheme.

    A function is named as in the scheme, such as `F`, and a map `f` is named `map f`.

    Args:
        inner: name of a function -> the matrix A for each of its arguments.
        outer: name of a function -> the matrix B.
        shift: name of a function -> the vector b.
        nonlinearity: φ, which acts on every entry by itself.
    """

    inner: Mapping[str, list[list[list[Any]]]]
    outer: Mapping[str, list[list[Any]]]
    shift: Mapping[str, list[Any]]
    nonlinearity: Callable[[Any], Any]

    @staticmethod
    def draw(scheme: Scheme, rng: Random, nonlinearity: Callable[[Any], Any]) -> "RightHandSides":
        """Random matrices and vectors with entries about as large as 1 for a scheme."""

        def matrix() -> list[list[float]]:
            return [[rng.uniform(-1.5, 1.5) for _ in range(ENTRIES)] for _ in range(ENTRIES)]

        argument_counts = {p.function: len(p.reads) for p in scheme.patterns}
        argument_counts |= dict.fromkeys((f"map {name}" for name in scheme.maps), 1)
        return RightHandSides(
            {name: [matrix() for _ in range(count)] for name, count in argument_counts.items()},
            {name: matrix() for name in argument_counts},
            {name: [rng.uniform(0.3, 1) for _ in range(ENTRIES)] for name in argument_counts},
            nonlinearity,
        )

    def converted(self, dtype: NumberType) -> "RightHandSides":
        """The same functions with numbers of another type."""
        inner = self.inner.items()
        return RightHandSides(
            {f: [[[dtype(x) for x in r] for r in m] for m in a] for f, a in inner},
            {f: [[dtype(x) for x in r] for r in m] for f, m in self.outer.items()},
            {f: [dtype(x) for x in b] for f, b in self.shift.items()},
            self.nonlinearity,
        )

    def function(self, name: str) -> Callable[..., tuple[Any, Any]]:
        """One of the functions, from the entries of all its arguments to its two entries."""
        if name not in self.outer:
            raise NotEvaluable(f"{name} is not a right-hand side of the pattern")
        nonlinearity, (b0, b1) = self.nonlinearity, self.shift[name]
        upper = [a for matrix in self.inner[name] for a in matrix[0]]
        lower = [a for matrix in self.inner[name] for a in matrix[1]]
        (o00, o01), (o10, o11) = self.outer[name]

        def rate(*entries: Any) -> tuple[Any, Any]:
            u0, u1 = b0, b1
            for a0, a1, x in zip(upper, lower, entries, strict=True):
                u0, u1 = u0 + a0 * x, u1 + a1 * x
            u0, u1 = nonlinearity(u0), nonlinearity(u1)
            return o00 * u0 + o01 * u1, o10 * u0 + o11 * u1

        return rate


def rational(x: Any) -> Any:
    """The nonlinearity x/(1 + x²), for numbers of any type."""
    return x / (1 + x * x)


def compile_lines(
    updates: Iterable[Update],
    inputs: Sequence[Slot],
    outputs: Sequence[Node],
    numbers: Mapping[str, Any],
    rates: RightHandSides,
    dtype: NumberType,
) -> EntryFunction:
    """Lines of a scheme as a Python function of a list of numbers.

    Args:
        updates: the lines, in order.
        inputs: the values whose entries the function takes, one after the other.
        outputs: the values whose entries it gives.
        numbers: name -> value, of `h`, constants and lets.
        rates: the right-hand sides and maps.
        dtype: the type of all numbers.

    Raises:
        NotEvaluable: a line contains something that cannot be evaluated here.
    """
    writer = _PythonWriter(numbers, rates, dtype)
    writer.variables = {slot: writer.new_pair() for slot in inputs}
    arguments = [name for slot in inputs for name in writer.variables[slot]]
    for update in updates:
        value, target = writer.entries(update.value), writer.new_pair()
        writer.lines += [f"{name} = {entry}" for name, entry in zip(target, value, strict=True)]
        writer.variables[update.target] = target
    results = [name for node in outputs for name in writer.entries(node)]
    lines = [f"{', '.join(arguments)}, = values", *writer.lines, f"return [{', '.join(results)}]"]
    exec("\n    ".join(["def run(values):", *lines]), writer.namespace)
    return writer.namespace["run"]


class _PythonWriter:
    """Writes expressions of a scheme as Python assignments to the entries of values.

    Attributes:
        namespace: name in the lines -> the number or function it means.
        lines: the assignments.
        variables: value -> the Python variables that hold its two entries.
    """

    def __init__(self, numbers: Mapping[str, Any], rates: RightHandSides, dtype: NumberType):
        self.numbers = numbers
        self.rates = rates
        self.dtype = dtype
        self.namespace: dict[str, Any] = {"zero": dtype(0)}
        self.lines: list[str] = []
        self.variables: dict[Node, tuple[str, str]] = {}
        self._count = 0

    def new_name(self, letter: str) -> str:
        """A new name, such as `x3`, for a variable (x), number (c) or function (f)."""
        self._count += 1
        return f"{letter}{self._count}"

    def new_pair(self) -> tuple[str, str]:
        """New variables for the two entries of a value."""
        return self.new_name("x"), self.new_name("x")

    def entries(self, node: Node) -> tuple[str, str]:
        """A Python expression for each entry of an expression of the scheme."""
        match node:
            case Slot() | Stage() if node in self.variables:
                return self.variables[node]
            case expr.Zero():
                return "zero", "zero"
            case expr.Sum():
                return self._sum(node)
            case expr.Product():
                left, (a, b) = self._bind_number(node.left), self.entries(node.right)
                return f"{left} * {a}", f"{left} * {b}"
            case expr.Quotient():
                (a, b), divisor = self.entries(node.numerator), self._bind_number(node.denominator)
                return f"({a}) / {divisor}", f"({b}) / {divisor}"
            case expr.Rate(function, arguments):
                return self._write_call(self.rates.function(function), arguments)
            case expr.MapCall():
                function = self.rates.function(f"map {node.function.name}")
                return self._write_call(function, [node.operand])
            case expr.Hadamard():
                (a, b), (c, d) = self.entries(node.left), self.entries(node.right)
                return f"{a} * {c}", f"{b} * {d}"
            case expr.ElementwiseExp():
                a, b = self.entries(node.operand)
                self.namespace["exp"] = EXPONENTIAL[self.dtype]
                return f"exp({a})", f"exp({b})"
            case _:
                raise NotEvaluable(f"{type(node).__name__} has no numerical model")

    def _sum(self, node: expr.Sum) -> tuple[str, str]:
        signs = ["-" if sign < 0 else "+" for sign, _ in node.terms]
        columns = zip(*(self.entries(term) for _, term in node.terms), strict=True)
        first, second = (" ".join(map("{} {}".format, signs, column)) for column in columns)
        return f"({first})", f"({second})"

    def _bind_number(self, node: Node) -> str:
        """A new name in the namespace that has the value of a scalar expression."""
        name = self.new_name("c")
        self.namespace[name] = evaluate(node, self.numbers, self.dtype)
        return name

    def _write_call(self, function: Callable[..., Any], nodes: Iterable[Node]) -> tuple[str, str]:
        """Write a line that calls a function on values; returns the variables of its results."""
        entries = [entry for node in nodes for entry in self.entries(node)]
        function_name, target = self.new_name("f"), self.new_pair()
        self.namespace[function_name] = function
        self.lines.append(f"{', '.join(target)} = {function_name}({', '.join(entries)})")
        return target
