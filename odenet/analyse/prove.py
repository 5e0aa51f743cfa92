"""The theorems, tried in turn: see docs/certificates.md for their statements and proofs.

Nothing here is trusted that is not multiplied out again: a `Part` is only made by functions of
odenet/analyse/conditions.py, which compare sums of words.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from odenet.analyse.bounded_slopes import bounded, least
from odenet.analyse.conditions import Part, Spectrum, as_arranged, strongest
from odenet.analyse.factorisations import Arrangement, arrangements
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.number_scaling import of_numbers
from odenet.analyse.operator_algebra import Operator, added_up
from odenet.analyse.reductions import Decay, absorptions, components, parts, without_decay
from odenet.analyse.slopes import moves
from odenet.analyse.units import System
from odenet.model.expressions.expr import Activation

Activations = frozenset[Activation]
Place = TypeVar("Place")

NO_UNITS = Part(units=(), matrix=(), scaling=(), squares=(), spectrum="imaginary")


@dataclass(frozen=True)
class Proof:
    """What is proved about a system.

    Args:
        spectrum: of the Jacobian, None if nothing is.
        parts: the pieces; the eigenvalues of J are theirs together, and zeros.
        whole: a piece about all units at once, which gives an energy whatever the slopes are.
    """

    spectrum: Spectrum | None
    parts: tuple[Part, ...] = ()
    whole: Part | None = None


def prove(system: System, signs: Signs, unfit: Activations = frozenset()) -> Proof:
    """The strongest statement the theorems give.

    Args:
        system: the dynamics.
        signs: what is known about the numbers in it.
        unfit: activations with a slope that can be negative.
    """
    exact = prove_as_written(system, signs, unfit)
    if exact.spectrum or not signs.values:
        return exact
    numbers = prove_as_written(evaluated(system, signs.values), replace(signs, values={}), unfit)
    return numbers if numbers.spectrum or not exact.whole else exact


def prove_as_written(system: System, signs: Signs, unfit: Activations) -> Proof:
    """The same with named numbers left as they are."""
    whole = _best(_whole(a, signs) for a in arrangements(system, signs) if a.expanded is None)
    if whole is not None and _fit([whole], unfit):
        return Proof(whole.of_jacobian, (whole,), whole)
    found: list[Part] = []
    for part in parts(system):
        proved = _part(part, signs, unfit)
        if proved is None:
            return Proof(None, (), whole)
        found += proved
    return Proof(together(found), tuple(found), whole)


def together(found: Iterable[Part]) -> Spectrum:
    """The spectrum of several parts."""
    moving = [part for part in found if not part.nilpotent or part.decay]
    if not moving:
        return "imaginary"
    first = moving[0].of_jacobian
    return first if all(part.of_jacobian == first for part in moving) else "stable"


def evaluated(system: System, values: Mapping[str, Fraction]) -> System:
    """The system with the `let`s replaced by their values."""

    def rows(row: Mapping[Place, Operator]) -> dict[Place, Operator]:
        return added_up((key, operator.at(values)) for key, operator in row.items())

    units = tuple(
        replace(unit, row=rows(unit.row), column=rows(unit.column)) for unit in system.units
    )
    return replace(system, linear=rows(system.linear)).with_units(units)


def _whole(arrangement: Arrangement, signs: Signs) -> Part | None:
    """A statement about units as one, whatever their slopes are."""
    if not arrangement.units:
        return NO_UNITS
    part = strongest(arrangement.units, arrangement.matrix, signs)
    return part and as_arranged(part, arrangement)


def _part(system: System, signs: Signs, unfit: Activations) -> list[Part] | None:
    """Statements about an irreducible system, possibly after taking out a decay."""
    for moved in (system, *moves(system, signs)):
        decaying = without_decay(moved, signs)
        for decay, left in [({}, moved), *([decaying] if decaying else [])]:
            for variant in (left, *absorptions(left)):
                found = _strongest(variant, decay, signs, unfit)
                if found is not None:
                    return [replace(part, states=system.states) for part in found]
    return None


def _strongest(system: System, decay: Decay, signs: Signs, unfit: Activations) -> list[Part] | None:
    """Statements about the blocks of the arrangement that gives most."""
    slopes = frozenset(name for name, _ in system.absorbed)
    signs = replace(signs, assumed=signs.assumed | slopes)
    slowest = None
    if set(decay) == set(system.states):
        slowest = least(list(decay.values()), signs)
    best = None
    for arrangement in arrangements(system, signs):
        if not _reads_one_decay(arrangement, decay):
            continue
        found = _blocks(arrangement, decay, slowest, signs)
        if found is None or not _fit(found, unfit):
            continue
        if best is None or together(best) == "stable" != together(found):
            best = found
    return best


def _reads_one_decay(arrangement: Arrangement, decay: Decay) -> bool:
    """Whether no unit reads states of different decay, linear units of several states included."""
    return all(len({decay.get(state) for state in u.row}) < 2 for u in arrangement.units)


def _scalable(block: Arrangement, decay: Decay) -> bool:
    """Whether a C that is not diagonal may scale a block.

    It has to commute with Γ', which is one number then. After a change of variables it would say
    nothing of M_vv, which has to be at most 0 by itself.
    """
    plain = block.contracted is None and block.expanded is None
    return plain and len({decay.get(state) for unit in block.units for state in unit.row}) < 2


def _blocks(
    arrangement: Arrangement, decay: Decay, slowest: Scalar | None, signs: Signs
) -> list[Part] | None:
    """Statements about the irreducible blocks of M."""
    matrix = arrangement.matrix
    if not matrix:  # the eigenvalues of such a block are 0, and bound the rate of the whole
        return [NO_UNITS]
    found: list[Part] = []
    reads = {i: {j for j, operator in enumerate(row) if operator} for i, row in enumerate(matrix)}
    for group in components(reads):
        block = arrangement.block(group)
        part = _whole(block, signs)
        if part is None and _scalable(block, decay):
            part = of_numbers(block.units, block.matrix, signs)
        if part is not None:
            part = replace(part, decay=decay, rate=slowest)
        elif decay:
            part = bounded(block, decay, slowest, signs)
        if part is None:
            return None
        found.append(part)
    return found


def _best(found: Iterator[Part | None]) -> Part | None:
    """The first statement that is more than stable, else the first."""
    best = None
    for part in found:
        if part is not None and part.spectrum != "stable":
            return part
        best = best or part
    return best


def _fit(found: list[Part], unfit: Activations) -> bool:
    """Whether every part that needs D >= 0 has it; what was moved leaves D >= 0 behind."""
    units = [unit for part in found for unit in part.monotone if unit.moved is None]
    return not any(unfit.intersection(unit.activations) for unit in units)
