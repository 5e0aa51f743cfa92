"""Is a symmetric matrix of operators negative semidefinite for all weights?

Yes exactly if it is minus a sum of squares Wᵀ W of rows of operators (Helton 2002, McCullough
2001), and that is a question about numbers: write it as -vᵀ G v with v the words that can be in
a W, and ask whether the symmetric matrix of numbers G is positive semidefinite. G is unique when no
word can be split in two ways; where it is not, one G is tried and "no" means "not proved".
"""

from dataclasses import dataclass
from fractions import Fraction

from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import ZERO, Scalar, Signs, common_factor
from odenet.analyse.operator_algebra import NOTHING, Operator, Word, adjoint, join, root

Vector = tuple[tuple[int, Word], ...]


@dataclass(frozen=True)
class Square:
    """weight Wᵀ W with weight >= 0 and W a row of operators, one per unit."""

    weight: Scalar
    row: tuple[Operator, ...]


def negative_squares(matrix: Matrix, signs: Signs) -> tuple[Square, ...] | None:
    """Squares with matrix = -Σ weight Wᵀ W; None if none were found."""
    words = halves(matrix, signs)
    gram = _gram(matrix, words)
    if gram is None:
        return None
    squares = _eliminate(gram, words, len(matrix), signs)
    if squares is None or sum_of_squares(squares, len(matrix)) != negated(matrix):
        return None
    return squares


def halves(matrix: Matrix, signs: Signs) -> Vector:
    """The words whose squares are in the diagonal blocks with a negative factor."""
    found: list[tuple[int, Word]] = []
    for i, row in enumerate(matrix):
        for word, scalar in row[i].terms:
            half = root(word)
            if half and half[1] <= signs.assumed and signs.of(scalar) == -1:
                found.append((i, half[0]))
    return tuple(found)


def _gram(matrix: Matrix, words: Vector) -> list[list[Scalar]] | None:
    """G with -matrix = vᵀ G v, None if a word of the matrix is not a product of two of v."""
    places: dict[tuple[int, int, Word], tuple[int, int]] = {}
    for a, (i, p) in enumerate(words):
        for b, (j, q) in enumerate(words):
            key = (i, j, join(adjoint(p), q))
            if key not in places or a == b:
                places[key] = a, b
    gram = [[ZERO] * len(words) for _ in words]
    half = Scalar.number(Fraction(1, 2))
    for i, row in enumerate(matrix):
        for j, operator in enumerate(row):
            for word, scalar in operator.terms:
                place = places.get((i, j, word))
                if place is None:
                    return None
                a, b = place
                gram[a][b] -= half * scalar
                gram[b][a] -= half * scalar
    return gram


def _eliminate(
    gram: list[list[Scalar]], words: Vector, units: int, signs: Signs
) -> tuple[Square, ...] | None:
    """G = Σ weight wᵀ w by elimination; None if G is not seen to be positive semidefinite."""
    squares: list[Square] = []
    left = list(range(len(words)))
    while left:
        fit = [a for a in left if signs.of(gram[a][a]) == 1 and _divides(gram, a, left)]
        pivot = fit[0] if fit else None
        if pivot is None:
            return tuple(squares) if not any(gram[a][b] for a in left for b in left) else None
        weight = gram[pivot][pivot]
        ratios = {a: gram[pivot][a].over(weight) or ZERO for a in left}
        squares.append(_square(weight, ratios, words, units))
        left.remove(pivot)
        for a in left:
            for b in left:
                gram[a][b] -= ratios[a] * ratios[b] * weight
    return tuple(squares)


def _divides(gram: list[list[Scalar]], pivot: int, left: list[int]) -> bool:
    return all(gram[pivot][a].over(gram[pivot][pivot]) is not None for a in left)


def _square(weight: Scalar, ratios: dict[int, Scalar], words: Vector, units: int) -> Square:
    """The square with coefficients `ratios`, written without denominators."""
    common = common_factor(list(ratios.values()))
    row = [NOTHING] * units
    for a, ratio in ratios.items():
        i, word = words[a]
        row[i] = row[i] + Operator.word(word, ratio.over(common) or ZERO)
    return Square(weight * common * common, tuple(row))


def sum_of_squares(squares: tuple[Square, ...], units: int) -> Matrix:
    """Σ weight Wᵀ W, multiplied out."""
    total = [[NOTHING] * units for _ in range(units)]
    for square in squares:
        for i in range(units):
            for j in range(units):
                total[i][j] += square.weight * (square.row[i].adjoint @ square.row[j])
    return tuple(tuple(row) for row in total)


def negated(matrix: Matrix) -> Matrix:
    """The matrix with the opposite signs."""
    return tuple(tuple(-operator for operator in row) for row in matrix)
