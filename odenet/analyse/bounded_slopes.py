"""Theorem 11: units with slopes of at most s are compensated by the decay of the states they read.

With the slopes in [0, s_k] and a decay γ_k of what unit k reads, M may exceed the condition of
Theorem 2 or 3 by the numbers γ_k/s_k: C (M - A) + (C (M - A))ᵀ <= 0 with A = diag(γ_k/s_k). These
numbers are the *allowance* of each unit. The diagonal matrix of the s_k is S.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from odenet.analyse import conditions
from odenet.analyse.conditions import ProofPart, Units
from odenet.analyse.factorisations import Factorisation, Matrix
from odenet.analyse.laurent import ZERO, Scalar, Signs
from odenet.analyse.operator_algebra import IDENTITY
from odenet.analyse.reductions import Decay
from odenet.analyse.units import Unit

Allowance = tuple[Scalar, ...]


def prove_bounded(
    block: Factorisation, decay: Decay, least_decay: Scalar | None, signs: Signs
) -> ProofPart | None:
    """A proof about D M - Γ with D <= S; None if none is found.

    Args:
        block: the units of a diagonal block of M, and that block.
        decay: state -> γ, the diagonal of Γ.
        least_decay: the least of all decays; None if a state has none or it is unknown which it is.
        signs: what is known about the signs of numbers.
    """
    allowance = allowances(block.units, decay, ZERO)
    if not any(allowance):
        return None
    matrix = minus_allowance(block.matrix, allowance)
    proof = conditions.prove_with_diagonal(block.units, matrix, signs)
    if proof is None:
        return None
    if proof.spectrum == "imaginary":
        stable = replace(proof, spectrum="stable")
        proof = conditions.prove_symmetric(block.units, matrix, proof.scaling, signs) or stable
    part = replace(conditions.with_factorisation(proof, block), decay=decay, allowance=allowance)
    return part if least_decay is None else _with_rate(part, least_decay, signs)


def _with_rate(part: ProofPart, least_decay: Scalar, signs: Signs) -> ProofPart:
    """The same proof for J + r I with the largest r that is found: then Re λ <= -r."""
    prove = conditions.prove_symmetric if part.spectrum == "real" else conditions.prove_dissipative
    for rate in _candidate_rates(part, least_decay, signs):
        allowance = allowances(part.units, part.decay, rate)
        proof = prove(part.units, minus_allowance(part.matrix, allowance), part.scaling, signs)
        if proof is not None:
            return replace(part, squares=proof.squares, allowance=allowance, rate=rate)
    return part


def _candidate_rates(part: ProofPart, least_decay: Scalar, signs: Signs) -> Iterator[Scalar]:
    """Candidates for r: the least surplus of damping of the units with an allowance, or half of it.

    The surplus of unit k is -(M - A)_kk s_k. If the least decay is smaller, it takes its place.
    """
    matrix = minus_allowance(part.matrix, part.allowance)
    surpluses = [
        Scalar.number(slope_bound(unit) or 0) * -row[k].identity_coefficient
        for k, (unit, row) in enumerate(zip(part.units, matrix, strict=True))
        if part.allowance[k]
    ]
    surplus = known_minimum([least_decay, *surpluses], signs)
    for fraction in (Fraction(1), Fraction(1, 2)):
        if surplus is not None and signs.sign_of(surplus) == 1:
            yield Scalar.number(fraction) * surplus


def allowances(units: Units, decay: Decay, rate: Scalar) -> Allowance:
    """(γ_k - rate)/s_k for each unit k, 0 if its slopes are unbounded.

    Args:
        units: the units; a unit that reads states of different decay gets 0.
        decay: state -> γ.
        rate: a number that is at most every γ, or 0.
    """
    amounts: list[Scalar] = []
    for unit in units:
        decays = {decay.get(state, ZERO) for state in unit.row}
        bound = slope_bound(unit)
        if bound is None or bound <= 0 or len(decays) != 1 or not any(decays):
            amounts.append(ZERO)
        else:
            amounts.append(Scalar.number(1 / bound) * (decays.pop() - rate))
    return tuple(amounts)


def slope_bound(unit: Unit) -> Fraction | None:
    """An upper bound of the slopes of a unit, 1 for a linear one; None if there is none."""
    return Fraction(1) if unit.is_linear else unit.max_slope


def minus_allowance(matrix: Matrix, allowance: Allowance) -> Matrix:
    """M - A for a diagonal A of numbers."""
    return tuple(
        tuple(op - allowance[i] * IDENTITY if i == j else op for j, op in enumerate(row))
        for i, row in enumerate(matrix)
    )


def known_minimum(numbers: list[Scalar], signs: Signs) -> Scalar | None:
    """The least of some numbers; None if it is not known which it is."""
    for number in numbers:
        if all(signs.sign_of(other - number) in (0, 1) for other in numbers):
            return number
    return None
