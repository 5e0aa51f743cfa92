"""Energies that fall though no spectrum is proved: C M = (C M)ᵀ <= 0 with c_k of any sign.

Theorem 4 needs only that C is diagonal: dE/dt = φᵀ C M φ. So the flow
Y' = -Y + Wᵀ tanh(W Y) decreases ½ |Y|² - 1ᵀΨ(W Y) (Cohen & Grossberg 1983, Hopfield 1984), while
its spectrum is not stable.
"""

from collections.abc import Iterator

from odenet.analyse.conditions import Part, diagonal, multiplied, symmetric_squares
from odenet.analyse.factorisations import Arrangement, Matrix, arrangements
from odenet.analyse.laurent import ONE, Scalar, Signs
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.reductions import components
from odenet.analyse.squares import Square
from odenet.analyse.units import System


def falling(system: System, signs: Signs) -> Part | None:
    """Units, weights of any sign and squares with C M = (C M)ᵀ = -Σ WᵀW, for the energy alone."""
    for arrangement in arrangements(system, signs):
        if arrangement.contracted is None and arrangement.expanded is None and arrangement.units:
            found = _falling(arrangement, signs)
            if found is not None:
                return found
    return None


def _falling(arrangement: Arrangement, signs: Signs) -> Part | None:
    matrix = arrangement.matrix
    weights: dict[int, Scalar] = {}
    squares: list[Square] = []
    for group in components(_coupled(matrix)):
        for first in (ONE, -ONE):
            own = _followed(matrix, group, first)
            found = None if own is None else _squares(matrix, own, signs)
            if own is not None and found is not None:
                weights |= own
                squares += found
                break
        else:
            return None
    c = diagonal(tuple(Operator.word((), weights[i]) for i in range(len(matrix))))
    return Part(
        units=arrangement.units, matrix=matrix, scaling=c, squares=tuple(squares), spectrum="real"
    )


def _coupled(matrix: Matrix) -> dict[int, set[int]]:
    size = range(len(matrix))
    return {i: {j for j in size if matrix[i][j] or matrix[j][i]} for i in size}


def _followed(matrix: Matrix, group: list[int], first: Scalar) -> dict[int, Scalar] | None:
    """The weights with c_i M_ij = (c_j M_ji)ᵀ, from that of the first unit on."""
    weights = {group[0]: first}
    for i, j in _reached(matrix, group):
        above, below = matrix[i][j], matrix[j][i].adjoint
        if not above or not below:
            return None
        word, scalar = above.terms[0]
        ratio = (weights[i] * scalar).over(below.get(word)) if below.get(word) else None
        if not ratio:
            return None
        weights[j] = ratio
    return weights


def _reached(matrix: Matrix, group: list[int]) -> Iterator[tuple[int, int]]:
    """Pairs of coupled units that lead from the first to all others."""
    seen = group[:1]
    for i in seen:
        for j in sorted(_coupled(matrix)[i]):
            if j not in seen:
                seen.append(j)
                yield i, j


def _squares(matrix: Matrix, weights: dict[int, Scalar], signs: Signs) -> tuple[Square, ...] | None:
    """The squares of the block of some units, as rows of all; None if it is not of that form."""
    size = range(len(matrix))
    c = diagonal(tuple(Operator.word((), weights.get(i, Scalar())) for i in size))
    return symmetric_squares(multiplied(c, matrix), signs)
