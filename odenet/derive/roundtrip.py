"""An estimate of the error of the initial state after a round trip: N steps and N inverse steps.

Every shear makes a rounding error of about eps times the state, when it is applied and again when
it is undone. An error made in step n reaches the initial state through n inverse steps. On the
scheme's test equation, the state and the errors are propagated by products of one small matrix and
its inverse. They are bounded for a stable scheme with simple eigenvalues, grow linearly for
leapfrog's second difference at low frequencies (a double eigenvalue 1), and like γ^-n for momentum.

The result is an estimate and no bound. Rounding errors are taken as independent, and right-hand
sides as those of the test equation, with equal results in both directions. Frequencies are first
the same in every step, as with equal weights, and the worst of several frequencies counts. If they
differ from step to step, products of stable steps can grow (parametric resonance, as in Hill's
equation): `uneven` is the worst case of several periodic sequences of frequencies.
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

from odenet.derive.axis_stability import Axis
from odenet.derive.cached_method import cached_method
from odenet.derive.coefficients import H
from odenet.derive.exact_numbers import Value, as_mpf, substitute
from odenet.derive.intervals import S
from odenet.derive.linear_forms import Form
from odenet.derive.shears import Shear
from odenet.derive.stability import EquationStability, Stability
from odenet.diagnostics import SpecError
from odenet.model.expressions.expr import Node, Slot

MOST_STEPS = 10_000  # more are not simulated
MOST_DIFFERENT_STEPS = 200  # steps with different constants; each takes some milliseconds
SAMPLES = 9  # frequencies that are tried for all steps, 0 included
RUN_LENGTHS = (1, 2, 3, 5)  # how many steps in a row have the high, or the low, frequency
LOW_FREQUENCIES = (0.0, 0.35)  # low frequencies, relative to the high one
HUGE = 1e100  # a larger sum of squares counts as infinite
SHEAR_ROUNDING = 1.0  # rounding error of a shear and of its inverse, in eps of the state; see tests
PRECISION = 60  # decimal digits for a matrix and its inverse

Matrix = list[list[complex]]


@dataclass(frozen=True)
class RoundTrip:
    """The estimated error of a rebuilt initial state, relative to the size of that state.

    Args:
        estimate: the error if the frequency is the same in every step, as with equal weights.
        uneven: the largest error for some sequences of frequencies that change from step to step,
            never less than `estimate`.
    """

    estimate: float
    uneven: float

    def __str__(self) -> str:
        return f"an estimated {self.estimate:.1e}"

    def scaled(self, factor: float) -> RoundTrip:
        """Both errors times a factor, for another eps."""
        return RoundTrip(self.estimate * factor, self.uneven * factor)


def predict_roundtrip(
    stability: Stability,
    shears: tuple[Shear, ...],
    relabel: Mapping[Slot, Slot],
    constants_per_step: Sequence[Mapping[str, Any]],
    steps: int,
    h: float,
    eps: float,
    frequency: float,
    axis: Axis | None,
) -> RoundTrip:
    """The error after a number of steps forward and as many back; infinite if it overflows.

    Args:
        stability: the stability of the scheme; gives the test equation and the constants.
        shears: the shears of a step of the scheme.
        relabel: register -> the slot whose value it holds after a step, where that is another.
        constants_per_step: the values of all constants and h in each step, if they differ.
        steps: the number of steps forward, and of steps back.
        h: step size; not read by schemes without one.
        eps: the spacing of floating-point numbers at 1 (`torch.finfo(dtype).eps`).
        frequency: the largest eigenvalue in absolute value of the right-hand side's Jacobian.
        axis: the axis on which the eigenvalues λ lie in all steps; if None, the imaginary one if
            the scheme is stable on it, else the negative real one.
    """
    tested = stability.per_equation[0]
    prefers_imaginary = tested.imaginary_axis.limit or tested.real_axis is None
    chosen_axis = axis or ("imaginary" if prefers_imaginary else "real")

    @cache
    def transport(*numbers: tuple[str, Any]) -> _ErrorTransport:
        values = dict(numbers)
        at_step = replace(tested, values=values) if values else tested
        return _ErrorTransport(at_step, shears, relabel, float(values.get("h", h)), chosen_axis)

    transports = [transport(*values.items()) for values in constants_per_step or [{}]]
    # sequences of frequencies, one for each step, which are repeated
    equal_frequencies = [[frequency * k / (SAMPLES - 1)] for k in range(SAMPLES)]
    uneven_frequencies = [
        [frequency] * high_count + [frequency * low_share] * low_count
        for high_count, low_count, low_share in product(RUN_LENGTHS, RUN_LENGTHS, LOW_FREQUENCIES)
    ]
    estimate = max(_error(transports, sequence, steps) for sequence in equal_frequencies)
    worst = max(_error(transports, sequence, steps) for sequence in uneven_frequencies)
    return RoundTrip(eps * estimate, eps * max(estimate, worst))


def _error(transports: list[_ErrorTransport], frequencies: list[float], steps: int) -> float:
    """The error of the rebuilt initial state, divided by eps and by the norm of the initial state.

    It is the square root of the sum of squares of all rounding errors.

    Args:
        transports: one for each step; repeated from the beginning if there are more steps.
        frequencies: the frequency in each step, repeated likewise.
        steps: the number of steps.
    """
    first = transports[0]
    size = range(len(first.tested.scheme.slots))
    state = first.start_matrix(frequencies[0])
    way_back: Matrix = [[complex(i == j) for j in size] for i in size]
    initial = norm = _norm(state)
    squares = 0.0
    in_each_step = zip(cycle(transports), cycle(frequencies), strict=False)
    for transport, frequency in islice(in_each_step, steps):
        try:
            forward, inverse = transport.matrices(frequency)
        except ArithmeticError:
            return math.inf
        errors = [gain * _column_norm(way_back, row) for row, gain in transport.rounded_rows_back]
        squares += norm * norm * _sum_of_squares(errors)
        state, way_back = _multiply(forward, state), _multiply(way_back, inverse)
        norm = _norm(state)
        errors = [_column_norm(way_back, row) for row in transport.rounded_rows]
        squares += norm * norm * _sum_of_squares(errors)
        if not squares <= HUGE:
            return math.inf
    return SHEAR_ROUNDING * math.sqrt(squares) / initial


class _ErrorTransport:
    """One step on a test equation: its matrix, and where its shears make rounding errors.

    Attributes:
        tested: the scheme on the test equation.
        rounded_rows: for each shear, the row of the new state that it rounds.
        rounded_rows_back: for each inverse shear, the row of the old state that it rounds, and the
            factor 1/|α| by which it magnifies errors.
    """

    def __init__(
        self,
        tested: EquationStability,
        shears: tuple[Shear, ...],
        relabel: Mapping[Slot, Slot],
        h: float,
        axis: Axis,
    ):
        self.tested, self.h = tested, h
        self.direction = mpmath.mpc(0, 1) if axis == "imaginary" else -1
        self.values = tested.symbol_values() | {H: mpmath.mpf(h)}
        slots = tested.scheme.slots
        scales = {s: sympy.Float(v, PRECISION) for s, v in self.values.items()}
        self.rounded_rows = [slots.index(relabel.get(s.target, s.target)) for s in shears]
        self.rounded_rows_back = [
            (slots.index(s.target), 1 / abs(complex(substitute(s.scale, scales)))) for s in shears
        ]

    @cached_method
    def matrices(self, frequency: float) -> tuple[Matrix, Matrix]:
        """The matrix of the step at a frequency, and its inverse.

        Raises:
            ArithmeticError: an entry is not finite.
        """
        with mpmath.workdps(PRECISION):
            matrix = self.tested.step.matrix_at(self.values | {S: self._h_lambda(frequency)})
            return _complex(matrix), _complex(mpmath.inverse(mpmath.matrix(matrix)).tolist())

    def _h_lambda(self, frequency: float) -> Value:
        """S = hλ for a frequency on the axis."""
        factor = self.h if self.tested.scheme.uses_step_size else 1.0
        return self.direction * mpmath.mpf(frequency) * factor

    def start_matrix(self, frequency: float) -> Matrix:
        """The matrix from the initial values of the unknowns to all stored values.

        It follows from the scheme's start lines: one row for each slot, one column for each
        unknown.
        """
        scheme = self.tested.scheme
        unknowns = [pattern.unknown for pattern in scheme.patterns]
        rows: dict[Slot, list[complex]] = {
            Slot(name, 0): [complex(other == name) for other in unknowns] for name in unknowns
        }
        rows |= self._start_rows(self.values | {S: self._h_lambda(frequency)}, unknowns)
        of_size_1 = [1.0 + 0j] * len(unknowns)  # for a start line that is not linear
        return [rows.get(slot, of_size_1) for slot in scheme.slots]

    def _start_rows(
        self, values: Mapping[sympy.Symbol, Value], unknowns: Iterable[str]
    ) -> Iterator[tuple[Slot, list[complex]]]:
        """The rows of those start lines that are linear functions of the unknowns at step 0."""
        step = self.tested.step
        newest_slots = [Slot(name, 0) for name in unknowns]
        known_forms: dict[Node, Form] = {slot: step.algebra.form_of(slot) for slot in newest_slots}
        for slot, value in self.tested.scheme.starts:
            with suppress(SpecError, ArithmeticError):
                form = step.algebra.read(value, known_forms)
                row = (form.get(key, step.coeff_field.sympy_field.zero) for key in newest_slots)
                yield slot, [complex(step.coeff_field.evaluate(c, values, as_mpf)) for c in row]


def _complex(matrix: list[list[Value]]) -> Matrix:
    """A matrix in double precision; raises OverflowError if an entry is not finite there."""
    found = [[complex(entry) for entry in row] for row in matrix]
    if not all(cmath.isfinite(entry) for row in found for entry in row):
        raise OverflowError
    return found


def _multiply(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, col, strict=True)) for col in columns] for row in left]


def _norm(matrix: Matrix) -> float:
    return math.hypot(*(abs(entry) for row in matrix for entry in row))


def _sum_of_squares(values: Iterable[float]) -> float:
    """The sum of squares; infinite if it overflows, where `**` would raise an error."""
    return sum(value * value for value in values)


def _column_norm(matrix: Matrix, column: int) -> float:
    return math.hypot(*(abs(row[column]) for row in matrix))
