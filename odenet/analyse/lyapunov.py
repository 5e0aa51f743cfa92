"""A positive definite matrix of numbers C for linear units that read each other by numbers only.

For M a square matrix of rationals, C M + MᵀC = 0, C M = MᵀC and C M + MᵀC < 0 are linear in C and
are solved exactly. The first has a solution C > 0 exactly if M has imaginary eigenvalues and a full
set of eigenvectors, the second the same for real ones, the third if all eigenvalues lie in the
open left half plane (Lyapunov 1892). Nothing here is trusted: the caller multiplies C M out.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

from sympy import QQ
from sympy.polys.matrices import DomainMatrix

Numbers = tuple[tuple[Fraction, ...], ...]
Linear = Callable[[DomainMatrix], DomainMatrix]

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
    m = rational(matrix)
    found: Iterable[DomainMatrix]
    if trace:
        negative = _solutions(lambda c: c * m + m.transpose() * c, -DomainMatrix.eye(size, QQ))
        found = (*_identity_in_kernel(lambda c: c * m - m.transpose() * c, size), *negative)
    else:
        found = _identity_in_kernel(lambda c: c * m + m.transpose() * c, size)
    return tuple(filter(positive_definite, map(fractions, found)))


def _identity_in_kernel(function: Linear, size: int) -> Iterator[DomainMatrix]:
    """The part of I in the kernel of F, along F's range: I = C + F(X) with F(C) = 0.

    For F(C) = C M + MᵀC and M with imaginary eigenvalues and a full set of eigenvectors, it is the
    mean of exp(t Mᵀ) exp(t M) over all times, which is positive definite. For F(C) = C M - MᵀC and
    real eigenvalues it is the mean of exp(-i t Mᵀ) exp(i t M).
    """
    one = DomainMatrix.eye(size, QQ)
    for x in _solutions(lambda c: function(function(c)), function(one)):
        yield one - function(x)


def _solutions(function: Linear, target: DomainMatrix) -> Iterator[DomainMatrix]:
    """An X with F(X) = target for a linear F, if there is one, by Gauss elimination."""
    count = target.shape[0] ** 2
    units = DomainMatrix.eye(count, QQ).to_list()
    images = [function(DomainMatrix.from_list_flat(u, target.shape, QQ)) for u in units]
    rows = [image.to_list_flat() for image in (*images, target)]
    reduced, pivots = DomainMatrix(rows, (count + 1, count), QQ).transpose().rref()
    if count in pivots:
        return
    last = [row[-1] for row in reduced.to_list()]
    values = dict(zip(pivots, last, strict=False))
    entries = [values.get(k, QQ(0)) for k in range(count)]
    yield DomainMatrix.from_list_flat(entries, target.shape, QQ)


def positive_definite(matrix: Numbers) -> bool:
    """Whether a matrix is symmetric with positive leading minors (Sylvester's criterion)."""
    c = rational(matrix)
    leading = (range(k) for k in range(1, len(matrix) + 1))
    return c == c.transpose() and all(c.extract(part, part).det() > 0 for part in leading)


def rational(matrix: Numbers) -> DomainMatrix:
    """A square matrix of fractions for sympy's algebra."""
    rows = [[QQ(x.numerator, x.denominator) for x in row] for row in matrix]
    return DomainMatrix(rows, (len(rows), len(rows)), QQ)


def fractions(matrix: DomainMatrix) -> Numbers:
    """Its entries as fractions again."""
    return tuple(
        tuple(Fraction(int(QQ.numer(x)), int(QQ.denom(x))) for x in row) for row in matrix.to_list()
    )
