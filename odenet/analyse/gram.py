"""Linear terms as units that read several states: -Aᵀ A Y + Aᵀ A Z is -Aᵀ of A Y - A Z.

Every term l p s_j that ends in a p whose square pᵀ p is among the terms is an entry of a matrix
of numbers, in the row of its rate and l and in the column of its state and p. Elimination writes
that matrix as a sum of products of columns and rows, and each product is a unit. For a symmetric
matrix this is its LDLᵀ decomposition.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from odenet.analyse.laurent import ZERO, Scalar, common_factor
from odenet.analyse.operator_algebra import NOTHING, Diagonal, Operator, Word, invert, join, powers
from odenet.analyse.units import Row
from odenet.model.expressions.expr import State

Terms = Mapping[tuple[State, State], Operator]
Tails = Mapping[State, list[Word]]
Left = tuple[State, Word]
Right = tuple[State, Word]
Numbers = dict[Left, dict[Right, Scalar]]


@dataclass(frozen=True)
class LinearUnit:
    """One product: what it reads, and where it goes."""

    row: Row
    column: Row


def factored(linear: Terms, tails: Tails, mixed: bool) -> tuple[list[LinearUnit], Terms]:
    """Units of the terms that end in one of the tails of their state, and the other terms.

    Args:
        linear: the operator from state j to the rate of i, by (i, j).
        tails: the words p of each state whose squares are among the terms.
        mixed: whether a term l s_j with the l of another is part of the same row: Aᵀ (A Y - Z).
    """
    numbers: Numbers = {}
    left: dict[tuple[State, State], Operator] = {}
    for (i, j), word, scalar in _words(linear):
        found = next(((p, m) for p in tails.get(j, ()) if (m := before(word, p)) is not None), None)
        if found is None:
            left[i, j] = left.get((i, j), NOTHING) + Operator.word(word, scalar)
        else:
            numbers.setdefault((i, found[1]), {})[j, found[0]] = scalar
    if mixed:
        left = _mixed(left, numbers)
    return [_unit(*product) for product in _eliminated(numbers)], left


def before(word: Word, tail: Word) -> Word | None:
    """The m with word = m tail; None if there is none, or it divides by a diagonal."""
    head = tail[:1] if tail and isinstance(tail[0], Diagonal) else ()
    rest = tail[len(head) :]
    if not rest or word[len(word) - len(rest) :] != rest:
        return None
    found = join(word[: len(word) - len(rest)], invert(head))
    return None if any(power < 0 for _, power in powers(found[-1:])) else found


def _words(linear: Terms) -> Iterator[tuple[tuple[State, State], Word, Scalar]]:
    for place, operator in linear.items():
        for word, scalar in operator.terms:
            yield place, word, scalar


def _mixed(linear: Terms, numbers: Numbers) -> dict[tuple[State, State], Operator]:
    """The terms that are in no row of numbers; the others are entered there."""
    left: dict[tuple[State, State], Operator] = {}
    for (i, j), word, scalar in _words(linear):
        if (i, word) in numbers:
            numbers[i, word][j, ()] = scalar
        else:
            left[i, j] = left.get((i, j), NOTHING) + Operator.word(word, scalar)
    return left


def _eliminated(numbers: Numbers) -> Iterator[tuple[dict[Right, Scalar], dict[Left, Scalar]]]:
    """The matrix of numbers as a sum of products, a row and a column each."""
    rows = {place: dict(row) for place, row in numbers.items()}
    while rows:
        pivot = next(iter(rows.values()))
        first = next(iter(pivot))
        column = {}
        for other, row in list(rows.items()):
            ratio = row.get(first, ZERO).over(pivot[first])
            if not ratio:
                continue
            column[other] = ratio
            reduced = {k: row.get(k, ZERO) - ratio * pivot.get(k, ZERO) for k in {**pivot, **row}}
            rows[other] = {k: scalar for k, scalar in reduced.items() if scalar}
            if not rows[other]:
                del rows[other]
        yield pivot, column


def _unit(pivot: dict[Right, Scalar], column: dict[Left, Scalar]) -> LinearUnit:
    """A unit without a common factor in its row, the first coefficient positive."""
    common = common_factor(list(pivot.values()))
    if next(iter(pivot.values())).terms[0][1] < 0:
        common = -common
    row: Row = {}
    for (state, word), scalar in pivot.items():
        share = scalar.over(common) or ZERO
        row[state] = row.get(state, NOTHING) + Operator.word(word, share)
    goes: Row = {}
    for (state, word), ratio in column.items():
        goes[state] = goes.get(state, NOTHING) + Operator.word(word, common * ratio)
    return LinearUnit(row, goes)
