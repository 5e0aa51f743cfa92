"""Is a symmetric matrix of operators negative semidefinite for all weights?

It is if and only if it is minus a sum of squares Wᵀ W of rows W of operators (Helton 2002,
McCullough 2001). The Gram matrix method decides this: write the matrix as -vᵀ G v, where v lists
the words (products of operators) that can occur in W, and test whether the symmetric matrix of
numbers G is positive semidefinite. G is unique if every word is pᵀ q for at most one pair p, q of
v. Otherwise a single G is tried, and a negative answer means "not proved".
"""

from dataclasses import dataclass
from fractions import Fraction

from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import ZERO, Scalar, Signs, common_factor
from odenet.analyse.operator_algebra import (
    ZERO_OPERATOR,
    Operator,
    Word,
    word_adjoint,
    word_product,
    word_root,
)

WordVector = tuple[tuple[int, Word], ...]  # entries of v: the column of W, and the word
Gram = list[list[Scalar]]


@dataclass(frozen=True)
class Square:
    """weight · Wᵀ W, where weight >= 0 and W is a row of operators, one for each unit."""

    weight: Scalar
    row: tuple[Operator, ...]


def negative_squares(matrix: Matrix, signs: Signs) -> tuple[Square, ...] | None:
    """Squares with matrix = -Σ weight Wᵀ W; None if they were not found."""
    words = word_vector(matrix, signs)
    gram = _gram_matrix(matrix, words)
    if gram is None:
        return None
    squares = _decompose(gram, words, len(matrix), signs)
    if squares is None or sum_of_squares(squares, len(matrix)) != negated(matrix):
        return None
    return squares


def word_vector(matrix: Matrix, signs: Signs) -> WordVector:
    """Pairs (i, p) of words p whose squares pᵀ p have a negative factor in diagonal block i."""
    words: list[tuple[int, Word]] = []
    for i, row in enumerate(matrix):
        for word, scalar in row[i].terms:
            root = word_root(word, signs.nonnegative)
            if root is not None and signs.sign_of(scalar) == -1:
                words.append((i, root))
    return tuple(words)


def _gram_matrix(matrix: Matrix, words: WordVector) -> Gram | None:
    """G with -matrix = vᵀ G v; None if a word of the matrix is not pᵀ q for p and q in v."""
    positions: dict[tuple[int, int, Word], tuple[int, int]] = {}
    for a, (i, p) in enumerate(words):
        for b, (j, q) in enumerate(words):
            key = (i, j, word_product(word_adjoint(p), q))
            if key not in positions or a == b:
                positions[key] = a, b
    gram = [[ZERO] * len(words) for _ in words]
    half = Scalar.number(Fraction(1, 2))
    for i, row in enumerate(matrix):
        for j, operator in enumerate(row):
            for word, scalar in operator.terms:
                position = positions.get((i, j, word))
                if position is None:
                    return None
                a, b = position
                gram[a][b] -= half * scalar
                gram[b][a] -= half * scalar
    return gram


def _decompose(gram: Gram, words: WordVector, size: int, signs: Signs) -> tuple[Square, ...] | None:
    """G = Σ weight wᵀ w by elimination (LDLᵀ); None if G is not found positive semidefinite."""
    squares: list[Square] = []
    active = list(range(len(words)))
    while active:
        pivots = [a for a in active if signs.sign_of(gram[a][a]) == 1 and _divides(gram, a, active)]
        if not pivots:
            return tuple(squares) if not any(gram[a][b] for a in active for b in active) else None
        pivot = pivots[0]
        weight = gram[pivot][pivot]
        ratios = {a: gram[pivot][a].over(weight) or ZERO for a in active}
        squares.append(_square(weight, ratios, words, size))
        active.remove(pivot)
        for a in active:
            for b in active:
                gram[a][b] -= ratios[a] * ratios[b] * weight
    return tuple(squares)


def _divides(gram: Gram, pivot: int, active: list[int]) -> bool:
    """Whether all quotients of row `pivot` by its diagonal entry are sums of monomials."""
    return all(gram[pivot][a].over(gram[pivot][pivot]) is not None for a in active)


def _square(weight: Scalar, ratios: dict[int, Scalar], words: WordVector, size: int) -> Square:
    """The square of Σ ratio · word, written without denominators."""
    common = common_factor(list(ratios.values()))
    row = [ZERO_OPERATOR] * size
    for a, ratio in ratios.items():
        i, word = words[a]
        row[i] = row[i] + Operator.word(word, ratio.over(common) or ZERO)
    return Square(weight * common * common, tuple(row))


def sum_of_squares(squares: tuple[Square, ...], size: int) -> Matrix:
    """Σ weight Wᵀ W as a matrix."""
    total = [[ZERO_OPERATOR] * size for _ in range(size)]
    for square in squares:
        for i in range(size):
            for j in range(size):
                total[i][j] += square.weight * (square.row[i].adjoint @ square.row[j])
    return tuple(tuple(row) for row in total)


def negated(matrix: Matrix) -> Matrix:
    """Minus the matrix."""
    return tuple(tuple(-operator for operator in row) for row in matrix)
