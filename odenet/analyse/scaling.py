"""The scaling C = diag(c_1, …, c_m) that makes C M antisymmetric, symmetric, or nearly so.

Each pair of units gives a linear equation: a word a·w in M_ij and its partner b·wᵀ in M_ji cancel
in C M + (C M)ᵀ exactly if c_i a + c_j b = 0, and are equal in C M and (C M)ᵀ exactly if
c_i a - c_j b = 0. Following the pairs from unit to unit gives every c up to a common factor. A c is
a positive number, or one times a diagonal: both commute with the slopes D. A unit's own block gives
its diagonal: d² (K - Kᵀ) is antisymmetric after division by d².
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
    adjoint,
    core,
    invert,
    join,
    powers,
)
from odenet.analyse.squares import Vector, halves

UnitWeights = tuple[Operator, ...]


class Aim(Enum):
    """What the scaling is for."""

    ANTISYMMETRIC = "C M antisymmetric"
    SYMMETRIC = "C M symmetric"
    DISSIPATIVE = "C M antisymmetric where no square can absorb it"


@dataclass(frozen=True)
class _Equation:
    """c_j = ratio above/below · c_i, as far as numbers go; diagonals are compared apart.

    Args:
        before, after: the diagonals with c_i before = after c_j around the rest of the word.
        free: whether the word is a diagonal altogether, so that only their product matters.
        binding: whether the weights must satisfy it; otherwise it is a first guess.
    """

    i: int
    j: int
    above: Scalar
    below: Scalar
    before: Word
    after: Word
    free: bool
    binding: bool


def find_weights(matrix: Matrix, aim: Aim, signs: Signs) -> UnitWeights | None:
    """Positive weights for an aim, None if there are none of this form."""
    equations: list[_Equation] = []
    squares = halves(matrix, signs)
    for i, j in combinations(range(len(matrix)), 2):
        if not matrix[i][j] and not matrix[j][i]:
            continue
        found = _equation(matrix, i, j, aim, signs, squares)
        if found is None and aim is not Aim.DISSIPATIVE:
            return None
        equations += [found] if found else []
    equations.sort(key=lambda e: not e.binding)
    weights: dict[int, Operator] = {}
    own = {i: word for i, row in enumerate(matrix) if (word := _own_diagonal(row[i])) is not None}
    first = {i: own.get(i, _first_diagonal(i, equations)) for i in range(len(matrix))}
    for start in sorted(first, key=lambda i: (i not in own, not first[i])):
        if start in weights:
            continue
        weights[start] = Operator.word(first[start])
        if not _follow(equations, weights, signs):
            return None
    return _normal([weights[i] for i in range(len(matrix))], signs)


def _equation(
    matrix: Matrix, i: int, j: int, aim: Aim, signs: Signs, squares: Vector
) -> _Equation | None:
    """The equation of a pair of units, from its first word with a partner."""
    binding = _without_square(matrix, i, j, squares)
    pairs = list(_partners(matrix[i][j], matrix[j][i].adjoint))
    if aim is Aim.DISSIPATIVE:
        pairs.sort(key=lambda pair: pair[0] not in binding)
    for word, other in pairs:
        a, b = matrix[i][j].get(word), matrix[j][i].adjoint.get(other)
        sign = {Aim.ANTISYMMETRIC: -1, Aim.SYMMETRIC: 1, Aim.DISSIPATIVE: -1}[aim]
        must = aim is not Aim.DISSIPATIVE or word in binding
        if not must and signs.of(a * b) == 1:
            sign = 1
        (first, _, last), (one, _, two) = core(word), core(other)
        rest = bool(core(word)[1])
        before = join(one, invert(first))
        after = join(last, invert(two)) if rest else ()
        return _Equation(i, j, Scalar.number(sign) * a, b, before, after, not rest, must)
    return None


def _partners(one: Operator, other: Operator) -> Iterator[tuple[Word, Word]]:
    """Words of two operators that agree up to diagonals at their ends, equal ones first."""
    found = [
        (word, partner)
        for word, _ in one.terms
        for partner, _ in other.terms
        if core(word)[1] == core(partner)[1]
    ]
    return iter(sorted(found, key=lambda pair: pair[0] != pair[1]))


def _without_square(matrix: Matrix, i: int, j: int, squares: Vector) -> set[Word]:
    """The words of a pair that no square can absorb: they must cancel."""
    products = {join(adjoint(p), q) for a, p in squares if a == i for b, q in squares if b == j}
    present = [word for word, _ in (*matrix[i][j].terms, *matrix[j][i].adjoint.terms)]
    return {word for word in present if word not in products}


def _follow(equations: list[_Equation], weights: dict[int, Operator], signs: Signs) -> bool:
    """Weights of all units that equations tie to known ones; False if a binding one fails."""
    grown = True
    while grown:
        grown = False
        for equation in equations:
            if (equation.i in weights) == (equation.j in weights):
                continue
            if _apply(equation, weights, signs):
                grown = True
                break
            if equation.binding:
                return False
    return True


def _own_diagonal(block: Operator) -> Word | None:
    """The diagonal c for which c M_ii can be symmetric or antisymmetric; None if any can.

    A word a w b of M_ii and one b′ w a′ of its adjoint are partners in c M_ii and its adjoint
    exactly if c a = b′ and b = a′ c.
    """
    for word, partner in _partners(block, block.adjoint):
        (before, rest, _), (other, _, _) = core(word), core(partner)
        if rest:
            return join(other, invert(before))
    return None


def _first_diagonal(start: int, equations: list[_Equation]) -> Word:
    """The diagonal that the weight of a first unit must have."""
    for equation in equations:
        if not equation.free and start == equation.i:
            return equation.before
        if not equation.free and start == equation.j:
            return equation.after
    return ()


def _apply(equation: _Equation, weights: dict[int, Operator], signs: Signs) -> bool:
    """The weight of the unit that has none yet; False if it would not be positive."""
    forward = equation.i in weights
    known, new = (equation.i, equation.j) if forward else (equation.j, equation.i)
    above, below = (equation.above, equation.below) if forward else (equation.below, equation.above)
    if signs.of(above * below) != 1:
        return False
    word, number = weights[known].terms[0]
    ratio = (number * above).over(below)
    if ratio is None:
        sign = signs.of(below)
        if sign is None:
            return False
        factor = Scalar.number(sign)
        ratio = factor * number * above
        for i, weight in weights.items():
            weights[i] = factor * below * weight
    weights[new] = Operator.word(_diagonal(equation, forward, word), ratio)
    return True


def _diagonal(equation: _Equation, forward: bool, known: Word) -> Word:
    if not equation.free:
        return equation.after if forward else equation.before
    change = invert(equation.before) if forward else equation.before
    return join(known, change)


def without_inverses(weights: UnitWeights) -> UnitWeights:
    """All weights times the diagonals that some divide by; not always a scaling again."""
    least: dict[str, int | Fraction] = {}
    for name, power in _powers(weights):
        least[name] = min(power, least.get(name, 0))
    factor = tuple((name, -power) for name, power in sorted(least.items()) if power < 0)
    word = Operator.word((Diagonal(factor),)) if factor else IDENTITY
    return tuple(word @ weight for weight in weights)


def _powers(weights: Iterable[Operator]) -> Iterator[tuple[str, int | Fraction]]:
    """The diagonals in weights, with their powers."""
    return (power for weight in weights for power in powers(weight.terms[0][0]))


def _normal(weights: list[Operator], signs: Signs) -> UnitWeights | None:
    """Without common factors; None if a diagonal in them is not known to be positive."""
    if any(power % 2 and name not in signs.assumed for name, power in _powers(weights)):
        return None
    common = common_factor([weight.terms[0][1] for weight in weights])
    sign = signs.of(common)
    inverse = Scalar.number(sign).over(common) if sign else None
    return tuple((inverse or ONE) * weight for weight in weights)
