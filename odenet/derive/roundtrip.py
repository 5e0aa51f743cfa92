"""How far a state rebuilt by inverse steps is from the one the steps began with.

Every shear rounds once on its way forward and once when it is undone, by at most eps/2 of the value
it changes. An error made k steps after the beginning reaches it through k inverse steps. On the
scheme's test equation these are powers of one matrix, so that the growth is read off it: bounded
for a stable scheme with simple eigenvalues, linear for the second difference of leapfrog at low
frequencies (a double eigenvalue 1), γ^-k for momentum. Assumed are: values of size 1 throughout,
right-hand sides whose Jacobian has the frequencies of the test equation, and that evaluating a
right-hand side twice gives the same value, as it does on one machine.
"""

import math
from dataclasses import dataclass

import mpmath
import sympy

from odenet.derive.coefficients import H, Value, as_mpf, put_in
from odenet.derive.shears import Shear
from odenet.derive.stability import S, Stability

SAMPLES = 9  # frequencies that are tried, 0 included
HUGE = 1e100  # errors beyond which nothing more is to be learned

Matrix = list[list[complex]]


@dataclass(frozen=True)
class RoundTrip:
    """The error of a rebuilt initial state, relative to the size of the state.

    Args:
        bound: if all roundings conspire.
        estimate: if they are independent: the root of the sum of squares.
    """

    bound: float
    estimate: float

    def __str__(self) -> str:
        return f"about {self.estimate:.1e}, at most {self.bound:.1e}"


def predict_roundtrip(
    stability: Stability,
    shears: tuple[Shear, ...],
    steps: int,
    h: float,
    eps: float,
    frequency: float,
) -> RoundTrip:
    """The error after a number of steps forward and as many back.

    Args:
        stability: of the scheme, for its test equation and constants.
        shears: of the scheme.
        steps: forward, and back.
        h: step size; not read by schemes without one.
        eps: the spacing of floating-point numbers at 1 (`torch.finfo(dtype).eps`).
        frequency: the largest eigenvalue in absolute value of the right-hand side's Jacobian; the
            worst of some frequencies up to it counts.
    """
    values = {symbol: sympy.Float(v.real) for symbol, v in _values(stability, h).items()}
    slots = stability.scheme.slots
    targets = [(slots.index(s.target), float(put_in(s.scale, values))) for s in shears]
    worst = RoundTrip(0.0, 0.0)
    for sample in range(SAMPLES):
        matrix = _matrix(stability, h, frequency * sample / (SAMPLES - 1))
        total, squares = _grown(matrix, targets, steps)
        bound, estimate = eps * total, eps * math.sqrt(squares / 6)
        worst = RoundTrip(max(worst.bound, bound), max(worst.estimate, estimate))
    return worst


def _matrix(stability: Stability, h: float, frequency: float) -> Matrix:
    """One step on the test equation, on an axis on which the scheme is stable."""
    values = _values(stability, h)
    slope = h if stability.scheme.uses_step_size else 1.0
    on_axis = 1j if stability.imaginary.limit or stability.real is None else -1.0
    return stability.step.at(values | {S: on_axis * frequency * slope}, _complex)


def _values(stability: Stability, h: float) -> dict[sympy.Symbol, complex]:
    numbers = stability.step.scalars.numbers(stability.values)
    return {symbol: _complex(value) for symbol, value in numbers.items()} | {H: complex(h)}


def _complex(value: Value) -> complex:
    return complex(as_mpf(value))


def _grown(matrix: Matrix, targets: list[tuple[int, float]], steps: int) -> tuple[float, float]:
    """What errors that are made in every step grow to when all steps are undone.

    Args:
        matrix: of one step.
        targets: for each shear the row it changes, and its scale.
        steps: how many.

    Returns:
        The sum and the sum of squares, for errors of size 1.
    """
    size = range(len(matrix))
    back = [[complex(x) for x in row] for row in mpmath.inverse(mpmath.matrix(matrix)).tolist()]
    errors = [[1 / abs(scale) * (i == row) for i in size] for row, scale in targets]
    total = squares = 0.0
    for _ in range(steps):
        lengths = [math.hypot(*map(abs, error)) for error in errors]
        total, squares = total + sum(lengths), squares + sum(length**2 for length in lengths)
        if total > HUGE:
            return math.inf, math.inf
        errors = [[sum(back[i][j] * error[j] for j in size) for i in size] for error in errors]
    return total, squares
