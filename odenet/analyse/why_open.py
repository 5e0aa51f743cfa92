"""Why no theorem applies: the first block of M = R L that violates all conditions."""

from itertools import combinations

from odenet.analyse.conditions import plus_adjoint
from odenet.analyse.factorisations import Factorisation, factorise
from odenet.analyse.laurent import Signs
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.squares import negative_squares
from odenet.analyse.units import System
from odenet.diagnostics import Span


def reason_not_proved(system: System, signs: Signs) -> tuple[str, Span | None]:
    """The first reason why no scaling C was found, and its place in the text."""
    factorisation = factorise(system)
    for i, unit in enumerate(factorisation.units):
        block = factorisation.matrix[i][i]
        if negative_squares(plus_adjoint(((block,),)), signs) is None:
            text = f"{block} of {unit.text} is neither antisymmetric nor minus a sum of squares"
            return text, unit.span
    return _unbalanced_pair(factorisation, signs)


def _unbalanced_pair(factorisation: Factorisation, signs: Signs) -> tuple[str, Span | None]:
    """The first pair of units whose blocks of M no scaling can make cancel or agree."""
    for i, j in combinations(range(len(factorisation.units)), 2):
        block, partner = factorisation.matrix[i][j], factorisation.matrix[j][i].adjoint
        if not (block or partner):
            continue
        pair_text = f"between {factorisation.units[i].text} and {factorisation.units[j].text}"
        span = factorisation.units[i].span or factorisation.units[j].span
        if not _are_proportional(block, partner):
            blocks_text = f"{block} and {factorisation.matrix[j][i]}"
            neither = "neither is a multiple of the other's adjoint"
            return f"{pair_text} the couplings are {blocks_text}: {neither}", span
        if signs.sign_of(block.terms[0][1] * partner.terms[0][1]) == 1:
            return f"{pair_text} the coupling {block} has the same sign both ways", span
    return "no positive weights balance all pairs of units at once", None


def _are_proportional(one: Operator, other: Operator) -> bool:
    """Whether one operator is a number times the other."""
    if [word for word, _ in one.terms] != [word for word, _ in other.terms] or not one:
        return False
    a_0, b_0 = one.terms[0][1], other.terms[0][1]
    return all(a * b_0 == b * a_0 for (_, a), (_, b) in zip(one.terms, other.terms, strict=True))
