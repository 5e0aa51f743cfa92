"""Theorem 14: linear units that read each other by numbers are scaled by a matrix of numbers."""

from fractions import Fraction

from odenet.analyse import lyapunov
from odenet.analyse.conditions import Part, Units, antisymmetric, dissipative, symmetric
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import Scalar, Signs, rational
from odenet.analyse.operator_algebra import Operator


def of_numbers(units: Units, matrix: Matrix, signs: Signs) -> Part | None:
    """The strongest of Theorems 1 to 3 that a C > 0 of numbers gives; D = I commutes with it."""
    numbers = _numbers(units, matrix)
    for c in lyapunov.candidates(numbers) if numbers else ():
        scaling = tuple(tuple(Operator.word((), Scalar.number(x)) for x in row) for row in c)
        for check in (antisymmetric, symmetric, dissipative):
            part = check(units, matrix, scaling, signs)
            if part is not None:
                return part
    return None


def _numbers(units: Units, matrix: Matrix) -> lyapunov.Numbers | None:
    """M if all units are linear and all its entries rational numbers."""
    if not all(unit.linear for unit in units):
        return None
    rows: list[tuple[Fraction, ...]] = []
    for row in matrix:
        scalars = [operator.scalar for operator in row]
        found = [rational(scalar) for scalar in scalars if scalar is not None]
        entries = [entry for entry in found if entry is not None]
        if len(entries) < len(row):
            return None
        rows.append(tuple(entries))
    return tuple(rows)
