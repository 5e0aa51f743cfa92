"""Whether the powers of a small matrix stay bounded, decided at high precision.

They do exactly if no eigenvalue lies outside the unit circle and those on it have as many
eigenvectors as their multiplicity.
"""

from collections.abc import Sequence
from typing import Any

import mpmath

from odenet.derive.exact_numbers import DIGITS, as_mpf

# Fractions and mpmath numbers, the latter without types of their own.
Number = Any
Matrix = Sequence[Sequence[Number]]

# Eigenvalues are computed with 100 digits; a k-fold one is right to about 100/k of them.
NEAR = mpmath.mpf(10) ** -20


def bounded_powers(matrix: Matrix, at_one: int = 1) -> bool:
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


def index_of_one(matrix: Matrix) -> int:
    """The size of the largest Jordan block of the eigenvalue 1; 0 if 1 is not an eigenvalue."""
    with mpmath.workdps(DIGITS):
        return _index(_matrix(matrix), mpmath.mpf(1))


def spectral_radius(matrix: Matrix) -> Number:
    """The largest absolute value of an eigenvalue."""
    with mpmath.workdps(DIGITS):
        return max(map(abs, eigenvalues(matrix)))


def eigenvalues(matrix: Matrix) -> list[Number]:
    """All eigenvalues, with multiplicity."""
    if len(matrix) == 1:
        return [mpmath.mpc(as_mpf(matrix[0][0]))]
    found, _ = mpmath.eig(_matrix(matrix), left=False, right=True)
    return [mpmath.mpc(value) for value in found]


def _matrix(rows: Matrix) -> mpmath.matrix:
    return mpmath.matrix([[as_mpf(entry) for entry in row] for row in rows])


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
