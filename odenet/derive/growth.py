"""How errors of earlier steps grow: powers of the one-step matrix applied to a vector.

The components in eigenvectors inside the unit circle die out. Those of the eigenvalue 1 stay, and
move the solution; those of other eigenvalues on the circle, the parasitic ones, oscillate.
"""

from collections.abc import Collection, Sequence
from typing import Any

import mpmath

from odenet.derive.exact_numbers import DIGITS, as_mpf
from odenet.derive.h_series import Number
from odenet.derive.power_bounded import NEAR, distinct, eigenvalues
from odenet.derive.printed import Printed

Matrix = list[list[Number]]

# Components below this, relative to what was begun with, are rounding.
NOTHING = mpmath.mpf(10) ** -15


def plain(value: Number) -> Any:
    """A number of mpmath."""
    return as_mpf(value.value if isinstance(value, Printed) else value)


def loss(matrix: Matrix, row: int) -> int:
    """How many powers of h an error made in one row in every step costs at a fixed time.

    1 where errors add up; 2 for a second difference, which adds them up twice; 0 for a value that
    forgets errors or lets them alternate.
    """
    size = len(matrix)
    # one more component, which feeds the row in every step
    fed = [[*entries, 1 if i == row else 0] for i, entries in enumerate(matrix)]
    fed.append([0] * size + [1])
    return growth(fed, 1, [0] * size + [1], anywhere=range(size), seen=()) or 0


def growth(
    matrix: Matrix,
    blocks: int,
    start: Sequence[Number],
    anywhere: Collection[int],
    seen: Collection[int],
) -> int | None:
    """The degree in N with which a vector grows under N steps; None if it dies out.

    Args:
        matrix: block triangular, its diagonal blocks all the same.
        blocks: how many.
        start: the vector.
        anywhere: the components in which a part in the eigenvalue 1 counts.
        seen: those in which a part in any eigenvalue on the unit circle does.
    """
    size = len(matrix) // blocks
    values = spectrum([row[:size] for row in matrix[:size]])
    return growth_with(matrix, values * blocks, start, anywhere, seen)


def spectrum(matrix: Matrix) -> list[Number]:
    """The eigenvalues of a matrix, with multiplicity."""
    with mpmath.workdps(DIGITS):
        return eigenvalues([[plain(entry) for entry in row] for row in matrix])


def growth_with(
    matrix: Matrix,
    values: Sequence[Number],
    start: Sequence[Number],
    anywhere: Collection[int],
    seen: Collection[int],
) -> int | None:
    """As `growth`, for any matrix whose eigenvalues are known, with multiplicity."""
    with mpmath.workdps(DIGITS):
        rows = [[plain(entry) for entry in row] for row in matrix]
        vector = [mpmath.mpc(plain(entry)) for entry in start]
        for value in values:
            if abs(value) < 1 - NEAR:
                vector = _kept(rows, value, vector)
        smooth = vector
        other = [v for v in values if abs(v) > 1 - NEAR and abs(v - 1) > NEAR]
        for value in other:
            smooth = _kept(rows, value, smooth)
        found = _degree(rows, [mpmath.mpf(1)], smooth, anywhere)
        if seen and other:
            for value in values:
                if abs(value - 1) < NEAR:
                    vector = _without(rows, value, vector)
            rest = _degree(rows, distinct(other), vector, seen)
            found = max((d for d in (found, rest) if d is not None), default=None)
        return found


def _degree(
    rows: Matrix, values: Sequence[Number], vector: list[Number], places: Collection[int]
) -> int | None:
    """How often the eigenvalues must be taken out until nothing is left in some components."""
    degree = None
    for times in range(len(rows) + 1):
        if not _visible(rows, vector, places):
            return degree
        degree = times
        for value in values:
            vector = _without(rows, value, vector)
    return degree


def _visible(rows: Matrix, vector: list[Number], places: Collection[int]) -> bool:
    """Whether some components are ever different from zero."""
    for _ in rows:
        if any(abs(vector[place]) > NOTHING for place in places):
            return True
        vector = _without(rows, mpmath.mpf(0), vector)
    return False


def _kept(rows: Matrix, value: Number, vector: list[Number]) -> list[Number]:
    """A vector without an eigenvalue's part, and with that of the eigenvalue 1 as it was.

    Without the division, what an eigenvalue next to 1 leaves would look like rounding.
    """
    return [x / (1 - value) for x in _without(rows, value, vector)]


def _without(rows: Matrix, value: Number, vector: list[Number]) -> list[Number]:
    """(matrix - value) vector: what is left without an eigenvalue's part."""
    return [
        sum((entry * x for entry, x in zip(row, vector, strict=True) if entry), -value * vector[i])
        for i, row in enumerate(rows)
    ]
