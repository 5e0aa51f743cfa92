"""Linear terms as units that read several states: -Aᵀ A Y + Aᵀ A Z is -Aᵀ of A Y - A Z.

Every term l p s_j that ends in a p whose square pᵀ p is among the terms is an entry of a matrix
of numbers, in the row of its rate and l and in the column of its state and p. Elimination writes
that matrix as a sum of products of columns and rows, and each product is a unit. For a symmetric
matrix this is its LDLᵀ decomposition.
"""

from collections.abc import Iterator, Mapping

from odenet.analyse.laurent import ZERO, Scalar, common_factor
from odenet.analyse.operator_algebra import Diagonal, Operator, Word, added_up, invert, join, powers
from odenet.analyse.units import Row
from odenet.model.expressions.expr import State

Terms = Mapping[tuple[State, State], Operator]
Tails = Mapping[State, list[Word]]
Left = tuple[State, Word]
Right = tuple[State, Word]
Numbers = dict[Left, dict[Right, Scalar]]


def factored(linear: Terms, tails: Tails, mixed: bool) -> tuple[list[tuple[Row, Row]], Terms]:
    """Rows and columns of units for terms that end in a tail of their state, and the other terms.

    Args:
        linear: the operator from state j to the rate of i, by (i, j).
        tails: the words p of each state whose squares are among the terms.
        mixed: whether a term l s_j with the l of another is part of the same row: Aᵀ (A Y - Z).
    """
    numbers: Numbers = {}
    left: list[tuple[tuple[State, State], Word, Scalar]] = []
    for (i, j), operator in linear.items():
        for word, scalar in operator.terms:
            pairs = ((p, m) for p in tails.get(j, ()) if (m := before(word, p)) is not None)
            tail, head = next(pairs, ((), None))
            if head is None:
                left.append(((i, j), word, scalar))
            else:
                numbers.setdefault((i, head), {})[j, tail] = scalar
    for (i, j), word, scalar in left if mixed else ():
        if (i, word) in numbers:
            numbers[i, word][j, ()] = scalar
    others = added_up(
        (place, Operator.word(word, scalar))
        for place, word, scalar in left
        if not mixed or (place[0], word) not in numbers
    )
    return [_unit(*product) for product in _eliminated(numbers)], others


def before(word: Word, tail: Word) -> Word | None:
    """The m with word = m tail; None if there is none, or it divides by a diagonal."""
    head = tail[:1] if tail and isinstance(tail[0], Diagonal) else ()
    rest = tail[len(head) :]
    if not rest or word[len(word) - len(rest) :] != rest:
        return None
    found = join(word[: len(word) - len(rest)], invert(head))
    return None if any(power < 0 for _, power in powers(found[-1:])) else found


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


def _unit(pivot: dict[Right, Scalar], column: dict[Left, Scalar]) -> tuple[Row, Row]:
    """What a unit reads, without a common factor and the first coefficient positive, and moves."""
    common = common_factor(list(pivot.values()))
    if next(iter(pivot.values())).terms[0][1] < 0:
        common = -common
    read = (
        (state, Operator.word(word, scalar.over(common) or ZERO))
        for (state, word), scalar in pivot.items()
    )
    moved = (
        (state, Operator.word(word, common * ratio)) for (state, word), ratio in column.items()
    )
    return added_up(read), added_up(moved)
