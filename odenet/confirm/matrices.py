"""Small dense matrices as lists of rows; importing numpy would take longer than a compilation."""

from collections.abc import Sequence
from operator import mul

Vector = Sequence[complex]
Matrix = list[list[float]]

MOST_SWEEPS = 60  # QR steps per eigenvalue; two or three are usual


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """The inner product."""
    return sum(map(mul, one, other))


def apply(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    """Matrix times vector."""
    return [sum(map(mul, row, vector)) for row in matrix]


def identity(size: int) -> Matrix:
    """The unit matrix."""
    return [[float(i == j) for j in range(size)] for i in range(size)]


def transpose(matrix: Matrix) -> Matrix:
    """The columns as rows."""
    return [list(column) for column in zip(*matrix, strict=True)]


def product(one: Matrix, other: Matrix) -> Matrix:
    """Matrix times matrix."""
    columns = list(zip(*other, strict=True))
    return [[sum(map(mul, row, column)) for column in columns] for row in one]


def add(one: Matrix, other: Matrix, factor: float = 1.0) -> Matrix:
    """One matrix plus a multiple of another."""
    return [
        [a + factor * b for a, b in zip(row, other_row, strict=True)]
        for row, other_row in zip(one, other, strict=True)
    ]


def scale_rows(factors: Sequence[float], matrix: Matrix) -> Matrix:
    """diag(factors) times matrix."""
    return [[factor * a for a in row] for factor, row in zip(factors, matrix, strict=True)]


def max_abs(matrix: Sequence[Sequence[float]]) -> float:
    """The largest entry in absolute value."""
    return max((abs(a) for row in matrix for a in row), default=0.0)


def frobenius_norm(matrix: Sequence[Sequence[complex]]) -> float:
    """The Frobenius norm."""
    return sum(abs(a) ** 2 for row in matrix for a in row) ** 0.5


def solve(matrix: Sequence[Sequence[complex]], right: Vector) -> list[complex]:
    """The solution x of matrix x = right; a zero pivot is replaced by a tiny number."""
    size = len(matrix)
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    tiny = 1e-300 + 1e-16 * max(abs(a) for row in rows for a in row)
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k][k] = rows[k][k] if abs(rows[k][k]) > tiny else tiny
        for row in rows[k + 1 :]:
            factor = row[k] / rows[k][k]
            row[k:] = [a - factor * b for a, b in zip(row[k:], rows[k][k:], strict=True)]
    x: list[complex] = [0j] * size
    for k in reversed(range(size)):
        solved_part = sum(rows[k][j] * x[j] for j in range(k + 1, size))
        x[k] = (rows[k][size] - solved_part) / rows[k][k]
    return x


def eigenvalues(matrix: Sequence[Sequence[complex]]) -> list[complex]:
    """All eigenvalues, by the shifted QR iteration (Golub & Van Loan 2013, section 7.5).

    Raises:
        ArithmeticError: the iteration does not converge, or an entry is not finite.
    """
    a = _hessenberg(matrix)
    scale = sum(abs(x) for row in a for x in row)
    if not scale < float("inf"):
        raise ArithmeticError("the matrix is not finite")
    found: list[complex] = []
    end, sweeps = len(a) - 1, 0
    while end >= 0:
        start = end
        while start > 0 and abs(a[start][start - 1]) > 1e-16 * (
            abs(a[start][start]) + abs(a[start - 1][start - 1]) or scale
        ):
            start -= 1
        if start == end:
            found.append(a[end][end])
            end, sweeps = end - 1, 0
            continue
        sweeps += 1
        if sweeps > MOST_SWEEPS:
            raise ArithmeticError("the eigenvalues do not converge")
        _sweep(a, start, end, _shift(a, end, sweeps))
    return found


def _hessenberg(matrix: Sequence[Sequence[complex]]) -> list[list[complex]]:
    """A similar matrix with zeros below the first subdiagonal, by elimination."""
    a = [[complex(x) for x in row] for row in matrix]
    size = len(a)
    for k in range(1, size - 1):
        pivot = max(range(k, size), key=lambda i: abs(a[i][k - 1]))
        if a[pivot][k - 1] == 0:
            continue
        a[k], a[pivot] = a[pivot], a[k]
        for row in a:
            row[k], row[pivot] = row[pivot], row[k]
        for i in range(k + 1, size):
            factor = a[i][k - 1] / a[k][k - 1]
            a[i] = [x - factor * y for x, y in zip(a[i], a[k], strict=True)]
            for row in a:
                row[k] += factor * row[i]
    return a


def _shift(a: list[list[complex]], end: int, sweeps: int) -> complex:
    """The shift of a QR step: the eigenvalue of the last 2 × 2 block nearest to the last entry."""
    if sweeps % 10 == 0:  # an exceptional shift breaks a cycle
        return a[end][end] + abs(a[end][end - 1])
    half = (a[end - 1][end - 1] + a[end][end]) / 2
    root = ((a[end - 1][end - 1] - a[end][end]) ** 2 / 4 + a[end][end - 1] * a[end - 1][end]) ** 0.5
    return min(half + root, half - root, key=lambda value: abs(value - a[end][end]))


def _sweep(a: list[list[complex]], start: int, end: int, shift: complex) -> None:
    """One QR step A - σ = Q R, A <- R Q + σ, in place, on the rows from start to end."""
    for i in range(start, end + 1):
        a[i][i] -= shift
    rotations: list[tuple[complex, complex, complex, complex]] = []
    for k in range(start, end):
        x, y = a[k][k], a[k + 1][k]
        length = (abs(x) ** 2 + abs(y) ** 2) ** 0.5
        c, s = (x / length, y / length) if length else (1 + 0j, 0j)
        upper, lower, cc, sc = a[k], a[k + 1], c.conjugate(), s.conjugate()
        for j in range(k, end + 1):
            p, q = upper[j], lower[j]
            upper[j], lower[j] = cc * p + sc * q, c * q - s * p
        rotations.append((c, s, cc, sc))
    for k, (c, s, cc, sc) in enumerate(rotations, start):
        for row in a[start : min(k + 2, end) + 1]:
            p, q = row[k], row[k + 1]
            row[k], row[k + 1] = c * p + s * q, cc * q - sc * p
    for i in range(start, end + 1):
        a[i][i] += shift
