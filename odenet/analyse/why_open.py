"""Why the theorems do not apply: the first block of M that resists, with its place in the text."""

from itertools import combinations

from odenet.analyse.conditions import symmetric_part
from odenet.analyse.factorisations import Arrangement, arrange
from odenet.analyse.laurent import Signs
from odenet.analyse.operator_algebra import Operator
from odenet.analyse.squares import negative_squares
from odenet.analyse.units import System
from odenet.diagnostics import Span


def explain(system: System, signs: Signs) -> tuple[str, Span | None]:
    """The first reason why no scaling was found, and where."""
    plain = arrange(system)
    for i, unit in enumerate(plain.units):
        block = plain.matrix[i][i]
        if negative_squares(symmetric_part(((block,),)), signs) is None:
            text = f"{block} of {unit.text} is neither antisymmetric nor minus a sum of squares"
            return text, unit.span
    return _pair(plain, signs)


def _pair(plain: Arrangement, signs: Signs) -> tuple[str, Span | None]:
    """The first pair of units that does not balance."""
    for i, j in combinations(range(len(plain.units)), 2):
        one, other = plain.matrix[i][j], plain.matrix[j][i].adjoint
        if not (one or other):
            continue
        units = f"between {plain.units[i].text} and {plain.units[j].text}"
        span = plain.units[i].span or plain.units[j].span
        if not _proportional(one, other):
            pair = f"{one} and {plain.matrix[j][i]}"
            neither = "neither is a multiple of the other's adjoint"
            return f"{units} the couplings are {pair}: {neither}", span
        if signs.of(one.terms[0][1] * other.terms[0][1]) == 1:
            return f"{units} the coupling {one} has the same sign both ways", span
    return "no positive weights balance all pairs of units at once", None


def _proportional(one: Operator, other: Operator) -> bool:
    """Whether one operator is a number times the other."""
    if [word for word, _ in one.terms] != [word for word, _ in other.terms] or not one:
        return False
    first = one.terms[0][1], other.terms[0][1]
    pairs = zip(one.terms, other.terms, strict=True)
    return all(a * first[1] == b * first[0] for (_, a), (_, b) in pairs)
