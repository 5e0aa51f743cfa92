"""s' = L φ(R s + b) against the dynamics as written: Σ linear + Σ L D R is the Jacobian.

Both sides are identities in the weights, the state and the input, so that a point drawn at random
decides: where a single unit was merged, split or placed wrongly they differ almost surely.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from odenet.analyse.units import System, Unit
from odenet.confirm.disagreement import NoNumbers
from odenet.confirm.fields import Evaluation, Jet
from odenet.confirm.matrices import Matrix, add, apply, identity, largest, product, scale_rows
from odenet.confirm.words import Words
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State

TOLERANCE = 1e-9  # relative to the largest entry that was added up


@dataclass(frozen=True)
class Values:
    """A unit at a point.

    Args:
        value: φ(R s + b).
        slopes: φ'(R s + b), the diagonal D.
    """

    value: list[float]
    slopes: list[float]


def jacobian(evaluation: Evaluation) -> Matrix:
    """The Jacobian of the dynamics as written, unknowns in the order of the first-order system."""
    rates = [evaluation.field(rate) for rate in evaluation.model.dynamics.system(1).values()]
    columns = [[x for jet in rates for x in jet.slopes[k]] for k in range(evaluation.directions)]
    return [list(row) for row in zip(*columns, strict=True)]


def rate(evaluation: Evaluation) -> list[float]:
    """The right-hand sides, one after the other."""
    system = evaluation.model.dynamics.system(1).values()
    return [x for node in system for x in evaluation.field(node).value]


def unit_values(unit: Unit, words: Words) -> Values:
    """What a unit gives, and its own slope; D = I for a linear unit, which gives R s.

    The slopes are those of the author's formula with respect to what is innermost in it. They
    are a diagonal, or the formula is not a unit.

    Raises:
        ValueError: the formula mixes the entries of what it reads.
    """
    known = (
        unit.formula,
        unit.formula_sign,
        unit.moved_slope,
        unit.is_reflected,
        *unit.row.items(),
    )
    if known not in words.units:
        words.units[known] = _unit_values(unit, words)
    return words.units[known]


def _unit_values(unit: Unit, words: Words) -> Values:
    evaluation = words.evaluation
    if unit.formula is None:
        value = _linear(unit, words)
        return Values(value, [1.0] * len(value))
    value = [unit.formula_sign * x for x in evaluation.field(unit.formula).value]
    try:
        found = Values(value, _own_slopes(unit, unit.formula, evaluation))
    except NoNumbers:
        found = Values(value, _seen_slopes(unit, unit.formula, words))
    if unit.moved_slope is None:
        return found
    sign, moved = -1 if unit.is_reflected else 1, float(unit.moved_slope)
    return Values(found.value, [sign * (slope - moved) for slope in found.slopes])


def _own_slopes(unit: Unit, formula: expr.Node, evaluation: Evaluation) -> list[float]:
    """The derivative of the formula with respect to what is innermost in it.

    Raises:
        NoNumbers: the argument is not in the formula as it is written.
    """
    inner, sign = unit.argument, unit.formula_sign
    while isinstance(inner, expr.Sum) and len(inner.terms) == 1:
        ((factor, inner),) = inner.terms
        sign *= factor
    if inner is None:
        raise NoNumbers("a unit without an argument")
    argument = evaluation.field(inner).value
    given = evaluation.with_given({inner: Jet(argument, identity(len(argument)))})
    found = given.field(formula)
    for k, column in enumerate(found.slopes):
        if any(x for i, x in enumerate(column) if i != k):
            raise ValueError(f"{unit.text} does not act on every value by itself")
    return [sign * column[k] for k, column in enumerate(found.slopes)]


def _seen_slopes(unit: Unit, formula: expr.Node, words: Words) -> list[float]:
    """The D with dφ/ds = D R, entry by entry.

    Raises:
        ValueError: the derivative is not a diagonal times R.
    """
    slopes = words.evaluation.field(formula).slopes
    found: list[float] = []
    at = places(words)
    rows = {s: words.matrix(op, len(at[s])) for s, op in unit.row.items()}
    for i in range(len(slopes[0])):
        read = [
            (a, slopes[k][i]) for s, r in rows.items() for a, k in zip(r[i], at[s], strict=True)
        ]
        size = sum(a * a for a, _ in read)
        slope = sum(a * b for a, b in read) / size if size else 0.0
        scale = max(abs(b) for _, b in read) + abs(slope) * size**0.5
        if any(abs(b - slope * a) > TOLERANCE * scale for a, b in read):
            raise ValueError(f"{unit.text} does not act on every value by itself")
        found.append(unit.formula_sign * slope)
    return found


def _linear(unit: Unit, words: Words) -> list[float]:
    """R s, what a unit reads, at the point of the words."""
    read: list[list[float]] = []
    for state, operator in unit.row.items():
        known = State(str(words.reader.names[state.name]), state.order)
        value = words.evaluation.field(known).value
        read.append(apply(words.matrix(operator, len(value)), value))
    return [sum(entries) for entries in zip(*read, strict=True)]


def difference(system: System, words: Words, actual: Matrix) -> float:
    """How far Σ linear + Σ L D R is from the Jacobian, relative to the largest term of it.

    Raises:
        ValueError: a formula of a unit mixes the entries of what it reads.
    """
    at = places(words)
    total = [[0.0] * len(actual) for _ in actual]
    scale = largest(actual)
    for (to, of), operator in system.linear_terms.items():
        _put(total, words.matrix(operator, len(at[of])), at[to], at[of])
        scale = max(scale, words.magnitude(operator, len(at[of])))
    for unit in system.units:
        slopes = unit_values(unit, words).slopes
        for of, row in unit.row.items():
            read = scale_rows(slopes, words.matrix(row, len(at[of])))
            size = words.magnitude(row, len(at[of])) * max(map(abs, slopes))
            for to, column in unit.column.items():
                matrix = product(words.matrix(column, len(slopes)), read)
                _put(total, matrix, at[to], at[of])
                scale = max(scale, size * words.magnitude(column, len(slopes)))
    return largest(add(actual, total, -1.0)) / scale if scale else 0.0


def _put(total: Matrix, block: Matrix, rows: range, columns: range) -> None:
    for i, row in zip(rows, block, strict=True):
        for j, entry in zip(columns, row, strict=True):
            total[i][j] += entry


def places(words: Words) -> Mapping[State, range]:
    """Where a state is among the unknowns, by its author's spelling."""
    found: dict[State, range] = {}
    start = 0
    evaluation = words.evaluation
    for state in evaluation.model.dynamics.system(1):
        size = len(evaluation.field(state).value)
        found[words.reader.spelled_state(state)] = range(start, start + size)
        start += size
    return found
