"""Linear units that read several states: -Aᵀ A Y + Aᵀ A Z is -Aᵀ times (A Y - A Z).

A word is a product of operators. Consider the terms number · l p s_j with words l and p, where the
square pᵀ p occurs among the terms. Their numbers form a matrix with the rows (rate, l) and the
columns (state j, p). Elimination writes it as a sum of products column · row, and each product
becomes a unit. For a symmetric matrix this is its LDLᵀ decomposition.
"""

from collections.abc import Iterator, Mapping

from odenet.analyse.laurent import ZERO, Scalar, common_factor
from odenet.analyse.operator_algebra import (
    Diagonal,
    Operator,
    Word,
    inverse_diagonals,
    sum_by_key,
    word_powers,
    word_product,
)
from odenet.analyse.units import OperatorsByState
from odenet.model.expressions.expr import State

LinearTerms = Mapping[tuple[State, State], Operator]
SuffixesByState = Mapping[State, list[Word]]
Key = tuple[State, Word]  # of a row or column of the matrix of numbers
Vector = dict[Key, Scalar]


def multistate_units(
    linear: LinearTerms, suffixes: SuffixesByState, extend_rows: bool
) -> tuple[list[tuple[OperatorsByState, OperatorsByState]], LinearTerms]:
    """(row of R, column of L) of units that make up all terms ending in a suffix; the other terms.

    Args:
        linear: (i, j) -> the operator from state j to the rate of state i.
        suffixes: state -> the words p whose squares pᵀ p occur among its terms.
        extend_rows: whether terms l s_j are included if another term has this l: Aᵀ (A Y - Z).
    """
    coefficients: dict[Key, Vector] = {}
    without_suffixes: list[tuple[tuple[State, State], Word, Scalar]] = []
    for (i, j), operator in linear.items():
        for word, scalar in operator.terms:
            pairs = ((p, without_suffix(word, p)) for p in suffixes.get(j, ()))
            suffix, prefix = next((pair for pair in pairs if pair[1] is not None), ((), None))
            if prefix is None:
                without_suffixes.append(((i, j), word, scalar))
            else:
                coefficients.setdefault((i, prefix), {})[j, suffix] = scalar
    other_terms: list[tuple[tuple[State, State], Operator]] = []
    for (i, j), word, scalar in without_suffixes:
        if extend_rows and (i, word) in coefficients:
            coefficients[i, word][j, ()] = scalar
        else:
            other_terms.append(((i, j), Operator.word(word, scalar)))
    products = _rank_one_products(coefficients)
    return [_row_and_column(*product) for product in products], sum_by_key(other_terms)


def without_suffix(word: Word, suffix: Word) -> Word | None:
    """The l with word = l suffix; None if there is none or if l divides by a diagonal."""
    diagonal = suffix[:1] if suffix and isinstance(suffix[0], Diagonal) else ()
    letters = suffix[len(diagonal) :]
    if not letters or word[len(word) - len(letters) :] != letters:
        return None
    prefix = word_product(word[: len(word) - len(letters)], inverse_diagonals(diagonal))
    return None if any(power < 0 for _, power in word_powers(prefix[-1:])) else prefix


def _rank_one_products(coefficients: dict[Key, Vector]) -> Iterator[tuple[Vector, Vector]]:
    """Pairs (row, column) whose products column · row add up to the matrix of numbers."""
    rows = {row_key: dict(row) for row_key, row in coefficients.items()}
    while rows:
        pivot = next(iter(rows.values()))
        pivot_key = next(iter(pivot))
        column = {}
        for row_key, row in list(rows.items()):
            ratio = row.get(pivot_key, ZERO).over(pivot[pivot_key])
            if not ratio:
                continue
            column[row_key] = ratio
            entries = {k: row.get(k, ZERO) - ratio * pivot.get(k, ZERO) for k in {**pivot, **row}}
            rows[row_key] = {k: scalar for k, scalar in entries.items() if scalar}
            if not rows[row_key]:
                del rows[row_key]
        yield pivot, column


def _row_and_column(row: Vector, column: Vector) -> tuple[OperatorsByState, OperatorsByState]:
    """The row and column of a unit; the row has no common factor, its first coefficient is > 0."""
    common = common_factor(list(row.values()))
    if next(iter(row.values())).terms[0][1] < 0:
        common = -common
    reads = ((s, Operator.word(word, x.over(common) or ZERO)) for (s, word), x in row.items())
    outputs = ((s, Operator.word(word, common * x)) for (s, word), x in column.items())
    return sum_by_key(reads), sum_by_key(outputs)
