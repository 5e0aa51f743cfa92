"""A positive definite matrix of numbers C for linear units that read each other by numbers only.

For M a square matrix of rationals, C M + MᵀC = 0, C M = MᵀC and C M + MᵀC < 0 are linear in C and
are solved exactly. The first has a solution C > 0 exactly if M has imaginary eigenvalues and a full
set of eigenvectors, the second the same for real ones, the third if all eigenvalues lie in the
open left half plane (Lyapunov 1892). Nothing here is trusted: the caller multiplies C M out.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache, partial

Numbers = tuple[tuple[Fraction, ...], ...]

LARGEST = 5  # units; the equations have n² unknowns


@lru_cache(maxsize=16)  # the same matrix comes from several arrangements of the same equations
def candidates(matrix: Numbers) -> tuple[Numbers, ...]:
    """Positive definite C that may make C M antisymmetric, symmetric, or negative.

    The trace of M, the sum of its eigenvalues, is 0 where they are imaginary and negative where
    they are real and at most 0, not all of them 0, or in the open left half plane.
    """
    size = len(matrix)
    trace = sum((row[i] for i, row in enumerate(matrix)), Fraction(0))
    if size > LARGEST or trace > 0:
        return ()

    def lyapunov_operator(c: Numbers, sign: int = 1) -> Numbers:
        """C M + MᵀC, or C M - MᵀC."""
        return plus(product(c, matrix), times(sign, product(transposed(matrix), c)))

    if trace:
        negative = _solutions(lyapunov_operator, times(-1, identity(size)))
        found = (*_identity_in_kernel(partial(lyapunov_operator, sign=-1), size), *negative)
    else:
        found = _identity_in_kernel(lyapunov_operator, size)
    return tuple(filter(positive_definite, found))


def _identity_in_kernel(function: Callable[[Numbers], Numbers], size: int) -> Iterator[Numbers]:
    """The part of I in the kernel of F, along F's range: I = C + F(X) with F(C) = 0.

    For F(C) = C M + MᵀC and M with imaginary eigenvalues and a full set of eigenvectors, it is the
    mean of exp(t Mᵀ) exp(t M) over all times, which is positive definite. For F(C) = C M - MᵀC and
    real eigenvalues it is the mean of exp(-i t Mᵀ) exp(i t M).
    """
    one = identity(size)
    for x in _solutions(lambda c: function(function(c)), function(one)):
        yield plus(one, times(-1, function(x)))


def _solutions(function: Callable[[Numbers], Numbers], target: Numbers) -> Iterator[Numbers]:
    """An X with F(X) = target for a linear F, if there is one, by Gauss elimination."""
    size = len(target)
    places = [(i, j) for i in range(size) for j in range(size)]
    columns = [function(_unit(size, place)) for place in places]
    rows = [[column[i][j] for column in columns] + [target[i][j]] for i, j in places]
    pivots: list[int] = []
    for column in range(len(places)):
        pivot = next((r for r in rows[len(pivots) :] if r[column]), None)
        if pivot is None:
            continue
        rows.remove(pivot)
        pivot = [entry / pivot[column] for entry in pivot]
        rows = [
            [a - row[column] * b if b else a for a, b in zip(row, pivot, strict=True)]
            if row[column]
            else row
            for row in rows
        ]
        rows.insert(len(pivots), pivot)
        pivots.append(column)
    if any(row[-1] for row in rows[len(pivots) :]):
        return
    values = dict(zip(pivots, (row[-1] for row in rows), strict=False))
    flat = [values.get(k, Fraction(0)) for k in range(len(places))]
    yield tuple(tuple(flat[i * size : (i + 1) * size]) for i in range(size))


def positive_definite(matrix: Numbers) -> bool:
    """Whether a matrix is symmetric with positive pivots."""
    if matrix != transposed(matrix):
        return False
    left = [list(row) for row in matrix]
    for k, row in enumerate(left):
        if row[k] <= 0:
            return False
        for other in left[k + 1 :]:
            factor = other[k] / row[k]
            other[:] = [a - factor * b for a, b in zip(other, row, strict=True)]
    return True


def _unit(size: int, place: tuple[int, int]) -> Numbers:
    return tuple(tuple(Fraction((i, j) == place) for j in range(size)) for i in range(size))


def identity(size: int) -> Numbers:
    """The unit matrix."""
    return tuple(tuple(Fraction(i == j) for j in range(size)) for i in range(size))


def product(one: Numbers, other: Numbers) -> Numbers:
    """The matrix product."""
    columns = transposed(other)
    return tuple(tuple(_dot(row, column) for column in columns) for row in one)


def _dot(one: tuple[Fraction, ...], other: tuple[Fraction, ...]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True) if a and b), Fraction(0))


def plus(one: Numbers, other: Numbers) -> Numbers:
    """The sum of two matrices."""
    return tuple(
        tuple(a + b for a, b in zip(row, beside, strict=True))
        for row, beside in zip(one, other, strict=True)
    )


def times(number: int, matrix: Numbers) -> Numbers:
    """The matrix with every entry multiplied."""
    return tuple(tuple(number * entry for entry in row) for row in matrix)


def transposed(matrix: Numbers) -> Numbers:
    """The transposed matrix."""
    return tuple(zip(*matrix, strict=True))
