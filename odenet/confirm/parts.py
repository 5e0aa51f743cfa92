"""The pieces of a proof at a point: M = R L, C M + (C M)ᵀ = -Σ WᵀW, C > 0 and D >= 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce

from odenet.analyse.conditions import ProofPart
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.units import Unit
from odenet.confirm.matrices import Matrix, add, eigenvalues, largest, product, transpose
from odenet.confirm.unit_form import TOLERANCE, places, unit_values
from odenet.confirm.words import Words
from odenet.model.expressions.expr import State

# What a part of a kind that is known here says. One that says more is judged by eigenvalues alone.
KNOWN = (
    "units", "matrix", "scaling", "squares", "spectrum", "decay", "contracted_unit",
    "absorbed_units", "expanded_unit", "allowance", "rate", "states",
)  # fmt: skip


@dataclass(frozen=True)
class PartCheck:
    """The check of one part at a point.

    Args:
        part: a piece of a proof.
        words: multiplies words out at the point.
    """

    part: ProofPart
    words: Words

    def failure(self) -> str | None:
        """What is not so, if anything is."""
        slopes = [unit_values(unit, self.words).slopes for unit in self.part.monotone_units]
        if any(slope < 0 for each in slopes for slope in each):
            return "a slope of a unit is negative, and the proof takes D ≥ 0"
        if any(getattr(self.part, f.name) for f in fields(self.part) if f.name not in KNOWN):
            return None
        return self._commuting() or self._product() or self._squares()

    def _commuting(self) -> str | None:
        """C commutes with D, and with what Γ or the allowance adds, where it is not diagonal."""
        for i, row in enumerate(self.part.scaling):
            for j, entry in enumerate(row):
                two = (self.part.units[i], self.part.units[j])
                slopes = {x for unit in two for x in unit_values(unit, self.words).slopes}
                decays = {self.part.decay.get(state) for unit in two for state in unit.row}
                if i != j and entry and (slopes != {1.0} or len(decays) > 1):
                    return f"C does not commute with D and Γ at ({two[0].text}, {two[1].text})"
        return None

    def _product(self) -> str | None:
        """M = R L, unless a change of variables made another matrix of it."""
        if self.part.contracted_unit is not None or self.part.expanded_unit:
            return None
        at = places(self.words)
        for one, row in zip(self.part.units, self.part.matrix, strict=True):
            for two, entry in zip(self.part.units, row, strict=True):
                total = self._read(one, two, at)
                if entry:
                    stated = self._matrix(entry, two)
                    total = add(total, stated, -1.0) if total else stated
                else:
                    stated = total
                if largest(total) > TOLERANCE * max(1.0, largest(stated)):
                    return f"M is not R L at ({one.text}, {two.text})"
        return None

    def _read(self, one: Unit, two: Unit, at: Mapping[State, range]) -> Matrix:
        """Σ R_s L_s over the states that one unit reads and the other moves."""
        found = [
            product(self.words.matrix(row, len(at[s])), self._matrix(two.column[s], two))
            for s, row in one.row.items()
            if s in two.column
        ]
        return reduce(add, found) if found else []

    def _matrix(self, operator: Operator, unit: Unit) -> Matrix:
        """An operator that acts on what a unit gives."""
        return self.words.matrix(operator, len(unit_values(unit, self.words).value))

    def scaling(self) -> Matrix:
        """C as one matrix."""
        return self._blocks(self.part.scaling)

    def _squares(self) -> str | None:
        """C M + (C M)ᵀ = -Σ weight WᵀW, or the same of a symmetric C M for a real spectrum."""
        if any(self.words.number(square.weight) < 0 for square in self.part.squares):
            return "a square has a negative weight"
        if not self.part.units:
            return None
        c = self.scaling()
        if not nonnegative(c):
            return "C is not positive"
        whole = product(c, self._reduced())
        real, turned = self.part.spectrum == "real", transpose(whole)
        scale = max(1.0, largest(whole))
        if real and largest(add(whole, turned, -1.0)) > TOLERANCE * scale:
            return "C M is not symmetric"
        total = whole if real else add(whole, turned)
        for square in self.part.squares:
            row = self._row(square.row)
            weight = self.words.number(square.weight)
            found = product(transpose(row), row)
            total = add(total, found, weight)
            scale = max(scale, weight * largest(found))
        return "C M + (C M)ᵀ is not -Σ WᵀW" if largest(total) > TOLERANCE * scale else None

    def _reduced(self) -> Matrix:
        """M, or M - A where the slopes' bounds and a decay allow it an A."""
        found = self._blocks(self.part.matrix)
        start = 0
        for amount, size in zip(self.part.allowance, self._sizes(), strict=False):
            for i in range(start, start + size):
                found[i][i] -= self.words.number(amount)
            start += size
        return found

    def _sizes(self) -> list[int]:
        return [len(unit_values(unit, self.words).value) for unit in self.part.units]

    def _blocks(self, operators: Sequence[Sequence[Operator]]) -> Matrix:
        """A matrix of operators, one row and column per unit, as one matrix."""
        found: Matrix = []
        sizes = self._sizes()
        for height, row in zip(sizes, operators, strict=True):
            blocks = [
                self.words.matrix(entry, size) if entry else _zeros(height, size)
                for entry, size in zip(row, sizes, strict=True)
            ]
            found += _beside(blocks)
        return found

    def _row(self, operators: Sequence[Operator]) -> Matrix:
        """A row W of operators, one per unit, as one matrix."""
        units = zip(operators, self.part.units, strict=True)
        blocks = [self._matrix(operator, unit) if operator else None for operator, unit in units]
        height = next(len(block) for block in blocks if block)
        sized = zip(blocks, self._sizes(), strict=True)
        return _beside([block or _zeros(height, size) for block, size in sized])


def nonnegative(matrix: Matrix) -> bool:
    """Whether a symmetric matrix has no negative eigenvalue."""
    size = range(len(matrix))
    if any(
        abs(matrix[i][j] - matrix[j][i]) > TOLERANCE * largest(matrix) for i in size for j in size
    ):
        return False
    if not any(matrix[i][j] for i in size for j in size if i != j):
        return all(matrix[i][i] >= 0 for i in size)
    return min(value.real for value in eigenvalues(matrix)) >= -TOLERANCE * largest(matrix)


def _zeros(rows: int, columns: int) -> Matrix:
    return [[0.0] * columns for _ in range(rows)]


def _beside(blocks: list[Matrix]) -> Matrix:
    return [[x for piece in pieces for x in piece] for pieces in zip(*blocks, strict=True)]
