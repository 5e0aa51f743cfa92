"""Theorem 11: units whose slopes are at most s, against the decay of the states that they read.

With the slopes in [0, s_k] and a decay γ_k of what unit k reads, M may exceed the condition of
Theorem 2 or 3 by the numbers γ_k/s_k: C (M - A) + (C (M - A))ᵀ <= 0 with A = diag(γ_k/s_k).
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from odenet.analyse.conditions import Part, Units, as_arranged, dissipative, strongest, symmetric
from odenet.analyse.factorisations import Arrangement, Matrix
from odenet.analyse.laurent import ZERO, Scalar, Signs
from odenet.analyse.operator_algebra import IDENTITY
from odenet.analyse.reductions import Decay
from odenet.analyse.units import Unit

Allowance = tuple[Scalar, ...]


def bounded(block: Arrangement, decay: Decay, slowest: Scalar | None, signs: Signs) -> Part | None:
    """A statement about D M - Γ with D <= S.

    Args:
        block: units and M.
        decay: Γ.
        slowest: the least of the decays where every state has one.
        signs: what is known about numbers.
    """
    allowance = allowances(block.units, decay, ZERO)
    if not any(allowance):
        return None
    matrix = reduced(block.matrix, allowance)
    found = strongest(block.units, matrix, signs)
    if found is None:
        return None
    if found.spectrum == "imaginary":
        found = symmetric(block.units, matrix, found.scaling, signs) or replace(
            found, spectrum="stable"
        )
    part = replace(as_arranged(found, block), decay=decay, allowance=allowance)
    return part if slowest is None else _with_rate(part, slowest, signs)


def _with_rate(part: Part, slowest: Scalar, signs: Signs) -> Part:
    """The same about J + r I, for the largest r that is found: then Re λ <= -r."""
    check = symmetric if part.spectrum == "real" else dissipative
    for rate in _rates(part, slowest, signs):
        allowance = allowances(part.units, part.decay, rate)
        matrix = reduced(part.matrix, allowance)
        found = check(part.units, matrix, part.scaling, signs)
        if found is not None:
            return replace(part, squares=found.squares, allowance=allowance, rate=rate)
    return part


def _rates(part: Part, slowest: Scalar, signs: Signs) -> Iterator[Scalar]:
    """Guesses: what the diagonal of M - A leaves over, or half of it; at most the least decay."""
    matrix = reduced(part.matrix, part.allowance)
    left = [
        Scalar.number(largest(unit) or 0) * -row[k].get(())
        for k, (unit, row) in enumerate(zip(part.units, matrix, strict=True))
        if part.allowance[k]
    ]
    guess = least([slowest, *left], signs)
    for share in (Fraction(1), Fraction(1, 2)):
        if guess is not None and signs.of(guess) == 1:
            yield Scalar.number(share) * guess


def allowances(units: Units, decay: Decay, rate: Scalar) -> Allowance:
    """(γ_k - rate)/s_k by unit, and 0 for a unit whose slopes have no bound.

    Args:
        units: the units; no one reads states of different decay.
        decay: γ by state.
        rate: a number of at most every γ, or 0.
    """
    found: list[Scalar] = []
    for unit in units:
        numbers = {decay.get(state, ZERO) for state in unit.row}
        bound = largest(unit)
        if bound is None or bound <= 0 or len(numbers) != 1 or not any(numbers):
            found.append(ZERO)
        else:
            found.append(Scalar.number(1 / bound) * (numbers.pop() - rate))
    return tuple(found)


def largest(unit: Unit) -> Fraction | None:
    """A bound of the slopes, 1 for a linear unit; None if there is none."""
    return Fraction(1) if unit.linear else unit.most


def reduced(matrix: Matrix, allowance: Allowance) -> Matrix:
    """M - A."""
    return tuple(
        tuple(op - allowance[i] * IDENTITY if i == j else op for j, op in enumerate(row))
        for i, row in enumerate(matrix)
    )


def least(numbers: list[Scalar], signs: Signs) -> Scalar | None:
    """The least of some numbers, if it is known which it is."""
    for number in numbers:
        if all(signs.of(other - number) in (0, 1) for other in numbers):
            return number
    return None
