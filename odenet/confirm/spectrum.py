"""Eigenvalues of a Jacobian against where a verdict says they lie."""

from cmath import exp
from collections.abc import Callable
from math import pi

from odenet.confirm.matrices import Matrix, eigenvalues, identity, norm, solve

NOISE = 1e-6  # a Jacobian this small may be rounding: weights and states are of size 1
ROUNDING = 1e-11  # relative to ‖J‖ + 1: what the entries and the QR iteration may be off by
TESTED = 3  # eigenvalues, those that violate the verdict most
RADII = (1.0, 0.5, 0.1)  # of circles around an eigenvalue, in parts of its violation
POINTS = 12  # of a circle

_VIOLATION: dict[str, Callable[[complex], float]] = {
    "stable": lambda value: value.real,
    "imaginary": lambda value: abs(value.real),
    "real": lambda value: max(abs(value.imag), value.real),
}


def misplaced(matrix: Matrix, verdict: str) -> complex | None:
    """An eigenvalue that certainly violates a verdict, rounding considered; None if none does.

    Args:
        matrix: of finite numbers.
        verdict: "imaginary", "real" (and at most 0) or "stable".
    """
    size = norm(matrix)
    if not NOISE < size < float("inf"):
        return None
    try:
        found = sorted(eigenvalues(matrix), key=_VIOLATION[verdict], reverse=True)
    except ArithmeticError:
        return None
    error = ROUNDING * (size + 1)
    for value in found[:TESTED]:
        off = _VIOLATION[verdict](value)
        # The QR iteration is inexact at multiple eigenvalues: what it gives is judged only where it
        # is an exact eigenvalue of a matrix within `error` of this one.
        known = off > error and _distance_to_singular(matrix, value) <= error
        if known and any(_surely_encloses(matrix, value, off * part, error) for part in RADII):
            return value
    return None


def _surely_encloses(matrix: Matrix, centre: complex, radius: float, error: float) -> bool:
    """Whether a disc has an eigenvalue of every matrix within `error` of this one.

    It does where no J - z on its circle is within `error` of a singular matrix: a part of the
    pseudospectrum then lies inside (Trefethen & Embree 2005, section 2). Whether the eigenvalue is
    simple or multiple, and how well it is conditioned, decides how large the circle has to be. The
    circle is sampled: the other `error` is for what lies between the points.
    """
    angles = (2j * pi * k / POINTS for k in range(POINTS))
    return all(_distance_to_singular(matrix, centre + radius * exp(a)) > 2 * error for a in angles)


def _distance_to_singular(matrix: Matrix, z: complex) -> float:
    """1/‖(J - z)⁻¹‖ in the Frobenius norm: no singular matrix is nearer to J - z."""
    shifted = [
        [a - (z if i == j else 0) for j, a in enumerate(row)] for i, row in enumerate(matrix)
    ]
    columns = [solve(shifted, unit) for unit in identity(len(matrix))]
    return 1 / norm(columns)
