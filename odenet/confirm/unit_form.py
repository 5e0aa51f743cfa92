"""The check of the unit form of the dynamics: linear terms + Σ L D R has to be the Jacobian.

For the proof the dynamics are written as s' = linear terms + Σ L φ(R s + b), a sum of *units* with
slopes D = φ'(R s + b). The identity with the Jacobian of the formulas as written is tested at a
random point: if a single unit was read wrongly, the two differ almost surely.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from odenet.analyse.units import System, Unit
from odenet.confirm.disagreement import NotEvaluable
from odenet.confirm.evaluation import Evaluation, Jet
from odenet.confirm.matrices import Matrix, add, apply, identity, max_abs, product, scale_rows
from odenet.confirm.operator_evaluation import OperatorEvaluation
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State

TOLERANCE = 1e-9  # relative to the largest entry that was added up


@dataclass(frozen=True)
class UnitValues:
    """The value and slopes of a unit at a point.

    Args:
        value: φ(R s + b).
        slopes: φ'(R s + b), the diagonal D.
    """

    value: list[float]
    slopes: list[float]


def jacobian(evaluation: Evaluation) -> Matrix:
    """The Jacobian of the dynamics as written, for the states of the first-order system."""
    rates = [evaluation.field(rate) for rate in evaluation.model.dynamics.system(order=1).values()]
    directions = range(evaluation.directions)
    columns = [[x for jet in rates for x in jet.derivatives[k]] for k in directions]
    return [list(row) for row in zip(*columns, strict=True)]


def state_velocity(evaluation: Evaluation) -> list[float]:
    """The values of the right-hand sides of the first-order system, one after the other."""
    rates = evaluation.model.dynamics.system(order=1).values()
    return [x for rate in rates for x in evaluation.field(rate).value]


def unit_values(unit: Unit, operators: OperatorEvaluation) -> UnitValues:
    """The value and slopes of a unit; for a linear unit R s and D = I.

    The slopes are derivatives of the author's formula with respect to R s + b. `unit.row` holds the
    operators R by state, `unit.column` those of L. If a proof wrote φ(x) = m x + ψ(x) and moved m x
    to the linear terms, the slopes are ψ', with m = `moved_slope`. If `is_reflected`, it wrote
    φ(x) = m x - ψ(x). The value is φ's in either case.

    Raises:
        ValueError: the derivative is not diagonal, so that the formula is not a unit.
    """
    key = (unit.formula, unit.formula_sign, unit.moved_slope, unit.is_reflected, *unit.row.items())
    if key not in operators.cached_units:
        operators.cached_units[key] = _unit_values(unit, operators)
    return operators.cached_units[key]


def _unit_values(unit: Unit, operators: OperatorEvaluation) -> UnitValues:
    evaluation = operators.evaluation
    if unit.formula is None:
        value = _linear_value(unit, operators)
        return UnitValues(value, [1.0] * len(value))
    value = [unit.formula_sign * x for x in evaluation.field(unit.formula).value]
    try:
        values = UnitValues(value, _slopes_by_argument(unit, unit.formula, evaluation))
    except NotEvaluable:
        values = UnitValues(value, _slopes_by_states(unit, unit.formula, operators))
    if unit.moved_slope is None:
        return values
    sign, moved_slope = -1 if unit.is_reflected else 1, float(unit.moved_slope)
    return UnitValues(values.value, [sign * (slope - moved_slope) for slope in values.slopes])


def _slopes_by_argument(unit: Unit, formula: expr.Node, evaluation: Evaluation) -> list[float]:
    """The slopes of a unit as derivatives of its formula with respect to its argument.

    Raises:
        NotEvaluable: the argument does not occur in the formula as written.
        ValueError: the derivative is not diagonal.
    """
    # The argument may be `-x`, while the formula of the unit, as the author wrote it, has only `x`.
    argument, sign = unit.argument, unit.formula_sign
    while isinstance(argument, expr.Sum) and len(argument.terms) == 1:
        ((term_sign, argument),) = argument.terms
        sign *= term_sign
    if argument is None:
        raise NotEvaluable("a unit without an argument")
    value = evaluation.field(argument).value
    by_argument = evaluation.with_known_values({argument: Jet(value, identity(len(value)))})
    jet = by_argument.field(formula)
    for k, column in enumerate(jet.derivatives):
        if any(x for i, x in enumerate(column) if i != k):
            raise ValueError(f"{unit.text} does not act on every value by itself")
    return [sign * column[k] for k, column in enumerate(jet.derivatives)]


def _slopes_by_states(unit: Unit, formula: expr.Node, operators: OperatorEvaluation) -> list[float]:
    """The slopes D of a unit from dφ/ds = D R, where s are the states, entry by entry.

    Raises:
        ValueError: dφ/ds is not a diagonal matrix times R.
    """
    derivatives = operators.evaluation.field(formula).derivatives
    diagonal: list[float] = []
    ranges = state_ranges(operators)
    rows = {s: operators.matrix(op, len(ranges[s])) for s, op in unit.row.items()}
    for i in range(len(derivatives[0])):
        indices = ((a, k) for s, r in rows.items() for a, k in zip(r[i], ranges[s], strict=True))
        pairs = [(a, derivatives[k][i]) for a, k in indices]  # entries of R and of dφ/ds
        squared_norm = sum(a * a for a, _ in pairs)
        slope = sum(a * b for a, b in pairs) / squared_norm if squared_norm else 0.0
        scale = max(abs(b) for _, b in pairs) + abs(slope) * squared_norm**0.5
        if any(abs(b - slope * a) > TOLERANCE * scale for a, b in pairs):
            raise ValueError(f"{unit.text} does not act on every value by itself")
        diagonal.append(unit.formula_sign * slope)
    return diagonal


def _linear_value(unit: Unit, operators: OperatorEvaluation) -> list[float]:
    """The value R s of a linear unit."""
    products: list[list[float]] = []
    for state, operator in unit.row.items():
        model_state = State(str(operators.reader.meanings[state.name]), state.order)
        value = operators.evaluation.field(model_state).value
        products.append(apply(operators.matrix(operator, len(value)), value))
    return [sum(entries) for entries in zip(*products, strict=True)]


def jacobian_difference(
    system: System, operators: OperatorEvaluation, true_jacobian: Matrix
) -> float:
    """The difference between linear terms + Σ L D R and the Jacobian, relative to the largest term.

    Args:
        system: the dynamics as units and linear terms.
        operators: the matrices of its operators at the point.
        true_jacobian: the Jacobian of the formulas as written.

    Raises:
        ValueError: the derivative of a unit is not diagonal.
    """
    ranges = state_ranges(operators)
    total = [[0.0] * len(true_jacobian) for _ in true_jacobian]
    scale = max_abs(true_jacobian)  # the largest entry added up, which bounds rounding errors
    for (row_state, column_state), operator in system.linear_terms.items():
        matrix = operators.matrix(operator, len(ranges[column_state]))
        _add_block(total, matrix, ranges[row_state], ranges[column_state])
        scale = max(scale, operators.max_abs_term(operator, len(ranges[column_state])))
    for unit in system.units:
        slopes = unit_values(unit, operators).slopes
        for column_state, row in unit.row.items():
            size = len(ranges[column_state])
            scaled_row = scale_rows(slopes, operators.matrix(row, size))
            max_scaled = operators.max_abs_term(row, size) * max(map(abs, slopes))
            for row_state, column in unit.column.items():
                matrix = product(operators.matrix(column, len(slopes)), scaled_row)
                _add_block(total, matrix, ranges[row_state], ranges[column_state])
                scale = max(scale, max_scaled * operators.max_abs_term(column, len(slopes)))
    return max_abs(add(true_jacobian, total, -1.0)) / scale if scale else 0.0


def _add_block(total: Matrix, block: Matrix, rows: range, columns: range) -> None:
    for i, row in zip(rows, block, strict=True):
        for j, entry in zip(columns, row, strict=True):
            total[i][j] += entry


def state_ranges(operators: OperatorEvaluation) -> Mapping[State, range]:
    """State, named as the author spells it -> the range of its entries in `Point.state`."""
    found: dict[State, range] = {}
    start = 0
    evaluation = operators.evaluation
    for state in evaluation.model.dynamics.system(order=1):
        size = len(evaluation.field(state).value)
        found[operators.reader.spelled_state(state)] = range(start, start + size)
        start += size
    return found
