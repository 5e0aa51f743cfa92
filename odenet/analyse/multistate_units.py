"""Linear units that read several states: -Aᵀ A Y + Aᵀ A Z is -Aᵀ times (A Y - A Z).

Consider the terms number · l p s_j, with words l and p where the square pᵀ p occurs among the
terms. Their numbers form a matrix with the rows (rate, l) and the columns (state j, p). Elimination
writes this matrix as a sum of products column · row, and each product becomes a unit. For a
symmetric matrix this is its LDLᵀ decomposition.
"""

from collections.abc import Iterator, Mapping

from odenet.analyse.laurent import ZERO, Scalar, common_factor
from odenet.analyse.operator_algebra import (
    Diagonal,
    Operator,
    Word,
    diagonal_powers,
    inverse_diagonals,
    sum_by_key,
    word_product,
)
from odenet.analyse.units import OperatorsByState
from odenet.model.expressions.expr import State

LinearTerms = Mapping[tuple[State, State], Operator]
SuffixesByState = Mapping[State, list[Word]]
RowKey = tuple[State, Word]
ColumnKey = tuple[State, Word]
CoefficientMatrix = dict[RowKey, dict[ColumnKey, Scalar]]


def multistate_units(
    linear: LinearTerms, suffixes: SuffixesByState, extend_rows: bool
) -> tuple[list[tuple[OperatorsByState, OperatorsByState]], LinearTerms]:
    """(row of R, column of L) of each unit for the terms that end in a suffix, and the other terms.

    Args:
        linear: (i, j) -> the operator from state j to the rate of state i.
        suffixes: state -> the words p whose squares pᵀ p occur among its terms.
        extend_rows: whether terms l s_j are included if another term has this l: Aᵀ (A Y - Z).
    """
    coefficients: CoefficientMatrix = {}
    other_terms: list[tuple[tuple[State, State], Word, Scalar]] = []
    for (i, j), operator in linear.items():
        for word, scalar in operator.terms:
            splittings = (
                (p, m) for p in suffixes.get(j, ()) if (m := without_suffix(word, p)) is not None
            )
            suffix, prefix = next(splittings, ((), None))
            if prefix is None:
                other_terms.append(((i, j), word, scalar))
            else:
                coefficients.setdefault((i, prefix), {})[j, suffix] = scalar
    for (i, j), word, scalar in other_terms if extend_rows else ():
        if (i, word) in coefficients:
            coefficients[i, word][j, ()] = scalar
    summed_others = sum_by_key(
        (position, Operator.word(word, scalar))
        for position, word, scalar in other_terms
        if not extend_rows or (position[0], word) not in coefficients
    )
    return [
        _row_and_column(*product) for product in _rank_one_products(coefficients)
    ], summed_others


def without_suffix(word: Word, suffix: Word) -> Word | None:
    """The m with word = m suffix; None if there is none, or it divides by a diagonal."""
    diagonal = suffix[:1] if suffix and isinstance(suffix[0], Diagonal) else ()
    letters = suffix[len(diagonal) :]
    if not letters or word[len(word) - len(letters) :] != letters:
        return None
    prefix = word_product(word[: len(word) - len(letters)], inverse_diagonals(diagonal))
    return None if any(power < 0 for _, power in diagonal_powers(prefix[-1:])) else prefix


def _rank_one_products(
    coefficients: CoefficientMatrix,
) -> Iterator[tuple[dict[ColumnKey, Scalar], dict[RowKey, Scalar]]]:
    """Pairs (row, column) whose products column · row add up to the matrix of numbers."""
    rows = {row_key: dict(row) for row_key, row in coefficients.items()}
    while rows:
        pivot = next(iter(rows.values()))
        pivot_column = next(iter(pivot))
        column = {}
        for other, row in list(rows.items()):
            ratio = row.get(pivot_column, ZERO).over(pivot[pivot_column])
            if not ratio:
                continue
            column[other] = ratio
            eliminated = {
                k: row.get(k, ZERO) - ratio * pivot.get(k, ZERO) for k in {**pivot, **row}
            }
            rows[other] = {k: scalar for k, scalar in eliminated.items() if scalar}
            if not rows[other]:
                del rows[other]
        yield pivot, column


def _row_and_column(
    pivot: dict[ColumnKey, Scalar], column: dict[RowKey, Scalar]
) -> tuple[OperatorsByState, OperatorsByState]:
    """The row and column of a unit; the row has no common factor, its first coefficient is > 0."""
    common = common_factor(list(pivot.values()))
    if next(iter(pivot.values())).terms[0][1] < 0:
        common = -common
    reads = (
        (state, Operator.word(word, scalar.over(common) or ZERO))
        for (state, word), scalar in pivot.items()
    )
    outputs = (
        (state, Operator.word(word, common * ratio)) for (state, word), ratio in column.items()
    )
    return sum_by_key(reads), sum_by_key(outputs)
