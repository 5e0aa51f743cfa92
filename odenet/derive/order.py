"""The order of accuracy, for every dynamics the scheme takes.

The conditions (`order_conditions.py`) are gone through tree by tree, lightest first, as long as
they hold.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import mpmath
import sympy

from odenet.derive.coefficients import Scalars
from odenet.derive.consistency import consistency_factors, solved_equations
from odenet.derive.damped_order import DAMPED_HIGHEST, damped_order
from odenet.derive.exact_numbers import Value, as_sympy, as_value, constants, put_in
from odenet.derive.h_series import WORKING_DIGITS, NoSeries, Number
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.parasitic import parasitic
from odenet.derive.power_bounded import bounded_powers
from odenet.derive.printed import Decimals, decimals
from odenet.derive.start_error import start_note
from odenet.derive.text import notation
from odenet.derive.trees import Key
from odenet.model.typed.scheme import Scheme

HIGHEST = 8
MOST_TREES = 6000  # of all weights; some seconds of work
SMALL = 1e-4  # a residual that may be rounding of the decimals given


@dataclass(frozen=True)
class Order:
    """The order of accuracy.

    Args:
        value: p, where the error at a fixed time is O(h^p); None where there is no such thing. An
            order of `searched` means at least that much.
        reason: why there is none, or why it is not higher.
        note: what the start lines do to it.
        searched: the highest order whose conditions were looked at, where they all hold.
        digits: to how many digits the conditions hold, and what is left over, where they do not
            hold exactly.
        factors: function -> the consistency factor: the equations that are solved have the
            right-hand side times this number, where that is not 1.
        equations: those equations.
        parasitic: the eigenvalues on the unit circle other than 1, in words.
        residual: by how much the condition is off that the order fails by; 0 where there is none.
        rounding: by how much those are off that hold to the digits given only.
        underived: whether there is no value because none is derived for such schemes: there may be
            an order all the same.
    """

    value: int | None
    reason: str = ""
    note: str = ""
    searched: int = HIGHEST
    digits: str = ""
    factors: Mapping[str, sympy.Expr] = field(default_factory=dict[str, sympy.Expr])
    equations: str = ""
    parasitic: str = ""
    residual: float = 0.0
    rounding: float = 0.0
    underived: bool = False

    @property
    def at_least(self) -> bool:
        """Whether it may be higher: its conditions were not looked at beyond."""
        return self.value == self.searched

    def __str__(self) -> str:
        if self.value is None:
            return f"none: {self.reason}"
        if self.equations:
            return f"{self.value}: it solves {self.equations}"
        if self.at_least:
            return f"{self.value} or more (not searched beyond {self.searched}){self.digits}"
        return f"{self.value}{self.digits}"


@dataclass(frozen=True)
class _Found:
    """How far the conditions hold.

    Args:
        order: up to this one.
        searched: the highest that was looked at.
        key: the tree of the first condition that does not hold.
        power: of h with which it is violated.
        residual: by how much.
    """

    order: int
    searched: int
    key: Key | None = None
    power: int = 0
    residual: Number = 0


def derive_order(scheme: Scheme, values: Mapping[str, Fraction | float] | None = None) -> Order:
    """The order of a scheme at given values of its constants.

    Args:
        scheme: as parsed.
        values: of its constants, in place of their defaults. A constant that has no value is drawn
            at random: the order is then that for almost all values.
    """
    if not scheme.uses_step_size:
        return Order(None, "the scheme has no step size h")
    if scheme.uses_step_number:
        reason = "n, the number of the step, is without bound where h is small"
        return Order(None, reason, underived=True)
    if scheme.decays and scheme.aux:
        reason = "not derived for a decay with unknowns of the scheme's own"
        return Order(None, reason, underived=True)
    if scheme.foreign_node is not None:
        return Order(None, f"{notation(scheme).show(scheme.foreign_node)} is not of the equations")
    with mpmath.workdps(WORKING_DIGITS):
        try:
            known = _known(scheme, values)
            if scheme.decays:
                value, reason, note, beside = damped_order(scheme, known)
                return Order(value, reason, note, DAMPED_HIGHEST, parasitic=beside)
            return _derive(scheme, known)
        except NoSeries as error:
            place = f"`{notation(scheme).quote(error.node)}`: " if error.node else ""
            return Order(None, f"{place}{error.reason}")


def conditions_at(
    scheme: Scheme,
    values: Mapping[str, Fraction | float] | None = None,
    to_the_digits: bool = False,
) -> OrderConditions:
    """The order conditions at given values of the constants, as in `derive_order`."""
    known = _known(scheme, values)
    printed = decimals(scheme, {name: known[name] for name, _ in scheme.constants})
    return _conditions(scheme, known, printed, to_the_digits)


def _known(scheme: Scheme, values: Mapping[str, Fraction | float] | None) -> dict[str, Value]:
    """The values of all constants and lets; what has none is drawn at random."""
    given: dict[str, Value] = {name: v for name, v in (values or {}).items() if name != "h"}
    draws = random.Random(7)
    for name, default in scheme.constants:
        if default is None and name not in given:
            given[name] = Fraction(draws.randint(50, 99), 101)
    return constants(scheme, given)


def _derive(scheme: Scheme, known: Mapping[str, Value]) -> Order:
    printed = decimals(scheme, {name: known[name] for name, _ in scheme.constants})
    exact = _conditions(scheme, known, printed, tolerant=False)
    if not bounded_powers(exact.matrix(), at_one=max(p.order for p in scheme.patterns)):
        return Order(None, "errors of earlier steps grow from step to step, however small h is")
    found, digits, conditions, rounding = search(exact), "", exact, 0.0
    # what changes a constant value adds up to O(1), however small it is
    still = not isinstance(found.key, str)
    if printed and still and found.key is not None and abs(found.residual) < SMALL:
        tolerant = _conditions(scheme, known, printed, tolerant=True)
        better = search(tolerant)
        if better.order > found.order:
            rounding = _largest_residual(exact, better.order)
            digits = f" to the {printed.digits} digits given; residual {rounding:.0e}"
            found, conditions = better, tolerant
    beside = parasitic(conditions.matrix(), conditions.slots, scheme.patterns[0].variable)
    if found.order <= 0:
        return _inconsistent(scheme, known, found, conditions, beside)
    order = found.order
    note = start_note(conditions, order)
    why = _violated(found, conditions)
    size = _size(found)
    return Order(
        order, why, note, found.searched, digits, parasitic=beside, residual=size, rounding=rounding
    )


def _conditions(
    scheme: Scheme,
    known: Mapping[str, Value],
    printed: Decimals | None,
    tolerant: bool,
    factors: dict[str, Number] | None = None,
) -> OrderConditions:
    """The conditions at given values; long decimals with or without a bound on their error."""
    names: dict[str, Any] = dict(known)
    if printed is not None:
        scheme = printed.scheme
        names |= {key: p if tolerant else p.value for key, p in printed.values.items()}
    scalars = Scalars(scheme)
    plain = {name: value for name, value in known.items() if name != "h"}
    symbols: dict[sympy.Symbol, Any] = dict(scalars.numbers(plain))
    symbols |= {sympy.Symbol(name): value for name, value in names.items()}
    limit = HIGHEST + max(p.order for p in scheme.patterns) + 1
    return OrderConditions(scheme, scalars, symbols, limit, factors)


def search(conditions: OrderConditions) -> _Found:
    """The order up to which the conditions hold, and the first that does not."""
    losses, below = conditions.losses, conditions.below
    found = _Found(HIGHEST, HIGHEST)
    trees = 0
    for weight in range(HIGHEST + below + 1):
        # heavier trees cannot be off by a lower power of h than this
        if found.order <= weight - below:
            return found
        keys = conditions.forest.keys(weight)
        trees += len(keys)
        if trees > MOST_TREES:
            return _Found(weight - below - 1, weight - below - 1)
        for key in keys:
            for row, powers in conditions.errors(key).items():
                power = min(powers)
                if power - losses[row] < found.order:
                    order = power - losses[row]
                    found = _Found(order, HIGHEST, key, power, powers[power])
        if found.order < 0:
            return found
    return found


def _largest_residual(conditions: OrderConditions, order: int) -> float:
    """The largest residual of the conditions up to an order."""
    found = [
        abs(value)
        for weight in range(order + conditions.below + 1)
        for key in conditions.forest.keys(weight)
        for row, powers in conditions.errors(key).items()
        for power, value in powers.items()
        if power - conditions.losses[row] < order
    ]
    return float(max(found, default=0))


def _violated(found: _Found, conditions: OrderConditions) -> str:
    """The first condition of the next order that does not hold."""
    if found.key is None:
        return ""
    tree = conditions.forest.show(found.key)
    size = plain_number(found.residual)
    return f"the condition of order {found.order + 1} for {tree} is off by {size}"


def _size(found: _Found) -> float:
    return abs(float(getattr(found.residual, "value", found.residual)))


def plain_number(value: Any) -> str:
    """A residual: a fraction if it is a short one, else a few digits."""
    if isinstance(value, Fraction) and len(str(value)) <= 12:
        return str(value)
    return f"{float(getattr(value, 'value', value)):.2g}"


def _inconsistent(
    scheme: Scheme,
    known: Mapping[str, Value],
    found: _Found,
    conditions: OrderConditions,
    beside: str,
) -> Order:
    """What a scheme solves that does not solve the equations of its pattern."""
    if isinstance(found.key, str):
        reason = f"a step changes {found.key} even where all right-hand sides are 0"
        return Order(0, reason, parasitic=beside, residual=_size(found))
    factors = consistency_factors(scheme)
    if factors is not None:
        symbols = {sympy.Symbol(name): as_sympy(value) for name, value in known.items()}
        numbers = {name: as_value(put_in(f, symbols)) for name, f in factors.items()}
        order = search(_conditions(scheme, known, None, tolerant=False, factors=numbers)).order
        if order > 0:
            equations = f"{solved_equations(scheme, factors)}, to order {order}"
            return Order(0, f"it solves {equations}", "", factors=factors, equations=equations,
                         parasitic=beside, residual=_size(found))  # fmt: skip
    if conditions.undetermined:
        names = ", ".join(notation(scheme).name(name) for name in conditions.aux)
        return Order(None, f"the start lines do not say what {names} approximates")
    why = _violated(found, conditions)
    return Order(0, why, parasitic=beside, residual=_size(found))
