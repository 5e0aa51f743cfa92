"""Finds a scaling C = diag(c_1, …, c_m) for which C M is antisymmetric, symmetric or dissipative.

Each pair of units gives a linear equation: a word a·w in M_ij and its partner b·wᵀ in M_ji cancel
in C M + (C M)ᵀ exactly if c_i a + c_j b = 0, and are equal in C M and (C M)ᵀ exactly if
c_i a - c_j b = 0. Following the pairs from unit to unit gives every c up to a common factor. A c is
a positive number or a positive number times a diagonal: both commute with the slopes D. The
diagonal is found from the unit's own block: d² (K - Kᵀ) is antisymmetric after division by d².
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import combinations

from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import ONE, Scalar, Signs, common_factor
from odenet.analyse.operator_algebra import (
    IDENTITY,
    Diagonal,
    Operator,
    Word,
    inverse_diagonals,
    split_diagonals,
    word_adjoint,
    word_powers,
    word_product,
)
from odenet.analyse.squares import WordVector, word_vector

UnitWeights = tuple[Operator, ...]


class Aim(Enum):
    """The property that C M shall have."""

    ANTISYMMETRIC = "C M antisymmetric"
    SYMMETRIC = "C M symmetric"
    DISSIPATIVE = "C M antisymmetric where no square can absorb it"


@dataclass(frozen=True)
class _Equation:
    """A relation between the weights c_i and c_j of two units, each a number times a diagonal.

    Args:
        i, j: the units, by their index.
        numerator, denominator: their quotient is the number in c_j over that in c_i.
        left_diagonal: the diagonal of c_i.
        right_diagonal: the diagonal of c_j.
        is_diagonal: whether the word from which it follows consists of diagonals only: then it
            determines just the quotient of the two diagonals, which is `left_diagonal`.
        is_binding: whether the weights must satisfy the relation; if not, it is only a guess.
    """

    i: int
    j: int
    numerator: Scalar
    denominator: Scalar
    left_diagonal: Word
    right_diagonal: Word
    is_diagonal: bool
    is_binding: bool


def find_weights(matrix: Matrix, aim: Aim, signs: Signs) -> UnitWeights | None:
    """Positive weights c_1, …, c_m for an aim; None if there are none of this form."""
    equations: list[_Equation] = []
    square_words = word_vector(matrix, signs)
    for i, j in combinations(range(len(matrix)), 2):
        if not matrix[i][j] and not matrix[j][i]:
            continue
        equation = _pair_equation(matrix, i, j, aim, signs, square_words)
        if equation is None and aim is not Aim.DISSIPATIVE:
            return None
        equations += [equation] if equation else []
    equations.sort(key=lambda e: not e.is_binding)
    weights: dict[int, Operator] = {}
    required = {i: d for i, row in enumerate(matrix) if (d := _own_diagonal(row[i])) is not None}
    # The diagonal of c_i if it is chosen freely: as its own block needs it, or its first equation.
    free_choices = {i: required.get(i, _first_diagonal(i, equations)) for i in range(len(matrix))}
    # units with a required diagonal come first, then those with one from an equation
    for i in sorted(free_choices, key=lambda i: (i not in required, not free_choices[i])):
        if i in weights:
            continue
        weights[i] = Operator.word(free_choices[i])
        if not _propagate(equations, weights, signs):
            return None
    return _normalise([weights[i] for i in range(len(matrix))], signs)


def _pair_equation(
    matrix: Matrix, i: int, j: int, aim: Aim, signs: Signs, square_words: WordVector
) -> _Equation | None:
    """The equation of a pair of units, from the first word of M_ij with a partner in M_ji."""
    uncovered = _uncovered_words(matrix, i, j, square_words)
    pairs = list(_partner_words(matrix[i][j], matrix[j][i].adjoint))
    if aim is Aim.DISSIPATIVE:
        pairs.sort(key=lambda pair: pair[0] not in uncovered)
    for word, partner in pairs:
        a, b = matrix[i][j].coefficient(word), matrix[j][i].adjoint.coefficient(partner)
        sign = {Aim.ANTISYMMETRIC: -1, Aim.SYMMETRIC: 1, Aim.DISSIPATIVE: -1}[aim]
        is_binding = aim is not Aim.DISSIPATIVE or word in uncovered
        if not is_binding and signs.sign_of(a * b) == 1:
            sign = 1
        word_left, letters, word_right = split_diagonals(word)
        partner_left, _, partner_right = split_diagonals(partner)
        left = word_product(partner_left, inverse_diagonals(word_left))
        right = word_product(word_right, inverse_diagonals(partner_right)) if letters else ()
        return _Equation(i, j, Scalar.number(sign) * a, b, left, right, not letters, is_binding)
    return None


def _partner_words(one: Operator, other: Operator) -> Iterator[tuple[Word, Word]]:
    """Pairs of words that agree up to diagonals at their ends; pairs of equal words come first."""
    pairs = [
        (word, partner)
        for word, _ in one.terms
        for partner, _ in other.terms
        if split_diagonals(word)[1] == split_diagonals(partner)[1]
    ]
    return iter(sorted(pairs, key=lambda pair: pair[0] != pair[1]))


def _uncovered_words(matrix: Matrix, i: int, j: int, square_words: WordVector) -> set[Word]:
    """The words of a pair of blocks that occur in no square Wᵀ W: they have to cancel."""
    left, right = ([p for k, p in square_words if k == unit] for unit in (i, j))
    covered = {word_product(word_adjoint(p), q) for p in left for q in right}
    words = [word for word, _ in (*matrix[i][j].terms, *matrix[j][i].adjoint.terms)]
    return {word for word in words if word not in covered}


def _propagate(equations: list[_Equation], weights: dict[int, Operator], signs: Signs) -> bool:
    """Add the weights that follow from known ones by equations; False if a binding one fails."""
    has_changed = True
    while has_changed:
        has_changed = False
        for equation in equations:
            if (equation.i in weights) == (equation.j in weights):
                continue
            if _propagate_once(equation, weights, signs):
                has_changed = True
                break
            if equation.is_binding:
                return False
    return True


def _own_diagonal(block: Operator) -> Word | None:
    """The diagonal c for which c M_ii can be symmetric or antisymmetric; None if it can be any.

    A word a w b of M_ii and one b′ w a′ of its adjoint are partners in c M_ii and its adjoint
    exactly if c a = b′ and b = a′ c.
    """
    for word, partner in _partner_words(block, block.adjoint):
        word_left, letters, _ = split_diagonals(word)
        if letters:
            return word_product(split_diagonals(partner)[0], inverse_diagonals(word_left))
    return None


def _first_diagonal(unit: int, equations: list[_Equation]) -> Word:
    """The diagonal in the weight of a unit by its first equation; the identity if it has none."""
    for equation in equations:
        if not equation.is_diagonal and unit == equation.i:
            return equation.left_diagonal
        if not equation.is_diagonal and unit == equation.j:
            return equation.right_diagonal
    return ()


def _propagate_once(equation: _Equation, weights: dict[int, Operator], signs: Signs) -> bool:
    """Add the weight of the unit that has none yet; False if it would not be positive."""
    forward = equation.i in weights
    known_unit, new_unit = (equation.i, equation.j) if forward else (equation.j, equation.i)
    numerator, denominator = equation.numerator, equation.denominator
    if not forward:
        numerator, denominator = denominator, numerator
    if signs.sign_of(numerator * denominator) != 1:
        return False
    diagonal, number = weights[known_unit].terms[0]
    ratio = (number * numerator).over(denominator)
    if ratio is None:
        sign = signs.sign_of(denominator)
        if sign is None:
            return False
        factor = Scalar.number(sign)
        ratio = factor * number * numerator
        for i, weight in weights.items():
            weights[i] = factor * denominator * weight
    weights[new_unit] = Operator.word(_neighbour_diagonal(equation, forward, diagonal), ratio)
    return True


def _neighbour_diagonal(equation: _Equation, forward: bool, known_diagonal: Word) -> Word:
    if not equation.is_diagonal:
        return equation.right_diagonal if forward else equation.left_diagonal
    change = inverse_diagonals(equation.left_diagonal) if forward else equation.left_diagonal
    return word_product(known_diagonal, change)


def without_inverses(weights: UnitWeights) -> UnitWeights:
    """The weights times the diagonals by which some of them divide; C M has to be checked anew."""
    lowest_powers: dict[str, int | Fraction] = {}
    for name, power in _powers(weights):
        lowest_powers[name] = min(power, lowest_powers.get(name, 0))
    powers = tuple((name, -power) for name, power in sorted(lowest_powers.items()) if power < 0)
    factor = Operator.word((Diagonal(powers),)) if powers else IDENTITY
    return tuple(factor @ weight for weight in weights)


def _powers(weights: Iterable[Operator]) -> Iterator[tuple[str, int | Fraction]]:
    """The diagonals in weights, with their powers."""
    return (power for weight in weights for power in word_powers(weight.terms[0][0]))


def _normalise(weights: list[Operator], signs: Signs) -> UnitWeights | None:
    """The weights without common factor; None if a diagonal in them is not known to be positive."""
    if any(power % 2 and name not in signs.nonnegative for name, power in _powers(weights)):
        return None
    common = common_factor([weight.terms[0][1] for weight in weights])
    sign = signs.sign_of(common)
    inverse = Scalar.number(sign).over(common) if sign else None
    return tuple((inverse or ONE) * weight for weight in weights)
