"""The check of the parts of a proof at a point: M = R L, C M + (C M)ᵀ = -Σ WᵀW, C > 0 and D ≥ 0.

The dynamics are s' = L φ(R s + b) with the slopes D = φ', and one part is about some of these
units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce

from odenet.analyse.conditions import ProofPart
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.units import Unit
from odenet.confirm.matrices import Matrix, add, eigenvalues, max_abs, product, transpose
from odenet.confirm.operator_evaluation import OperatorEvaluation
from odenet.confirm.unit_form import TOLERANCE, state_ranges, unit_values
from odenet.model.expressions.expr import State

# The fields of a part that are checked here. If others are set, the identities with C and M are not
# checked: there remain D ≥ 0 and the eigenvalues of the Jacobian.
CHECKED_FIELDS = (
    "units", "matrix", "scaling", "squares", "spectrum", "decay", "contracted_unit",
    "absorbed_units", "expanded_unit", "allowance", "rate", "states",
)  # fmt: skip


@dataclass(frozen=True)
class PartCheck:
    """The check of one part of a proof at a point.

    Args:
        part: the part, with operators as its entries.
        operators: gives the matrices of these operators at the point.
    """

    part: ProofPart
    operators: OperatorEvaluation

    def failure(self) -> str | None:
        """What the numbers contradict, as a sentence; None if nothing."""
        slopes = [unit_values(unit, self.operators).slopes for unit in self.part.monotone_units]
        if any(slope < 0 for diagonal in slopes for slope in diagonal):
            return "a slope of a unit is negative, and the proof takes D ≥ 0"
        others = {field.name for field in fields(self.part)}.difference(CHECKED_FIELDS)
        if any(getattr(self.part, name) for name in others):
            return None
        return self._commutation_failure() or self._product_failure() or self._squares_failure()

    def _commutation_failure(self) -> str | None:
        """Where C is not diagonal, it has to commute with the slopes D and the decays Γ."""
        for i, row in enumerate(self.part.scaling):
            for j, entry in enumerate(row):
                pair = (self.part.units[i], self.part.units[j])
                slopes = {x for unit in pair for x in unit_values(unit, self.operators).slopes}
                decays = {self.part.decay.get(state) for unit in pair for state in unit.row}
                if i != j and entry and (slopes != {1.0} or len(decays) > 1):
                    return f"C does not commute with D and Γ at ({pair[0].text}, {pair[1].text})"
        return None

    def _product_failure(self) -> str | None:
        """Check M = R L, unless the part is about M after a change of variables."""
        if self.part.contracted_unit is not None or self.part.expanded_unit:
            return None
        ranges = state_ranges(self.operators)
        for target, row in zip(self.part.units, self.part.matrix, strict=True):
            for source, entry in zip(self.part.units, row, strict=True):
                total = self._product_entry(target, source, ranges)
                if entry:
                    expected = self._matrix(entry, source)
                    total = add(total, expected, -1.0) if total else expected
                else:
                    expected = total
                if max_abs(total) > TOLERANCE * max(1.0, max_abs(expected)):
                    return f"M is not R L at ({target.text}, {source.text})"
        return None

    def _product_entry(self, target: Unit, source: Unit, ranges: Mapping[State, range]) -> Matrix:
        """An entry of R L: Σ R_s L_s over the states s that `target` reads and `source` changes."""
        products = [
            product(
                self.operators.matrix(row, len(ranges[s])), self._matrix(source.column[s], source)
            )
            for s, row in target.row.items()
            if s in source.column
        ]
        return reduce(add, products) if products else []

    def _matrix(self, operator: Operator, unit: Unit) -> Matrix:
        """The matrix of an operator that acts on the value of a unit."""
        return self.operators.matrix(operator, len(unit_values(unit, self.operators).value))

    def scaling(self) -> Matrix:
        """C as one matrix."""
        return self._block_matrix(self.part.scaling)

    def _squares_failure(self) -> str | None:
        """Check C M + (C M)ᵀ = -Σ weight WᵀW; for a real spectrum, C M symmetric and = -Σ …."""
        if any(self.operators.number(square.weight) < 0 for square in self.part.squares):
            return "a square has a negative weight"
        if not self.part.units:
            return None
        c = self.scaling()
        if not is_nonnegative(c):
            return "C is not positive"
        scaled = product(c, self._reduced_matrix())
        is_real, transposed = self.part.spectrum == "real", transpose(scaled)
        scale = max(1.0, max_abs(scaled))
        if is_real and max_abs(add(scaled, transposed, -1.0)) > TOLERANCE * scale:
            return "C M is not symmetric"
        total = scaled if is_real else add(scaled, transposed)
        for square in self.part.squares:
            row = self._block_row(square.row)
            weight = self.operators.number(square.weight)
            gram = product(transpose(row), row)
            total = add(total, gram, weight)
            scale = max(scale, weight * max_abs(gram))
        return "C M + (C M)ᵀ is not -Σ WᵀW" if max_abs(total) > TOLERANCE * scale else None

    def _reduced_matrix(self) -> Matrix:
        """M - A, where A is the diagonal matrix of the part's allowance; M if it has none."""
        matrix = self._block_matrix(self.part.matrix)
        start = 0
        for amount, size in zip(self.part.allowance, self._sizes(), strict=False):
            for i in range(start, start + size):
                matrix[i][i] -= self.operators.number(amount)
            start += size
        return matrix

    def _sizes(self) -> list[int]:
        """The number of entries of each unit's value."""
        return [len(unit_values(unit, self.operators).value) for unit in self.part.units]

    def _block_matrix(self, rows: Sequence[Sequence[Operator]]) -> Matrix:
        """One matrix from a block matrix of operators with a row and a column for each unit."""
        found: Matrix = []
        sizes = self._sizes()
        for height, row in zip(sizes, rows, strict=True):
            blocks = [
                self.operators.matrix(entry, size) if entry else _zeros(height, size)
                for entry, size in zip(row, sizes, strict=True)
            ]
            found += _side_by_side(blocks)
        return found

    def _block_row(self, row: Sequence[Operator]) -> Matrix:
        """One matrix from a row W of operators, one for each unit."""
        pairs = zip(row, self.part.units, strict=True)
        blocks = [self._matrix(operator, unit) if operator else None for operator, unit in pairs]
        height = next(len(block) for block in blocks if block)
        sized = zip(blocks, self._sizes(), strict=True)
        return _side_by_side([block or _zeros(height, size) for block, size in sized])


def is_nonnegative(matrix: Matrix) -> bool:
    """Whether a symmetric matrix has no negative eigenvalue."""
    size = range(len(matrix))
    tolerance = TOLERANCE * max_abs(matrix)
    if any(abs(matrix[i][j] - matrix[j][i]) > tolerance for i in size for j in size):
        return False
    if not any(matrix[i][j] for i in size for j in size if i != j):
        return all(matrix[i][i] >= 0 for i in size)
    return min(value.real for value in eigenvalues(matrix)) >= -tolerance


def _zeros(rows: int, columns: int) -> Matrix:
    return [[0.0] * columns for _ in range(rows)]


def _side_by_side(blocks: list[Matrix]) -> Matrix:
    return [[x for piece in pieces for x in piece] for pieces in zip(*blocks, strict=True)]
