"""Tries the theorems in turn; docs/certificates.md has their statements and proofs.

Soundness rests on odenet/analyse/conditions.py: only its functions make a `ProofPart`, and they
multiply everything out and compare sums of words.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from odenet.analyse import reductions
from odenet.analyse.bounded_slopes import known_minimum, prove_bounded
from odenet.analyse.conditions import ProofPart, Spectrum, prove_with_diagonal, with_factorisation
from odenet.analyse.factorisations import Factorisation, factorisations
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.matrix_scaling import prove_with_matrix
from odenet.analyse.operator_algebra import Operator, sum_by_key
from odenet.analyse.reductions import Decay
from odenet.analyse.slopes import systems_with_moved_slopes
from odenet.analyse.units import System
from odenet.model.expressions.expr import Activation

Activations = frozenset[Activation]
Key = TypeVar("Key")

NO_UNITS_PART = ProofPart(units=(), matrix=(), scaling=(), squares=(), spectrum="imaginary")


@dataclass(frozen=True)
class Proof:
    """What is proved about a system.

    Args:
        spectrum: where the eigenvalues of the Jacobian J lie; None if nothing is proved.
        parts: proofs whose eigenvalues together are those of J, up to zeros.
        joint_part: a proof about all units at once, which gives an energy for slopes of any sign.
    """

    spectrum: Spectrum | None
    parts: tuple[ProofPart, ...] = ()
    joint_part: ProofPart | None = None


def prove(system: System, signs: Signs, nonmonotone: Activations = frozenset()) -> Proof:
    """The strongest statement that the theorems give.

    Args:
        system: the dynamics.
        signs: what is known about the signs of its numbers and diagonals.
        nonmonotone: activations that are not known to be nondecreasing.
    """
    symbolic = prove_symbolically(system, signs, nonmonotone)
    if symbolic.spectrum or not signs.values:
        return symbolic
    numeric_system = with_values(system, signs.values)
    numeric = prove_symbolically(numeric_system, replace(signs, values={}), nonmonotone)
    return numeric if numeric.spectrum or not symbolic.joint_part else symbolic


def prove_symbolically(system: System, signs: Signs, nonmonotone: Activations) -> Proof:
    """The strongest statement with each `let`, a named number, as a symbol without its value."""
    joint_part = _first_above_stable(
        _joint_part(factorisation, signs)
        for factorisation in factorisations(system, signs)
        if factorisation.expanded_unit is None
    )
    if joint_part is not None and _slopes_are_nonnegative([joint_part], nonmonotone):
        return Proof(joint_part.jacobian_spectrum, (joint_part,), joint_part)
    proved_parts: list[ProofPart] = []
    for part in reductions.irreducible_systems(system):
        block_parts = _prove_system(part, signs, nonmonotone)
        if block_parts is None:
            return Proof(None, (), joint_part)
        proved_parts += block_parts
    return Proof(combined_spectrum(proved_parts), tuple(proved_parts), joint_part)


def combined_spectrum(parts: Iterable[ProofPart]) -> Spectrum:
    """The spectrum of a Jacobian whose eigenvalues are those of several parts."""
    nonzero = [part for part in parts if not part.nilpotent or part.decay]
    if not nonzero:
        return "imaginary"
    first = nonzero[0].jacobian_spectrum
    return first if all(part.jacobian_spectrum == first for part in nonzero) else "stable"


def with_values(system: System, values: Mapping[str, Fraction]) -> System:
    """The system with the `let`s replaced by their values."""

    def substitute(row: Mapping[Key, Operator]) -> dict[Key, Operator]:
        return sum_by_key((key, operator.substitute(values)) for key, operator in row.items())

    units = [replace(u, row=substitute(u.row), column=substitute(u.column)) for u in system.units]
    return replace(system, linear_terms=substitute(system.linear_terms)).with_units(units)


def _joint_part(factorisation: Factorisation, signs: Signs) -> ProofPart | None:
    """A proof about all units of a factorisation at once, with a diagonal scaling C."""
    if not factorisation.units:
        return NO_UNITS_PART
    part = prove_with_diagonal(factorisation.units, factorisation.matrix, signs)
    return part and with_factorisation(part, factorisation)


def _prove_system(system: System, signs: Signs, nonmonotone: Activations) -> list[ProofPart] | None:
    """Proofs about an irreducible system, possibly after its decay was split off; None if none."""
    for equivalent in (system, *systems_with_moved_slopes(system, signs)):
        decay_and_rest = reductions.split_off_decay(equivalent, signs)
        for decay, undamped in [({}, equivalent), *([decay_and_rest] if decay_and_rest else [])]:
            for variant in (undamped, *reductions.slope_absorptions(undamped)):
                proved_parts = _strongest_parts(variant, decay, signs, nonmonotone)
                if proved_parts is not None:
                    return [replace(part, states=system.states) for part in proved_parts]
    return None


def _strongest_parts(
    system: System, decay: Decay, signs: Signs, nonmonotone: Activations
) -> list[ProofPart] | None:
    """Proofs about the blocks of that factorisation for which they are strongest; None if none."""
    slope_names = frozenset(name for name, _ in system.absorbed_units)
    signs = replace(signs, nonnegative=signs.nonnegative | slope_names)
    least_decay = None
    if set(decay) == set(system.states):
        least_decay = known_minimum(list(decay.values()), signs)
    best = None
    for factorisation in factorisations(system, signs):
        if not _has_equal_decays(factorisation, decay):
            continue
        proved_parts = _prove_blocks(factorisation, decay, least_decay, signs)
        if proved_parts is None or not _slopes_are_nonnegative(proved_parts, nonmonotone):
            continue
        # The first that is imaginary or real; if there is none, the first.
        if best is None or combined_spectrum(best) == "stable" != combined_spectrum(proved_parts):
            best = proved_parts
    return best


def _has_equal_decays(factorisation: Factorisation, decay: Decay) -> bool:
    """Whether all states that a unit reads have the same decay, for every unit."""
    return all(len({decay.get(state) for state in unit.row}) < 2 for unit in factorisation.units)


def _allows_matrix_scaling(block: Factorisation, decay: Decay) -> bool:
    """Whether a block may be proved with a C that is not diagonal.

    C has to commute with the decay of the arguments, which is therefore required to be one number.
    After a change of variables that replaces unit v, M_vv itself has to be at most 0; a diagonal C
    shows that, and another C does not.
    """
    decays = {decay.get(state) for unit in block.units for state in unit.row}
    return block.contracted_unit is None and block.expanded_unit is None and len(decays) < 2


def _prove_blocks(
    factorisation: Factorisation, decay: Decay, least_decay: Scalar | None, signs: Signs
) -> list[ProofPart] | None:
    """Proofs about the irreducible diagonal blocks of M; None if one of them has none."""
    matrix = factorisation.matrix
    if not matrix:  # no units: J of the block is 0, so that no rate r > 0 is proved
        return [NO_UNITS_PART]
    proved_parts: list[ProofPart] = []
    reads = {i: {j for j, operator in enumerate(row) if operator} for i, row in enumerate(matrix)}
    for group in reductions.strong_components(reads):
        block = factorisation.diagonal_block(group)
        part = _joint_part(block, signs)
        if part is None and _allows_matrix_scaling(block, decay):
            part = prove_with_matrix(block.units, block.matrix, signs)
        if part is not None:
            part = replace(part, decay=decay, rate=least_decay)
        elif decay:
            part = prove_bounded(block, decay, least_decay, signs)
        if part is None:
            return None
        proved_parts.append(part)
    return proved_parts


def _first_above_stable(parts: Iterator[ProofPart | None]) -> ProofPart | None:
    """The first part whose spectrum is imaginary or real, else the first part."""
    stable_part = None
    for part in parts:
        if part is not None and part.spectrum != "stable":
            return part
        stable_part = stable_part or part
    return stable_part


def _slopes_are_nonnegative(parts: list[ProofPart], nonmonotone: Activations) -> bool:
    """Whether D >= 0 where the parts need it; where slopes were moved, that is certain."""
    units = [unit for part in parts for unit in part.monotone_units if unit.moved_slope is None]
    return not any(nonmonotone.intersection(unit.activations) for unit in units)
