"""Theorem 14 as Theorems 1 to 3: linear units mixed so that their C is diagonal."""

from dataclasses import replace
from fractions import Fraction

from odenet.analyse.conditions import Part, diagonal, multiplied
from odenet.analyse.factorisations import Matrix, multiply
from odenet.analyse.laurent import Scalar, rational
from odenet.analyse.operator_algebra import Operator, total
from odenet.analyse.squares import Square
from odenet.analyse.units import Row, Unit

Numbers = list[list[Fraction]]


def with_diagonal_scaling(part: Part) -> Part:
    """The same proof about units with a diagonal C.

    With C = VᵀC'V, V triangular with ones on its diagonal and C' diagonal, L R = (L V⁻¹)(V R) is
    the same J, M' = V M V⁻¹, and C'M' = V⁻ᵀ C M V⁻¹ has the squares of C M with W V⁻¹ for W.
    """
    size = range(len(part.units))
    if part.scales_diagonally:
        return part
    weights, v = _decomposed(part.scaling)
    inverse = _inverse(v)
    rows = [_mixed([unit.row for unit in part.units], v[k]) for k in size]
    back = [
        _mixed([unit.column for unit in part.units], [line[k] for line in inverse]) for k in size
    ]
    units = tuple(
        Unit(stages=(), row=row, column=column, text="")
        for row, column in zip(rows, back, strict=True)
    )
    by = tuple(tuple(map(_number, line)) for line in inverse)
    squares = tuple(Square(s.weight, multiplied((s.row,), by)[0]) for s in part.squares)
    scaling = diagonal(tuple(map(_number, weights)))
    return replace(part, units=units, matrix=multiply(units), scaling=scaling, squares=squares)


def _decomposed(matrix: Matrix) -> tuple[list[Fraction], Numbers]:
    """C' diagonal and V unit triangular with C = VᵀC'V, by elimination."""
    size = range(len(matrix))
    c = [[rational(entry.scalar or Scalar()) or Fraction(0) for entry in row] for row in matrix]
    weights: list[Fraction] = []
    v: list[list[Fraction]] = []
    for k in size:
        weights.append(c[k][k])
        v.append([c[k][j] / c[k][k] for j in size])
        c = [[c[i][j] - c[i][k] * c[k][j] / c[k][k] for j in size] for i in size]
    return weights, v


def _inverse(v: Numbers) -> Numbers:
    """The inverse of a matrix with ones on the diagonal and zeros below."""
    size = range(len(v))
    found = [[Fraction(i == j) for j in size] for i in size]
    for i in reversed(size):
        for k in size[i + 1 :]:
            found[i] = [a - v[i][k] * b for a, b in zip(found[i], found[k], strict=True)]
    return found


def _mixed(rows: list[Row], numbers: list[Fraction]) -> Row:
    """The sum of rows, each times a number."""
    states = dict.fromkeys(state for row in rows for state in row)
    found = {
        state: total(
            _number(x) @ row[state] for x, row in zip(numbers, rows, strict=True) if state in row
        )
        for state in states
    }
    return {state: operator for state, operator in found.items() if operator}


def _number(x: Fraction) -> Operator:
    return Operator.word((), Scalar.number(x))
