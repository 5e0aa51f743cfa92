"""The theorems, tried in turn: see docs/certificates.md for their statements and proofs.

Nothing here is trusted that is not multiplied out again: a `Part` is only made by `_checked`
functions whose conditions are identities between sums of words.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from odenet.analyse.factorisations import Arrangement, Matrix, arrangements
from odenet.analyse.laurent import Signs
from odenet.analyse.reductions import Decay, absorptions, components, parts, without_decay
from odenet.analyse.scaling import Aim, Weights, find_weights, without_inverses
from odenet.analyse.squares import Square, negative_squares
from odenet.analyse.units import System, Unit
from odenet.model.expr import Activation, State

Spectrum = Literal["imaginary", "real", "stable"]
Activations = frozenset[Activation]


@dataclass(frozen=True)
class Part:
    """A proof about some units.

    Args:
        units: the units; the linear ones among them.
        matrix: M = R L.
        weights: C.
        squares: C M + (C M)ᵀ = -Σ weight Wᵀ W; for a real spectrum the same of C M. None for zero.
        spectrum: what follows for the eigenvalues of D M, D >= 0 any diagonal.
        decay: γ by state if this is about J + Γ instead of J, Γ = γ I on each of these states.
        contracted: the unit that was replaced in a change of variables.
        absorbed: units whose slopes stand in the matrix, by the name they have there.
        states: the block of a block triangular J that this is about; none for all of J.
    """

    units: tuple[Unit, ...]
    matrix: Matrix
    weights: Weights
    squares: tuple[Square, ...]
    spectrum: Spectrum
    decay: Decay = field(default_factory=dict, hash=False)
    contracted: int | None = None
    absorbed: tuple[tuple[str, Unit], ...] = ()
    states: tuple[State, ...] = ()

    @property
    def nilpotent(self) -> bool:
        """Whether M = 0, so that all eigenvalues are zero."""
        return not any(operator for row in self.matrix for operator in row)

    @property
    def of_jacobian(self) -> Spectrum:
        """What follows for J."""
        if not self.decay:
            return self.spectrum
        return "real" if self.spectrum == "real" or self.nilpotent else "stable"

    @property
    def monotone(self) -> tuple[Unit, ...]:
        """The units of which D >= 0 was used."""
        absorbed = tuple(unit for _, unit in self.absorbed)
        return absorbed if self.nilpotent else (*self.units, *absorbed)


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
    whole = _best(_whole(a, signs) for a in arrangements(system, signs))
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

    def rows(row: dict) -> dict:
        return {s: op.at(values) for s, op in row.items() if op.at(values)}

    units = tuple(
        replace(unit, row=rows(unit.row), column=rows(unit.column)) for unit in system.units
    )
    return replace(system, linear=rows(system.linear)).with_units(units)


def _whole(arrangement: Arrangement, signs: Signs) -> Part | None:
    """A statement about units as one."""
    units, matrix = arrangement.units, arrangement.matrix
    if _hopeless(matrix, signs):
        return None
    for aim, check in (
        (Aim.ANTISYMMETRIC, _antisymmetric),
        (Aim.SYMMETRIC, _symmetric),
        (Aim.DISSIPATIVE, _dissipative),
    ):
        weights = find_weights(matrix, aim, signs)
        for choice in (without_inverses(weights), weights) if weights else ():
            part = check(units, matrix, choice, signs)
            if part is not None:
                changed, absorbed = arrangement.contracted, arrangement.absorbed
                return replace(part, contracted=changed, absorbed=absorbed)
    return None if units else Part((), (), (), (), "imaginary")


def _hopeless(matrix: Matrix, signs: Signs) -> bool:
    """Whether a diagonal block alone rules out all scalings by numbers."""
    if any(operator.diagonals for row in matrix for operator in row):
        return False
    blocks = (matrix[i][i] for i in range(len(matrix)))
    return any(negative_squares(symmetric_part(((b,),)), signs) is None for b in blocks)


def _part(system: System, signs: Signs, unfit: Activations) -> list[Part] | None:
    """Statements about an irreducible system, possibly after taking out a decay."""
    decaying = without_decay(system, signs)
    for decay, left in [({}, system), *([decaying] if decaying else [])]:
        for variant in (left, *absorptions(left)):
            found = _strongest(variant, signs, unfit)
            if found is not None:
                return [replace(part, decay=decay, states=system.states) for part in found]
    return None


def _strongest(system: System, signs: Signs, unfit: Activations) -> list[Part] | None:
    """Statements about the blocks of the arrangement that gives most."""
    slopes = frozenset(name for name, _ in system.absorbed)
    signs = replace(signs, assumed=signs.assumed | slopes)
    best = None
    for arrangement in arrangements(system, signs):
        found = _blocks(arrangement, signs)
        if found is None or not _fit(found, unfit):
            continue
        if best is None or together(best) == "stable" != together(found):
            best = found
    return best


def _blocks(arrangement: Arrangement, signs: Signs) -> list[Part] | None:
    """Statements about the irreducible blocks of M."""
    matrix, found = arrangement.matrix, []
    reads = {i: {j for j, operator in enumerate(row) if operator} for i, row in enumerate(matrix)}
    for group in components(reads):
        units = tuple(arrangement.units[i] for i in group)
        block = tuple(tuple(matrix[i][j] for j in group) for i in group)
        changed = arrangement.contracted
        changed = group.index(changed) if changed in group else None
        part = _whole(Arrangement(units, block, changed, arrangement.absorbed), signs)
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
    """Whether every part that needs D >= 0 has it."""
    units = [unit for part in found for unit in part.monotone]
    return not any(unfit.intersection(unit.activations) for unit in units)


# --- the three conditions, checked as identities -------------------------------------------------


def scaled(weights: Weights, matrix: Matrix) -> Matrix:
    """C M."""
    rows = zip(weights, matrix, strict=True)
    return tuple(tuple(weight @ operator for operator in row) for weight, row in rows)


def symmetric_part(matrix: Matrix) -> Matrix:
    """A + Aᵀ."""
    size = range(len(matrix))
    return tuple(tuple(matrix[i][j] + matrix[j][i].adjoint for j in size) for i in size)


def _antisymmetric(units, matrix: Matrix, weights: Weights, signs: Signs) -> Part | None:
    """C M + (C M)ᵀ = 0."""
    if any(operator for row in symmetric_part(scaled(weights, matrix)) for operator in row):
        return None
    return Part(units, matrix, weights, (), "imaginary")


def _symmetric(units, matrix: Matrix, weights: Weights, signs: Signs) -> Part | None:
    """C M = (C M)ᵀ = -Σ WᵀW."""
    product = scaled(weights, matrix)
    size = range(len(matrix))
    if any(product[i][j] != product[j][i].adjoint for i in size for j in size):
        return None
    squares = negative_squares(product, signs)
    return None if squares is None else Part(units, matrix, weights, squares, "real")


def _dissipative(units, matrix: Matrix, weights: Weights, signs: Signs) -> Part | None:
    """C M + (C M)ᵀ = -Σ WᵀW."""
    squares = negative_squares(symmetric_part(scaled(weights, matrix)), signs)
    return None if squares is None else Part(units, matrix, weights, squares, "stable")
