"""The check of a Jacobian's eigenvalues against where a verdict says they lie."""

from cmath import exp
from collections.abc import Callable
from math import pi

from odenet.confirm.matrices import Matrix, eigenvalues, frobenius_norm, identity, solve

NOISE = 1e-6  # a smaller Jacobian may consist of rounding errors, as weights are of size 1
ROUNDING = 1e-11  # error of the Jacobian and of the QR iteration, relative to ‖J‖ + 1
MOST_TESTED = 3  # eigenvalues that are examined, those that violate the verdict most
RADII = (1.0, 0.5, 0.1)  # of circles around an eigenvalue, relative to its violation
CIRCLE_POINTS = 12  # on a circle

# verdict -> by how much an eigenvalue violates it
_VIOLATION: dict[str, Callable[[complex], float]] = {
    "stable": lambda value: value.real,
    "imaginary": lambda value: abs(value.real),
    "real": lambda value: max(abs(value.imag), value.real),
}


def violating_eigenvalue(matrix: Matrix, verdict: str) -> complex | None:
    """An eigenvalue that violates a verdict by more than rounding errors; None if there is none.

    Args:
        matrix: the Jacobian.
        verdict: where eigenvalues have to lie: "imaginary", "real" (and at most 0) or "stable".
    """
    size = frobenius_norm(matrix)
    if not NOISE < size < float("inf"):
        return None
    try:
        values = sorted(eigenvalues(matrix), key=_VIOLATION[verdict], reverse=True)
    except ArithmeticError:
        return None
    error = ROUNDING * (size + 1)
    for value in values[:MOST_TESTED]:
        violation = _VIOLATION[verdict](value)
        # The QR iteration is inexact at multiple eigenvalues: a result counts only if it is an
        # exact eigenvalue of a matrix within `error` of this one.
        is_exact = violation > error and _distance_to_singular(matrix, value) <= error
        if is_exact and any(_surely_encloses(matrix, value, violation * r, error) for r in RADII):
            return value
    return None


def _surely_encloses(matrix: Matrix, centre: complex, radius: float, error: float) -> bool:
    """Whether a disc contains an eigenvalue of every matrix within `error` of this one, J.

    It does if no J - z with z on its circle is within `error` of a singular matrix: a component of
    the pseudospectrum then lies inside (Trefethen & Embree 2005, section 2). A multiple or badly
    conditioned eigenvalue needs a larger circle. Only some points of the circle are tested, with
    twice the `error` to be safe in between.
    """
    angles = (2j * pi * k / CIRCLE_POINTS for k in range(CIRCLE_POINTS))
    return all(_distance_to_singular(matrix, centre + radius * exp(a)) > 2 * error for a in angles)


def _distance_to_singular(matrix: Matrix, z: complex) -> float:
    """1/‖(J - z)⁻¹‖ in the Frobenius norm: no singular matrix is nearer to J - z."""
    shifted = [[a - (z if i == k else 0) for i, a in enumerate(r)] for k, r in enumerate(matrix)]
    return 1 / frobenius_norm([solve(shifted, unit) for unit in identity(len(matrix))])
