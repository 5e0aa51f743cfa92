"""Bounds of the slopes φ' of units, and systems with a part m x of φ(x) among the linear terms.

The bounds of an activation are in its row of the table. Those of a chain are the products of the
bounds of its activations and of the numbers between them.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from odenet.analyse.laurent import Scalar, Signs, as_fraction, factor_text
from odenet.analyse.operator_algebra import ZERO_OPERATOR, sum_by_key
from odenet.analyse.read_formulas import FormulaReader
from odenet.analyse.units import System, Unit
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.typed.program import Model

SlopeBounds = tuple[Fraction | None, Fraction | None]

MAX_SINGLE_MOVES = 4  # with more units none is changed alone: each is another system to prove
UNKNOWN_BOUNDS: SlopeBounds = (None, None)


def with_slope_bounds(system: System, model: Model, reader: FormulaReader) -> System:
    """The system with min_slope and max_slope of its units filled in."""
    bounds = [(unit, _unit_slope_bounds(unit, model, reader)) for unit in system.units]
    units = tuple(replace(unit, min_slope=least, max_slope=most) for unit, (least, most) in bounds)
    return replace(system, units=units)


def _unit_slope_bounds(unit: Unit, model: Model, reader: FormulaReader) -> SlopeBounds:
    """Bounds of φ' for a unit.

    A chain of nondecreasing activations, with numbers of any sign between them, has slopes of one
    sign. That sign is in L, not in φ (`_ChainReader.unit` in odenet/analyse/read_units.py), so that
    φ' >= 0 and only absolute values are multiplied here. Other chains of more than one activation
    get no bounds.
    """
    stage_bounds = [activation_bounds(stage, model) for stage in unit.activations]
    if not stage_bounds or unit.norms:
        return UNKNOWN_BOUNDS
    if len(stage_bounds) == 1:
        return stage_bounds[0]
    if any(least is None or least < 0 for least, _ in stage_bounds):
        return UNKNOWN_BOUNDS
    product = Fraction(1)
    for factor in [most for _, most in stage_bounds] + _factor_values(unit, reader):
        if factor is None:
            return Fraction(0), None
        product *= abs(factor)
    return Fraction(0), product  # 0 <= φ' <= product


def _factor_values(unit: Unit, reader: FormulaReader) -> list[Fraction | None]:
    """The values of the numbers between the stages of a chain; None if not known."""
    values, factors = reader.values, unit.stage_factors
    return [None if x is None else as_fraction(x.substitute(values)) for x in factors]


def activation_bounds(activation: expr.Activation, model: Model) -> SlopeBounds:
    """The bounds of an activation's slope from its row, at the values of its constants."""
    activation_row = ACTIVATIONS[activation.name]
    try:
        values = [evaluate(node, model.constants) for node in activation.constants]
    except EvaluationError:
        return UNKNOWN_BOUNDS
    most = _decimal_fraction(activation_row.slope(*values))
    if activation_row.nondecreasing(*values):
        return Fraction(0), most
    return _decimal_fraction(activation_row.least_slope(*values)), most


def _decimal_fraction(value: Fraction | float) -> Fraction:
    """A bound as the decimal fraction that is written in the row: 1.13 is 113/100."""
    return value if isinstance(value, Fraction) else Fraction(str(value))


# --- slopes moved to the linear terms ------------------------------------------------------------


def systems_with_moved_slopes(system: System, signs: Signs) -> Iterator[System]:
    """Equivalent systems in which linear parts of some units were moved to the linear terms.

    If the slopes of φ are in [ℓ, s], then φ(x) = ℓ x + ψ(x) and φ(x) = s x - ψ(x) with a
    nondecreasing ψ, whose slopes are at most s - ℓ. The first makes a decreasing unit admissible
    for the theorems. The second, where the unit is `reflected` and the minus sign goes into L, lets
    a linear term compensate for a destabilising unit.
    """
    nondecreasing = _move_slopes(system, frozenset())
    if nondecreasing != system:
        yield nondecreasing
    reflectable = [k for k, unit in enumerate(system.units) if _is_opposed(system, unit, signs)]
    choices = [reflectable, *([k] for k in reflectable if len(reflectable) <= MAX_SINGLE_MOVES)]
    for choice in dict.fromkeys(frozenset(choice) for choice in choices if choice):
        yield _move_slopes(system, choice)


def _move_slopes(system: System, reflected: frozenset[int]) -> System:
    """The system with φ = s x - ψ for the `reflected` units, φ = ℓ x + ψ for others with ℓ < 0."""
    units: list[Unit] = []
    linear = list(system.linear_terms.items())
    for k, unit in enumerate(system.units):
        negative_slope = unit.min_slope if (unit.min_slope or 0) < 0 else None
        slope = unit.max_slope if k in reflected else negative_slope
        if slope is None:
            units.append(unit)
            continue
        linear += [(pair, Scalar.number(slope) * op) for pair, op in unit.column_times_row]
        units.append(_remainder(unit, slope, k in reflected))
    return replace(system, linear_terms=sum_by_key(linear)).with_units(units)


def _remainder(unit: Unit, slope: Fraction, is_reflected: bool) -> Unit:
    """The unit of ψ, where φ = slope x + ψ, or φ = slope x - ψ if reflected."""
    least, most = unit.min_slope, unit.max_slope
    slope_range = None if least is None or most is None else most - least
    column = {i: -output for i, output in unit.column.items()} if is_reflected else unit.column
    return replace(
        unit,
        column=column,
        text=_remainder_text(unit, slope, is_reflected),
        min_slope=Fraction(0),
        max_slope=slope_range,
        moved_slope=slope,
        is_reflected=is_reflected,
    )


def _remainder_text(unit: Unit, slope: Fraction, is_reflected: bool) -> str:
    """`gelu(K Y) + 13/100 (K Y)`, `(Y) - tanh(Y)`."""
    span = unit.argument.span if unit.argument else None
    argument = f"({' '.join(span.text.split())})".replace("^T", "ᵀ") if span else "its argument"
    linear = f"{factor_text(Scalar.number(abs(slope)))}{argument}"
    return f"{linear} - {unit.text}" if is_reflected else f"{unit.text} + {linear}"


def _is_opposed(system: System, unit: Unit, signs: Signs) -> bool:
    """Whether a linear term may counteract the unit.

    It then has a word of the unit's product L R, with a coefficient of another or an unknown sign.
    """
    if unit.max_slope is None or unit.is_linear:
        return False
    for states, product in unit.column_times_row:
        coefficients = dict(system.linear_terms.get(states, ZERO_OPERATOR).terms)
        for word, scalar in product.terms:
            if word in coefficients and signs.sign_of(scalar * coefficients[word]) != 1:
                return True
    return False
