"""Sums of words as matrices, multiplied out letter by letter."""

from collections.abc import Mapping
from math import prod
from typing import Any

from odenet.analyse.functions import AppliedFunction, ElementwiseProduct
from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, Word
from odenet.analyse.read_formulas import FormulaReader, Gate
from odenet.confirm.disagreement import NoNumbers
from odenet.confirm.fields import Evaluation
from odenet.confirm.matrices import (
    Matrix,
    add,
    apply,
    identity,
    largest,
    product,
    scale_rows,
    transpose,
)


class Words:
    """Words of a model at one point.

    Args:
        evaluation: of the formulas at the point.
        reader: knows what each name in a word is in the file.
        slopes: diagonals that are not parameters, by name: slopes of units among linear terms.

    Attributes:
        units: what is known already about units at the point.
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
        self.units: dict[object, Any] = {}
        self._matrices: dict[tuple[Operator, int], Matrix] = {}

    def number(self, scalar: Scalar) -> float:
        """A sum of monomials."""
        total = 0.0
        for monomial, coefficient in scalar.terms:
            term = float(coefficient)
            for name, power in monomial:
                term *= self.evaluation.number(self.reader.symbols[name]) ** power
            total += term
        return total

    def matrix(self, operator: Operator, size: int) -> Matrix:
        """An operator as a matrix, with the weights that were drawn.

        Args:
            operator: a sum of words, not an empty one: it would have no shape.
            size: entries of what it acts on.
        """
        if (operator, size) not in self._matrices:
            total: Matrix = []
            for word, scalar in operator.terms:
                number, found = self.number(scalar), self._word(word, size)
                term = [[number * a for a in row] for row in found]
                total = add(total, term) if total else term
            self._matrices[operator, size] = total
        return self._matrices[operator, size]

    def magnitude(self, operator: Operator, size: int) -> float:
        """The largest entry of a word of it, before words cancel."""
        one = [(Operator.word(word, scalar)) for word, scalar in operator.terms]
        return max((largest(self.matrix(term, size)) for term in one), default=0.0)

    def _word(self, word: Word, size: int) -> Matrix:
        found = identity(size)
        for letter in reversed(word):
            if isinstance(letter, Diagonal):
                found = scale_rows(self._entries(letter), found)
            else:
                found = product(self._letter(letter), found)
        return found

    def _letter(self, letter: Letter) -> Matrix:
        matrix = self.evaluation.matrix(str(self.reader.names[letter.name]))
        return transpose(matrix) if letter.adjoint else matrix

    def _entries(self, diagonal: Diagonal) -> list[float]:
        factors: list[list[float]] = []
        for name, power in diagonal.powers:
            values = self._named(name)
            if power != int(power) and min(values) < 0:
                raise NoNumbers(f"the root of {name}, which is negative")
            factors.append([value ** float(power) for value in values])
        return [prod(entries) for entries in zip(*factors, strict=True)]

    def _named(self, name: str) -> list[float]:
        if name in self.slopes:
            return self.slopes[name]
        target = self.reader.names[name]
        if not isinstance(target, Gate):
            return self.evaluation.spread(target)
        node, sign = target.leaf, 1
        if isinstance(node, AppliedFunction | ElementwiseProduct):
            node, sign = node.node, getattr(node, "sign", 1)
        value = [sign * x for x in self.evaluation.field(node).value]
        return apply(self._word(target.word, len(value)), value)
