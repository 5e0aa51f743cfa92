"""How far a state rebuilt by inverse steps is from the one the steps began with: an estimate.

Every shear rounds on its way forward and when it is undone, by about eps of the state at that
point. An error made n steps after the beginning reaches it through n inverse steps. On the scheme's
test equation both the state, from the scheme's own start lines, and the transport of errors are
products of one small matrix: bounded for a stable scheme with simple eigenvalues, linear for the
second difference of leapfrog at low frequencies (a double eigenvalue 1), γ^-n for momentum.

It is an estimate and not a bound: roundings are taken as independent, right-hand sides as those of
the test equation, evaluated twice with equal results. The frequency is the same in every step, as
with equal weights; the worst of some frequencies counts. Where frequencies differ from step to
step, products of stable steps can grow (parametric resonance, as in Hill's equation): `uneven` is
the worst of some periodic patterns, and no bound either.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice, product
from typing import Any

import mpmath
import sympy

from odenet.derive.axis import AxisName
from odenet.derive.coefficients import H
from odenet.derive.exact_numbers import Value, as_mpf, put_in
from odenet.derive.intervals import S
from odenet.derive.linear_forms import Form
from odenet.derive.remembered import remembered
from odenet.derive.shears import Shear
from odenet.derive.stability import Stability, TestedScheme
from odenet.diagnostics import SpecError
from odenet.model.expressions.expr import Node, Slot

MOST_STEPS = 10_000  # that are followed, one after the other
MOST_DIFFERENT = 200  # of these, that have numbers of their own: some milliseconds each
SAMPLES = 9  # equal frequencies that are tried, 0 included
RUNS = (1, 2, 3, 5)  # lengths of the runs of high and low frequencies that are tried
LOW = (0.0, 0.35)  # the low ones, as a part of the high
HUGE = 1e100  # errors beyond which nothing more is to be learned
ROUNDING = 1.0  # error of a shear and of its inverse, in eps of the state; see tests
PRECISION = 60  # digits of a matrix and its inverse

Matrix = list[list[complex]]


@dataclass(frozen=True)
class RoundTrip:
    """The estimated error of a rebuilt initial state, relative to the size of that state.

    Args:
        estimate: with the same weights in every step.
        uneven: for the worst of some patterns in which frequencies change from step to step.
    """

    estimate: float
    uneven: float

    def __str__(self) -> str:
        return f"an estimated {self.estimate:.1e}"

    def times(self, factor: float) -> RoundTrip:
        """The same in another precision: both numbers are proportional to eps."""
        return RoundTrip(self.estimate * factor, self.uneven * factor)


def predict_roundtrip(
    stability: Stability,
    shears: tuple[Shear, ...],
    relabel: Mapping[Slot, Slot],
    each: Sequence[Mapping[str, Any]],
    steps: int,
    h: float,
    eps: float,
    frequency: float,
    where: AxisName | None,
) -> RoundTrip:
    """The error after a number of steps forward and as many back; infinite where it overflows.

    Args:
        stability: of the scheme, for its test equation and constants.
        shears: of the scheme.
        relabel: register -> the slot it holds after a step, for those that change places.
        each: the values of all constants in one step after the other, where they differ, with h.
        steps: forward, and back.
        h: step size; not read by schemes without one.
        eps: the spacing of floating-point numbers at 1 (`torch.finfo(dtype).eps`).
        frequency: the largest eigenvalue in absolute value of the right-hand side's Jacobian.
        where: the axis of λ, one for all steps; by default (None) the imaginary one where it is
            stable on that.
    """
    tested = stability.tested[0]
    imaginary = tested.imaginary.limit or tested.real is None
    axis = where or ("imaginary" if imaginary else "real")

    @cache
    def transport(*numbers: tuple[str, Any]) -> _ErrorTransport:
        values = dict(numbers)
        own = replace(tested, values=values) if values else tested
        return _ErrorTransport(own, shears, relabel, float(values.get("h", h)), axis)

    transports = [transport(*values.items()) for values in each or [{}]]
    equal = [[frequency * k / (SAMPLES - 1)] for k in range(SAMPLES)]
    uneven = [
        [frequency] * high + [frequency * low] * lower
        for high, lower, low in product(RUNS, RUNS, LOW)
    ]
    estimate = max(_error(transports, pattern, steps) for pattern in equal)
    worst = max((_error(transports, pattern, steps) for pattern in uneven), default=0.0)
    return RoundTrip(eps * estimate, eps * max(estimate, worst))


def _error(transports: list[_ErrorTransport], pattern: list[float], steps: int) -> float:
    """The root of the sum of squares, per eps and per size of the initial state.

    Args:
        transports: of one step after the other, repeated.
        pattern: frequencies of one step after the other, repeated.
        steps: how many.
    """
    first = transports[0]
    size = range(len(first.tested.scheme.slots))
    state = first.start(pattern[0])
    back: Matrix = [[complex(i == j) for j in size] for i in size]
    initial = before = _norm(state)
    squares = 0.0
    for transport, frequency in islice(zip(cycle(transports), cycle(pattern), strict=False), steps):
        try:
            forward, inverse = transport.step(frequency)
        except ArithmeticError:
            return math.inf
        squares += (
            before * before * _squares(g * _column(back, row) for row, g in transport.rounded_back)
        )
        state, back = _times(forward, state), _times(back, inverse)
        before = _norm(state)
        squares += before * before * _squares(_column(back, row) for row in transport.rounded)
        if not squares <= HUGE:
            return math.inf
    return ROUNDING * math.sqrt(squares) / initial


class _ErrorTransport:
    """The errors of a step on a test equation, on their way back to the beginning."""

    def __init__(
        self,
        tested: TestedScheme,
        shears: tuple[Shear, ...],
        relabel: Mapping[Slot, Slot],
        h: float,
        axis: AxisName,
    ):
        self.tested, self.h = tested, h
        self.direction = mpmath.mpc(0, 1) if axis == "imaginary" else -1
        self.values = tested.numbers() | {H: mpmath.mpf(h)}
        slots = tested.scheme.slots
        scales = {s: sympy.Float(v, PRECISION) for s, v in self.values.items()}
        self.rounded = [slots.index(relabel.get(s.target, s.target)) for s in shears]
        self.rounded_back = [
            (slots.index(s.target), 1 / abs(complex(put_in(s.scale, scales)))) for s in shears
        ]

    @remembered
    def step(self, frequency: float) -> tuple[Matrix, Matrix]:
        """The matrix of the step at a frequency, and its inverse.

        Raises:
            ArithmeticError: one of them is not a number.
        """
        with mpmath.workdps(PRECISION):
            matrix = self.tested.step.at(self.values | {S: self._slope(frequency)})
            inverse = mpmath.inverse(mpmath.matrix(matrix)).tolist()
            return _complex(matrix), _complex(inverse)

    def _slope(self, frequency: float) -> Value:
        """The value of s = hλ on the axis."""
        factor = self.h if self.tested.scheme.uses_step_size else 1.0
        return self.direction * mpmath.mpf(frequency) * factor

    def start(self, frequency: float) -> Matrix:
        """Slots by unknowns of the pattern: where the scheme's start lines put each of them."""
        scheme = self.tested.scheme
        unknowns = [pattern.variable for pattern in scheme.patterns]
        rows: dict[Slot, list[complex]] = {
            Slot(name, 0): [complex(other == name) for other in unknowns] for name in unknowns
        }
        rows |= self._starts(self.values | {S: self._slope(frequency)}, unknowns)
        unknown = [1.0 + 0j] * len(unknowns)
        return [rows.get(slot, unknown) for slot in scheme.slots]

    def _starts(
        self, values: Mapping[sympy.Symbol, Value], unknowns: Iterable[str]
    ) -> Iterator[tuple[Slot, list[complex]]]:
        """The start lines that can be read as linear functions of the unknowns at step 0."""
        step = self.tested.step
        now = [Slot(name, 0) for name in unknowns]
        known: dict[Node, Form] = {slot: step.algebra.register(slot) for slot in now}
        for slot, value in self.tested.scheme.starts:
            with suppress(SpecError, ArithmeticError):
                form = step.algebra.read(value, known)
                row = (form.get(key, step.scalars.field.zero) for key in now)
                yield slot, [complex(step.scalars.value(c, values, as_mpf)) for c in row]


def _complex(matrix: list[list[Value]]) -> Matrix:
    found = [[complex(entry) for entry in row] for row in matrix]
    if not all(cmath.isfinite(entry) for row in found for entry in row):
        raise OverflowError
    return found


def _times(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
        for row in left
    ]  # fmt: skip


def _norm(matrix: Matrix) -> float:
    return math.hypot(*(abs(entry) for row in matrix for entry in row))


def _squares(values: Iterable[float]) -> float:
    """The sum of squares; infinite, not an error, where they leave the range of numbers."""
    return sum(value * value for value in values)


def _column(matrix: Matrix, place: int) -> float:
    return math.hypot(*(abs(row[place]) for row in matrix))
