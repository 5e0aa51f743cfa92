"""Writes proofs by Theorem 14 (docs/certificates.md) as proofs by Theorems 1 to 3.

These the checker of a written certificate knows. Units become linear combinations for which C is
diagonal.
"""

from dataclasses import replace
from fractions import Fraction

from odenet.analyse import lyapunov
from odenet.analyse.conditions import ProofPart, diagonal_matrix, matrix_product
from odenet.analyse.factorisations import Matrix, row_column_products
from odenet.analyse.laurent import ZERO, Scalar, as_fraction
from odenet.analyse.operator_algebra import IDENTITY, Operator, sum_by_key
from odenet.analyse.squares import Square
from odenet.analyse.units import OperatorsByState, Unit


def with_diagonal_scaling(part: ProofPart) -> ProofPart:
    """An equivalent proof with a diagonal C.

    With C = VᵀC'V, V triangular with ones on its diagonal and C' diagonal, L R = (L V⁻¹)(V R) is
    the same J, M' = V M V⁻¹, and C'M' = V⁻ᵀ C M V⁻¹ has the squares of C M with W V⁻¹ for W.
    """
    if part.has_diagonal_scaling:
        return part
    c = lyapunov.domain_matrix(_rational_entries(part.scaling))
    lower, upper, _ = c.lu()  # C = Vᵀ(C'V), without exchanges of rows since C > 0
    weights = [row[k] for k, row in enumerate(lyapunov.fraction_matrix(upper))]
    v = lyapunov.fraction_matrix(lower.transpose())
    inverse = lyapunov.fraction_matrix(lower.transpose().inv())
    rows = [_combination([u.row for u in part.units], numbers) for numbers in v]
    columns = [_combination([u.column for u in part.units], n) for n in zip(*inverse, strict=True)]
    pairs = zip(rows, columns, strict=True)
    units = tuple(Unit(stages=(), row=row, column=column, text="") for row, column in pairs)
    operators = tuple(tuple(map(_number_operator, line)) for line in inverse)
    squares = tuple(Square(s.weight, matrix_product((s.row,), operators)[0]) for s in part.squares)
    scaling = diagonal_matrix(tuple(map(_number_operator, weights)))
    matrix = row_column_products(units)
    return replace(part, units=units, matrix=matrix, scaling=scaling, squares=squares)


def _rational_entries(matrix: Matrix) -> lyapunov.RationalMatrix:
    """The numbers in a matrix of operators that are all multiples of the identity."""
    return tuple(tuple(as_fraction(x.scalar or ZERO) or Fraction(0) for x in row) for row in matrix)


def _combination(rows: list[OperatorsByState], numbers: tuple[Fraction, ...]) -> OperatorsByState:
    """The sum of number · row."""
    return sum_by_key(
        (state, _number_operator(x) @ operator)
        for x, row in zip(numbers, rows, strict=True)
        for state, operator in row.items()
    )


def _number_operator(x: Fraction) -> Operator:
    return Scalar.number(x) * IDENTITY
