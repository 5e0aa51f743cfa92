"""Theorem 14 as Theorems 1 to 3: linear units mixed so that their C is diagonal."""

from dataclasses import replace
from fractions import Fraction

from odenet.analyse import lyapunov
from odenet.analyse.conditions import Part, diagonal, multiplied
from odenet.analyse.factorisations import Matrix, multiply
from odenet.analyse.laurent import Scalar, rational
from odenet.analyse.operator_algebra import Operator, added_up
from odenet.analyse.squares import Square
from odenet.analyse.units import Row, Unit


def with_diagonal_scaling(part: Part) -> Part:
    """The same proof about units with a diagonal C.

    With C = VᵀC'V, V triangular with ones on its diagonal and C' diagonal, L R = (L V⁻¹)(V R) is
    the same J, M' = V M V⁻¹, and C'M' = V⁻ᵀ C M V⁻¹ has the squares of C M with W V⁻¹ for W.
    """
    if part.scales_diagonally:
        return part
    c = lyapunov.rational(_numbers(part.scaling))
    lower, upper, _ = c.lu()  # C = Vᵀ(C'V), without exchanges of rows since C > 0
    weights = [row[k] for k, row in enumerate(lyapunov.fractions(upper))]
    v = lyapunov.fractions(lower.transpose())
    inverse = lyapunov.fractions(lower.transpose().inv())
    rows = [_mixed([unit.row for unit in part.units], numbers) for numbers in v]
    back = [
        _mixed([unit.column for unit in part.units], numbers)
        for numbers in zip(*inverse, strict=True)
    ]
    units = tuple(
        Unit(stages=(), row=row, column=column, text="")
        for row, column in zip(rows, back, strict=True)
    )
    by = tuple(tuple(map(_number, line)) for line in inverse)
    squares = tuple(Square(s.weight, multiplied((s.row,), by)[0]) for s in part.squares)
    scaling = diagonal(tuple(map(_number, weights)))
    return replace(part, units=units, matrix=multiply(units), scaling=scaling, squares=squares)


def _numbers(matrix: Matrix) -> lyapunov.Numbers:
    """A matrix of multiples of the identity."""
    return tuple(
        tuple(rational(entry.scalar or Scalar()) or Fraction(0) for entry in row) for row in matrix
    )


def _mixed(rows: list[Row], numbers: tuple[Fraction, ...]) -> Row:
    """The sum of rows, each times a number."""
    return added_up(
        (state, _number(x) @ operator)
        for x, row in zip(numbers, rows, strict=True)
        for state, operator in row.items()
    )


def _number(x: Fraction) -> Operator:
    return Operator.word((), Scalar.number(x))
