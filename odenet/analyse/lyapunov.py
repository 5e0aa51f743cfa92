"""Candidates for C, a positive definite matrix of numbers, if M is a matrix of numbers.

For M a square matrix of rationals, C M + MᵀC = 0, C M = MᵀC and C M + MᵀC < 0 are linear in C and
are solved exactly. The first has a solution C > 0 exactly if M has imaginary eigenvalues and a full
set of eigenvectors, the second the same for real ones, the third if all eigenvalues lie in the
open left half plane (Lyapunov 1892). The caller checks C M again, by multiplication.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

from sympy import QQ
from sympy.polys.matrices import DomainMatrix

RationalMatrix = tuple[tuple[Fraction, ...], ...]
LinearMap = Callable[[DomainMatrix], DomainMatrix]

MAX_UNITS = 5  # the equations for n units have n² unknowns


@lru_cache(maxsize=16)  # several factorisations of the same equations have the same matrix
def scaling_candidates(matrix: RationalMatrix) -> tuple[RationalMatrix, ...]:
    """Positive definite matrices C for which C M may be antisymmetric, symmetric or dissipative.

    The trace of M tells which to try: it is 0 if all eigenvalues are imaginary, and negative if
    they are real and at most 0, not all of them 0, or lie in the open left half plane.
    """
    size = len(matrix)
    trace = sum((row[i] for i, row in enumerate(matrix)), Fraction(0))
    if size > MAX_UNITS or trace > 0:
        return ()
    m = domain_matrix(matrix)
    solutions: Iterable[DomainMatrix]
    if trace:
        negative = _find_solution(lambda c: c * m + m.transpose() * c, -DomainMatrix.eye(size, QQ))
        solutions = (*_kernel_part(lambda c: c * m - m.transpose() * c, size), *negative)
    else:
        solutions = _kernel_part(lambda c: c * m + m.transpose() * c, size)
    return tuple(filter(is_positive_definite, map(fraction_matrix, solutions)))


def _kernel_part(function: LinearMap, size: int) -> Iterator[DomainMatrix]:
    """Yields the projection C of I to the kernel of F along its range: I = C + F(X), F(C) = 0.

    For F(C) = C M + MᵀC and M with imaginary eigenvalues and a full set of eigenvectors, it is the
    mean of exp(t Mᵀ) exp(t M) over all times, which is positive definite. For F(C) = C M - MᵀC and
    real eigenvalues it is the mean of exp(-i t Mᵀ) exp(i t M).
    """
    identity = DomainMatrix.eye(size, QQ)
    for x in _find_solution(lambda c: function(function(c)), function(identity)):
        yield identity - function(x)


def _find_solution(function: LinearMap, target: DomainMatrix) -> Iterator[DomainMatrix]:
    """Yields an X with F(X) = target for a linear F, if there is one, by Gaussian elimination."""
    count = target.shape[0] ** 2  # of unknowns, the entries of X
    unit_matrices = DomainMatrix.eye(count, QQ).to_list()
    images = [function(DomainMatrix.from_list_flat(u, target.shape, QQ)) for u in unit_matrices]
    rows = [image.to_list_flat() for image in (*images, target)]
    reduced, pivots = DomainMatrix(rows, (count + 1, count), QQ).transpose().rref()
    if count in pivots:
        return
    last_column = [row[-1] for row in reduced.to_list()]
    values = dict(zip(pivots, last_column, strict=False))  # free unknowns are 0
    entries = [values.get(k, QQ(0)) for k in range(count)]
    yield DomainMatrix.from_list_flat(entries, target.shape, QQ)


def is_positive_definite(matrix: RationalMatrix) -> bool:
    """Whether a matrix is symmetric with positive leading minors (Sylvester's criterion)."""
    c = domain_matrix(matrix)
    index_ranges = (range(k) for k in range(1, len(matrix) + 1))
    return c == c.transpose() and all(c.extract(r, r).det() > 0 for r in index_ranges)


def domain_matrix(matrix: RationalMatrix) -> DomainMatrix:
    """A square matrix of fractions as a matrix of sympy."""
    rows = [[QQ(x.numerator, x.denominator) for x in row] for row in matrix]
    return DomainMatrix(rows, (len(rows), len(rows)), QQ)


def fraction_matrix(matrix: DomainMatrix) -> RationalMatrix:
    """A matrix of sympy as a matrix of fractions."""
    rows = matrix.to_list()
    return tuple(tuple(Fraction(int(QQ.numer(x)), int(QQ.denom(x))) for x in row) for row in rows)
