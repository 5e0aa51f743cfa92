"""Between which numbers the slope of a unit lies, and what of it can be moved to the linear terms.

An activation's bounds are in its row. Those of a chain are products: of the bounds of its
activations, which are all taken at points of their own, and of the numbers between them.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from odenet.analyse.laurent import Scalar, Signs, factor_text, rational
from odenet.analyse.operator_algebra import NOTHING, added_up
from odenet.analyse.read_formulas import FormulaReader
from odenet.analyse.units import System, Unit
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import NotANumber, evaluate
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.typed.program import Model

Bounds = tuple[Fraction | None, Fraction | None]

MOST_UNITS = 4  # that are turned one by one; every one is another system to prove
UNKNOWN: Bounds = (None, None)


def with_slopes(system: System, model: Model, reader: FormulaReader) -> System:
    """The system whose units know the bounds of their slopes."""
    bounds = [(unit, _bounds(unit, model, reader)) for unit in system.units]
    units = tuple(replace(unit, least=least, most=most) for unit, (least, most) in bounds)
    return replace(system, units=units)


def _bounds(unit: Unit, model: Model, reader: FormulaReader) -> Bounds:
    """The least and the largest slope of a unit's φ, as functions of its whole argument.

    A chain of nondecreasing activations is nondecreasing after its sign was moved to L, whatever
    the signs between them; with others in it, only a single activation has bounds here.
    """
    found = [activation_bounds(stage, model) for stage in unit.activations]
    if not found or unit.norms:
        return UNKNOWN
    if len(found) == 1:
        return found[0]
    if any(least is None or least < 0 for least, _ in found):
        return UNKNOWN
    product = Fraction(1)
    for number in [most for _, most in found] + _between(unit, reader):
        if number is None:
            return Fraction(0), None
        product *= abs(number)
    return Fraction(0), product


def _between(unit: Unit, reader: FormulaReader) -> list[Fraction | None]:
    """The numbers between the stages of a chain; None for one not known."""
    return [
        None if number is None else rational(number.at(reader.values)) for number in unit.between
    ]


def activation_bounds(activation: expr.Activation, model: Model) -> Bounds:
    """What the row of an activation says of its slope, at the values of its constants."""
    row = ACTIVATIONS[activation.name]
    try:
        values = [evaluate(node, model.constants) for node in activation.constants]
    except NotANumber:
        return UNKNOWN
    most = _exact(row.slope(*values))
    if row.nondecreasing(*values):
        return Fraction(0), most
    return _exact(row.least_slope(*values)), most


def _exact(value: Fraction | float) -> Fraction:
    """A bound as it is written in the row: 1.13 is 113/100."""
    return value if isinstance(value, Fraction) else Fraction(str(value))


# --- slopes moved to the linear terms ------------------------------------------------------------


def moves(system: System, signs: Signs) -> Iterator[System]:
    """The system with parts of some units among the linear terms, what is left being nondecreasing.

    With slopes of φ in [ℓ, s], φ(x) = ℓ x + ψ(x) and φ(x) = s x - ψ(x) have a nondecreasing ψ, with
    slopes up to s - ℓ. The first makes a unit fit for the theorems at all; the second lets a unit
    that drives be outweighed by linear terms.
    """
    fit = _all_moved(system, frozenset())
    if fit != system:
        yield fit
    turned = [k for k, unit in enumerate(system.units) if _outweighed(system, unit, signs)]
    choices = [turned, *([k] for k in turned if len(turned) <= MOST_UNITS)]
    for choice in dict.fromkeys(frozenset(choice) for choice in choices if choice):
        yield _all_moved(system, choice)


def _all_moved(system: System, turned: frozenset[int]) -> System:
    """The units in `turned` taken from their largest slope, falling ones from their least."""
    units: list[Unit] = []
    linear = list(system.linear.items())
    for k, unit in enumerate(system.units):
        amount = unit.most if k in turned else unit.least if (unit.least or 0) < 0 else None
        if amount is None:
            units.append(unit)
            continue
        linear += [(place, Scalar.number(amount) * part) for place, part in unit.products]
        units.append(_rest(unit, amount, k in turned))
    return replace(system, linear=added_up(linear)).with_units(units)


def _rest(unit: Unit, amount: Fraction, turned: bool) -> Unit:
    """A unit with the nondecreasing ψ in the place of φ = ℓ x + ψ, or s x - ψ if turned."""
    width = None if unit.most is None or unit.least is None else unit.most - unit.least
    column = {i: -back for i, back in unit.column.items()} if turned else unit.column
    return replace(
        unit,
        column=column,
        text=_rest_text(unit, amount, turned),
        least=Fraction(0),
        most=width,
        moved=amount,
        turned=turned,
    )


def _rest_text(unit: Unit, amount: Fraction, turned: bool) -> str:
    """`gelu(K Y) + 13/100 (K Y)`, `(Y) - tanh(Y)`."""
    span = unit.argument.span if unit.argument else None
    argument = f"({' '.join(span.text.split())})".replace("^T", "ᵀ") if span else "its argument"
    linear = f"{factor_text(Scalar.number(abs(amount)))}{argument}"
    return f"{linear} - {unit.text}" if turned else f"{unit.text} + {linear}"


def _outweighed(system: System, unit: Unit, signs: Signs) -> bool:
    """Whether a linear term has the words of a unit's Jacobian, with the opposite sign."""
    if unit.most is None or unit.linear:
        return False
    for place, part in unit.products:
        present = dict(system.linear.get(place, NOTHING).terms)
        for word, scalar in part.terms:
            if word in present and signs.of(scalar * present[word]) != 1:
                return True
    return False
