"""Whether the powers of a small matrix stay bounded, and how a vector grows, at high precision.

Powers are bounded exactly if no eigenvalue lies outside the unit circle and those on it have as
many eigenvectors as their multiplicity.
"""

from collections.abc import Collection, Sequence
from typing import Any

import mpmath

from odenet.derive.exact_numbers import DIGITS, as_mpf
from odenet.derive.printed import Printed

# Fractions, numbers of mpmath, which has no types, and decimals known to their last digit.
Number = Any
Rows = Sequence[Sequence[Number]]
Matrix = list[list[Number]]

# Eigenvalues are computed with 100 digits; a k-fold one is right to about 100/k of them.
NEAR = mpmath.mpf(10) ** -20


def bounded_powers(matrix: Rows, at_one: int = 1) -> bool:
    """Whether all powers of a matrix are bounded.

    Args:
        matrix: square.
        at_one: the size of Jordan block that the eigenvalue 1 may have: 2 where a position grows
            linearly because it has a velocity.
    """
    with mpmath.workdps(DIGITS):
        exact, found = _matrix(matrix), eigenvalues(matrix)
        if any(abs(value) > 1 + NEAR for value in found):
            return False
        on_circle = [value for value in found if abs(value) > 1 - NEAR]
        return all(
            _index(exact, value) <= (at_one if abs(value - 1) < NEAR else 1)
            for value in distinct(on_circle)
        )


def index_of_one(matrix: Rows) -> int:
    """The size of the largest Jordan block of the eigenvalue 1; 0 if 1 is not an eigenvalue."""
    with mpmath.workdps(DIGITS):
        return _index(_matrix(matrix), mpmath.mpf(1))


def spectral_radius(matrix: Rows) -> Number:
    """The largest absolute value of an eigenvalue."""
    with mpmath.workdps(DIGITS):
        return max(abs(value) for value in eigenvalues(matrix))


def eigenvalues(matrix: Rows) -> list[Number]:
    """All eigenvalues, with multiplicity."""
    with mpmath.workdps(DIGITS):
        if len(matrix) == 1:
            return [mpmath.mpc(plain(matrix[0][0]))]
        found, _ = mpmath.eig(_matrix(matrix), left=False, right=True)
        return [mpmath.mpc(value) for value in found]


def _matrix(rows: Rows) -> mpmath.matrix:
    return mpmath.matrix([[plain(entry) for entry in row] for row in rows])


def plain(value: Number) -> Any:
    """A number of mpmath."""
    return as_mpf(value.value if isinstance(value, Printed) else value)


def distinct(values: list[Number]) -> list[Number]:
    """The same without repetitions."""
    kept: list[Number] = []
    for value in values:
        if all(abs(value - other) > NEAR for other in kept):
            kept.append(value)
    return kept


def _index(matrix: mpmath.matrix, value: Number) -> int:
    """The size of an eigenvalue's largest Jordan block: where the ranks of powers stop falling."""
    shifted = matrix - value * mpmath.eye(matrix.rows)
    power, rank, index = shifted, _rank(shifted), 0
    before = matrix.rows
    while rank < before:
        before, index = rank, index + 1
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
            key=lambda place: abs(rows[place[0]][place[1]]),
        )
        pivot = rows.pop(i)
        if abs(pivot[j]) < NEAR:
            return rank
        rank += 1
        rows = [
            [x - row[j] / pivot[j] * y for x, y in zip(row, pivot, strict=True)] for row in rows
        ]
    return rank


# --- how errors of earlier steps grow ------------------------------------------------------------
#
# Powers of the one-step matrix applied to a vector: the components in eigenvectors inside the unit
# circle die out. Those of the eigenvalue 1 stay, and move the solution; those of other eigenvalues
# on the circle, the parasitic ones, oscillate.

# Components below this, relative to what was begun with, are rounding.
NOTHING = mpmath.mpf(10) ** -15


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
    values = eigenvalues([row[:size] for row in matrix[:size]])
    return growth_with(matrix, values * blocks, start, anywhere, seen)


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
