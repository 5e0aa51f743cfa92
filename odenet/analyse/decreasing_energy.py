"""Decreasing energies without a proved spectrum: C M = (C M)ᵀ <= 0 with weights c_k of any sign.

Theorem 4 needs only that C is diagonal: dE/dt = φᵀ C M φ. For example, the flow
Y' = -Y + Wᵀ tanh(W Y) decreases ½ |Y|² - 1ᵀΨ(W Y) (Cohen & Grossberg 1983, Hopfield 1984), while
its spectrum is not stable.
"""

from collections.abc import Iterator

from odenet.analyse.conditions import ProofPart, diagonal_matrix, matrix_product, symmetric_squares
from odenet.analyse.factorisations import Factorisation, Matrix, factorisations
from odenet.analyse.laurent import ONE, ZERO, Scalar, Signs
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.reductions import strong_components
from odenet.analyse.squares import Square
from odenet.analyse.units import System


def prove_decreasing_energy(system: System, signs: Signs) -> ProofPart | None:
    """Weights c_k of any sign with C M = (C M)ᵀ = -Σ WᵀW, for an energy; None if not found."""
    for candidate in factorisations(system, signs):
        units_are_unchanged = candidate.contracted_unit is None and candidate.expanded_unit is None
        if candidate.units and units_are_unchanged:
            if (part := _prove_decreasing(candidate, signs)) is not None:
                return part
    return None


def _prove_decreasing(factorisation: Factorisation, signs: Signs) -> ProofPart | None:
    """The proof for one factorisation, block by block; the first weight of a block is 1 or -1."""
    units, matrix = factorisation.units, factorisation.matrix
    weights: dict[int, Scalar] = {}
    squares: list[Square] = []
    for group in strong_components(_coupling_graph(matrix)):
        for first in (ONE, -ONE):
            new_weights = _block_weights(matrix, group, first)
            new_squares = None if new_weights is None else _squares(matrix, new_weights, signs)
            if new_weights is not None and new_squares is not None:
                weights |= new_weights
                squares += new_squares
                break
        else:
            return None
    c = diagonal_matrix(tuple(Operator.word((), weights[i]) for i in range(len(matrix))))
    return ProofPart(units=units, matrix=matrix, scaling=c, squares=tuple(squares), spectrum="real")


def _coupling_graph(matrix: Matrix) -> dict[int, set[int]]:
    """Unit -> the units that are coupled with it by M, in either direction."""
    size = range(len(matrix))
    return {i: {j for j in size if matrix[i][j] or matrix[j][i]} for i in size}


def _block_weights(matrix: Matrix, group: list[int], first: Scalar) -> dict[int, Scalar] | None:
    """The weights of a block with c_i M_ij = (c_j M_ji)ᵀ, given the first; None if none exist."""
    weights = {group[0]: first}
    for i, j in _tree_edges(matrix, group):
        block, partner = matrix[i][j], matrix[j][i].adjoint
        if not block or not partner:
            return None
        word, scalar = block.terms[0]
        divisor = partner.coefficient(word)
        ratio = (weights[i] * scalar).over(divisor) if divisor else None
        if not ratio:
            return None
        weights[j] = ratio
    return weights


def _tree_edges(matrix: Matrix, group: list[int]) -> Iterator[tuple[int, int]]:
    """The edges of a spanning tree of coupled units, from the first unit outwards."""
    seen = group[:1]
    for i in seen:
        for j in sorted(_coupling_graph(matrix)[i]):
            if j not in seen:
                seen.append(j)
                yield i, j


def _squares(matrix: Matrix, weights: dict[int, Scalar], signs: Signs) -> tuple[Square, ...] | None:
    """The squares of C M for a block, with zeros for units outside it; None if not of that form."""
    size = range(len(matrix))
    c = diagonal_matrix(tuple(Operator.word((), weights.get(i, ZERO)) for i in size))
    return symmetric_squares(matrix_product(c, matrix), signs)
