"""The matrices, at a point, of the operators that proofs compute with.

An operator is a linear combination of *words*, which are products of *letters*: parameters such as
`K1`, their adjoints, and diagonals.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

from odenet.analyse.functions import AppliedFunction, ElementwiseProduct
from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, Word
from odenet.analyse.read_formulas import FormulaReader, Gate
from odenet.confirm import matrices
from odenet.confirm.disagreement import NotEvaluable
from odenet.confirm.evaluation import Evaluation


class OperatorEvaluation:
    """Evaluates operators, and the scalars in them, at one point.

    Args:
        evaluation: evaluates the formulas at the point.
        reader: the one that read the operators; it has the meaning of each name in their words.
        slopes: name -> entries of diagonals that are not parameters: slopes φ' of units that occur
            in linear terms.

    Attributes:
        cached_units: the values of units at the point, as `unit_form.unit_values` finds them.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        reader: FormulaReader,
        slopes: Mapping[str, list[float]] | None = None,
    ):
        self.evaluation = evaluation
        self.reader = reader
        self.slopes = slopes or {}
        self.cached_units: dict[object, Any] = {}
        self._matrices: dict[tuple[Operator, int], matrices.Matrix] = {}

    def number(self, scalar: Scalar) -> float:
        """The value of a scalar, a sum of monomials in named numbers."""
        total = 0.0
        for monomial, coefficient in scalar.terms:
            term = float(coefficient)
            for name, power in monomial:
                term *= self.evaluation.number(self.reader.symbols[name]) ** power
            total += term
        return total

    def matrix(self, operator: Operator, size: int) -> matrices.Matrix:
        """The matrix of an operator.

        Args:
            operator: a sum of at least one word; an empty sum would have no shape.
            size: the number of entries of what it acts on.
        """
        if (operator, size) not in self._matrices:
            total: matrices.Matrix = []
            for word, scalar in operator.terms:
                number, product_matrix = self.number(scalar), self._word_matrix(word, size)
                term = [[number * a for a in row] for row in product_matrix]
                total = matrices.add(total, term) if total else term
            self._matrices[operator, size] = total
        return self._matrices[operator, size]

    def max_abs_term(self, operator: Operator, size: int) -> float:
        """The largest absolute value of an entry of any term number · word of an operator.

        Terms can cancel in the sum, so that their rounding errors are larger than its entries.
        """
        terms = [(Operator.word(word, scalar)) for word, scalar in operator.terms]
        return max((matrices.max_abs(self.matrix(term, size)) for term in terms), default=0.0)

    def _word_matrix(self, word: Word, size: int) -> matrices.Matrix:
        """The matrix of a product of letters that acts on `size` entries."""
        matrix = matrices.identity(size)
        for letter in reversed(word):
            if isinstance(letter, Diagonal):
                matrix = matrices.scale_rows(self._diagonal_entries(letter), matrix)
            else:
                matrix = matrices.product(self._letter_matrix(letter), matrix)
        return matrix

    def _letter_matrix(self, letter: Letter) -> matrices.Matrix:
        matrix = self.evaluation.matrix(str(self.reader.meanings[letter.name]))
        return matrices.transpose(matrix) if letter.adjoint else matrix

    def _diagonal_entries(self, diagonal: Diagonal) -> list[float]:
        """The entries of a product of powers of named diagonals."""
        factors: list[list[float]] = []
        for name, power in diagonal.powers:
            values = self._values_of(name)
            if power != int(power) and min(values) < 0:
                raise NotEvaluable(f"the root of {name}, which is negative")
            factors.append([value ** float(power) for value in values])
        return [prod(entries) for entries in zip(*factors, strict=True)]

    def _values_of(self, name: str) -> list[float]:
        """A diagonal's entries: the slopes of a unit, a parameter, or word · leaf of a gate."""
        if name in self.slopes:
            return self.slopes[name]
        meaning = self.reader.meanings[name]
        if not isinstance(meaning, Gate):
            return self.evaluation.repeated_per_cell(meaning)
        node, sign = meaning.leaf, 1
        if isinstance(node, AppliedFunction | ElementwiseProduct):
            node, sign = node.node, getattr(node, "sign", 1)
        value = [sign * x for x in self.evaluation.field(node).value]
        return matrices.apply(self._word_matrix(meaning.word, len(value)), value)
