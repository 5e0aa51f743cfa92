"""Eigenvalues of a Jacobian against where a verdict says they lie."""

from collections.abc import Callable

from odenet.confirm.matrices import Matrix, eigenvalues, norm, solve, transpose

CLEAR = 1e-3  # the least distance, relative to ‖J‖, that counts
NOISE = 1e-6  # a Jacobian this small may be rounding: weights and states are of size 1
ROUNDING = 1e6 * 2.0**-52  # an eigenvalue is known up to its condition times this

_OFF: dict[str, Callable[[complex], float]] = {
    "stable": lambda value: value.real,
    "imaginary": lambda value: abs(value.real),
    "real": lambda value: max(abs(value.imag), value.real),
}


def misplaced(matrix: Matrix, verdict: str) -> complex | None:
    """An eigenvalue that is for certain not where a verdict has all of them; None if none is.

    Args:
        matrix: of finite numbers.
        verdict: "imaginary", "real" (and at most 0) or "stable".
    """
    size = norm(matrix)
    if not NOISE < size < float("inf"):
        return None
    try:
        worst = max(eigenvalues(matrix), key=_OFF[verdict])
    except ArithmeticError:
        return None
    off = _OFF[verdict](worst)
    if off <= CLEAR * size:
        return None
    return worst if off > CLEAR * size + ROUNDING * size * _condition(matrix, worst) else None


def _condition(matrix: Matrix, value: complex) -> float:
    """The condition of a simple eigenvalue: 1 / |yᴴx| for unit left and right eigenvectors."""
    right, left = (_eigenvector(m, value) for m in (matrix, transpose(matrix)))
    overlap = abs(sum(a * b for a, b in zip(left, right, strict=True)))
    return 1 / overlap if overlap > 0 else float("inf")


def _eigenvector(matrix: Matrix, value: complex) -> list[complex]:
    """A unit eigenvector, by two steps of inverse iteration."""
    shifted = [
        [a - (value if i == j else 0) for j, a in enumerate(row)] for i, row in enumerate(matrix)
    ]
    vector: list[complex] = [1 + 0.1j * i for i in range(len(matrix))]
    for _ in range(2):
        vector = solve(shifted, vector)
        length = sum(abs(x) ** 2 for x in vector) ** 0.5
        vector = [x / length for x in vector]
    return vector
