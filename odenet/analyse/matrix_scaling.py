"""Theorem 14: if all units are linear and M is a matrix of numbers, C need not be diagonal."""

from fractions import Fraction

from odenet.analyse import lyapunov
from odenet.analyse.conditions import THEOREMS, ProofPart, Units
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import Scalar, Signs, as_fraction
from odenet.analyse.operator_algebra import Operator


def prove_with_matrix(units: Units, matrix: Matrix, signs: Signs) -> ProofPart | None:
    """The strongest of Theorems 1 to 3 with a C > 0 of numbers; it commutes with D, which is I."""
    rational_matrix = _rational_entries(units, matrix)
    for candidate in lyapunov.scaling_candidates(rational_matrix) if rational_matrix else ():
        c = tuple(tuple(Operator.word((), Scalar.number(x)) for x in row) for row in candidate)
        for prove in THEOREMS.values():
            if (part := prove(units, matrix, c, signs)) is not None:
                return part
    return None


def _rational_entries(units: Units, matrix: Matrix) -> lyapunov.RationalMatrix | None:
    """M if all units are linear and all its entries are rational numbers, else None."""
    if not all(unit.is_linear for unit in units):
        return None
    rows: list[tuple[Fraction, ...]] = []
    for row in matrix:
        scalars = [operator.scalar for operator in row]
        numbers = [as_fraction(scalar) for scalar in scalars if scalar is not None]
        entries = [entry for entry in numbers if entry is not None]
        if len(entries) < len(row):
            return None
        rows.append(tuple(entries))
    return tuple(rows)
