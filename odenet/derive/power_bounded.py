"""Whether a small matrix is power bounded, and how fast its powers grow, at high precision.

A matrix is power bounded exactly if no eigenvalue lies outside the unit circle and those on it have
as many independent eigenvectors as their multiplicity.
"""

from collections.abc import Collection, Sequence
from typing import Any

import mpmath

from odenet.derive.exact_numbers import DIGITS, as_mpf
from odenet.derive.rounded_numbers import RoundedNumber

# A fraction, an mpmath number, which has no type, or a rounded decimal (`rounded_numbers.py`).
Number = Any
Rows = Sequence[Sequence[Number]]
Matrix = list[list[Number]]

# Eigenvalues are computed with 100 digits; a k-fold one is correct to about 100/k of them.
TOLERANCE = mpmath.mpf(10) ** -20


def is_power_bounded(matrix: Rows, max_block: int = 1) -> bool:
    """Whether all powers of a matrix are bounded.

    Args:
        matrix: a square matrix.
        max_block: the size that Jordan blocks of the eigenvalue 1 may have: 2 if positions
            may grow linearly, with constant velocity.
    """
    with mpmath.workdps(DIGITS):
        mpmath_matrix, values = _mpmath_matrix(matrix), eigenvalues(matrix)
        if any(abs(value) > 1 + TOLERANCE for value in values):
            return False
        on_circle = [value for value in values if abs(value) > 1 - TOLERANCE]
        return all(
            _largest_block(mpmath_matrix, value) <= (max_block if abs(value - 1) < TOLERANCE else 1)
            for value in distinct(on_circle)
        )


def largest_block_at_one(matrix: Rows) -> int:
    """The size of the largest Jordan block of the eigenvalue 1; 0 if 1 is not an eigenvalue."""
    with mpmath.workdps(DIGITS):
        return _largest_block(_mpmath_matrix(matrix), mpmath.mpf(1))


def spectral_radius(matrix: Rows) -> Number:
    """The largest absolute value of an eigenvalue."""
    with mpmath.workdps(DIGITS):
        return max(abs(value) for value in eigenvalues(matrix))


def eigenvalues(matrix: Rows) -> list[Number]:
    """All eigenvalues, with multiplicity."""
    with mpmath.workdps(DIGITS):
        if len(matrix) == 1:
            return [mpmath.mpc(to_mpmath(matrix[0][0]))]
        found, _ = mpmath.eig(_mpmath_matrix(matrix), left=False, right=True)
        return [mpmath.mpc(value) for value in found]


def _mpmath_matrix(rows: Rows) -> mpmath.matrix:
    return mpmath.matrix([[to_mpmath(entry) for entry in row] for row in rows])


def to_mpmath(value: Number) -> Any:
    """The number as an mpmath number; of a rounded decimal the value without its error."""
    return as_mpf(value.value if isinstance(value, RoundedNumber) else value)


def distinct(values: list[Number]) -> list[Number]:
    """The values without repetitions, up to the tolerance."""
    kept: list[Number] = []
    for value in values:
        if all(abs(value - other) > TOLERANCE for other in kept):
            kept.append(value)
    return kept


def _largest_block(matrix: mpmath.matrix, value: Number) -> int:
    """The size of an eigenvalue's largest Jordan block: the power at which ranks stop falling."""
    shifted = matrix - value * mpmath.eye(matrix.rows)
    power, rank, index = shifted, _rank(shifted), 0
    previous_rank = matrix.rows
    while rank < previous_rank:
        previous_rank, index = rank, index + 1
        power = power * shifted
        rank = _rank(power)
    return index


def _rank(matrix: mpmath.matrix) -> int:
    """The rank, by elimination with full pivoting; entries below 1e-20 count as zero."""
    rows: list[list[Number]] = matrix.tolist()
    rank = 0
    while rows:
        i, j = max(
            ((i, j) for i in range(len(rows)) for j in range(len(rows[0]))),
            key=lambda position: abs(rows[position[0]][position[1]]),
        )
        pivot = rows.pop(i)
        if abs(pivot[j]) < TOLERANCE:
            return rank
        rank += 1
        rows = [
            [x - row[j] / pivot[j] * y for x, y in zip(row, pivot, strict=True)] for row in rows
        ]
    return rank


# --- how errors of earlier steps grow ------------------------------------------------------------
#
# An error is a vector to which powers of the one-step matrix are applied. Its parts that belong to
# eigenvalues inside the unit circle decay. The part that belongs to the eigenvalue 1 stays, and
# changes the solution. Those that belong to other eigenvalues on the circle, the parasitic ones,
# oscillate.

# Components below this, relative to the initial vector, are rounding errors.
NEGLIGIBLE = mpmath.mpf(10) ** -15


def lost_powers(matrix: Matrix, row: int) -> int:
    """How many powers of h are lost at a fixed time if an error is made in one row in every step.

    1 if errors add up; 2 for a second difference, which adds them up twice; 0 if errors decay or
    cancel by alternating signs.
    """
    size = len(matrix)
    # one more component, constantly 1, which is added to the row in every step
    augmented = [[*entries, 1 if i == row else 0] for i, entries in enumerate(matrix)]
    start = [0] * size + [1]
    augmented.append(start)
    return growth(augmented, eigenvalues(augmented), start, at_one=range(size), on_circle=()) or 0


def growth(
    matrix: Matrix,
    values: Sequence[Number],
    start: Sequence[Number],
    at_one: Collection[int],
    on_circle: Collection[int],
) -> int | None:
    """The degree d if N steps make a vector grow like N^d; None if it decays.

    Args:
        matrix: the matrix of a step.
        values: its eigenvalues, with multiplicity.
        start: the vector.
        at_one: the components that are examined for growth that belongs to the eigenvalue 1.
        on_circle: those that are examined for growth of any eigenvalue on the unit circle.
    """
    with mpmath.workdps(DIGITS):
        rows = [[to_mpmath(entry) for entry in row] for row in matrix]
        vector = [mpmath.mpc(to_mpmath(entry)) for entry in start]
        for value in values:
            if abs(value) < 1 - TOLERANCE:
                vector = _project_out(rows, value, vector)
        smooth_part = vector
        parasitic_values = [v for v in values if abs(v) > 1 - TOLERANCE and abs(v - 1) > TOLERANCE]
        for value in parasitic_values:
            smooth_part = _project_out(rows, value, smooth_part)
        degree = _degree(rows, [mpmath.mpf(1)], smooth_part, at_one)
        if on_circle and parasitic_values:
            for value in values:
                if abs(value - 1) < TOLERANCE:
                    vector = _annihilate(rows, value, vector)
            oscillating = _degree(rows, distinct(parasitic_values), vector, on_circle)
            degree = max((d for d in (degree, oscillating) if d is not None), default=None)
        return degree


def _degree(
    rows: Matrix, values: Sequence[Number], vector: list[Number], components: Collection[int]
) -> int | None:
    """How often the eigenvalues have to be annihilated until some components vanish for ever.

    None if they vanish from the beginning; 0 if once is enough.
    """
    degree = None
    for count in range(len(rows) + 1):
        if not _is_ever_nonzero(rows, vector, components):
            return degree
        degree = count
        for value in values:
            vector = _annihilate(rows, value, vector)
    return degree


def _is_ever_nonzero(rows: Matrix, vector: list[Number], components: Collection[int]) -> bool:
    """Whether some components are different from zero after any number of steps."""
    for _ in rows:
        if any(abs(vector[i]) > NEGLIGIBLE for i in components):
            return True
        vector = _annihilate(rows, mpmath.mpf(0), vector)  # one step: the matrix times the vector
    return False


def _project_out(rows: Matrix, value: Number, vector: list[Number]) -> list[Number]:
    """A vector without an eigenvalue's part, scaled so that the eigenvalue 1's part is unchanged.

    Without the division by 1 - value, an eigenvalue close to 1 would leave a vector so small that
    it would be taken for rounding errors.
    """
    return [x / (1 - value) for x in _annihilate(rows, value, vector)]


def _annihilate(rows: Matrix, value: Number, vector: list[Number]) -> list[Number]:
    """(matrix - value) vector, which has no part in the eigenvectors of this eigenvalue."""
    return [
        sum((entry * x for entry, x in zip(row, vector, strict=True) if entry), -value * vector[i])
        for i, row in enumerate(rows)
    ]
