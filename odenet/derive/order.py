"""The order of accuracy of a scheme, for all smooth right-hand sides.

The order conditions (`order_conditions.py`) are checked tree by tree, in ascending weight, until
one does not hold.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import mpmath
import sympy

from odenet.derive.coefficients import CoefficientField
from odenet.derive.consistency import consistency_factors, solved_equations
from odenet.derive.damped_order import HIGHEST_DAMPED_ORDER, damped_order
from odenet.derive.exact_numbers import Value, as_sympy, as_value, constant_values, substitute
from odenet.derive.h_series import WORKING_DIGITS, NoSeries, Number
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.parasitic import parasitic_text
from odenet.derive.power_bounded import is_power_bounded
from odenet.derive.rounded_numbers import LongDecimals, long_decimals
from odenet.derive.scheme_notation import scheme_notation
from odenet.derive.start_error import start_note
from odenet.derive.trees import Tree
from odenet.model.typed.scheme import Scheme

HIGHEST_ORDER = 8  # higher orders are not searched
MOST_TREES = 6000  # trees of all weights together; they take some seconds
SMALL_RESIDUAL = 1e-4  # a smaller residual may be due to rounded decimals in the scheme


@dataclass(frozen=True)
class Order:
    """The order of accuracy.

    Args:
        value: p, if the error at a fixed time is O(h^p); None if there is no order. If it equals
            `highest_searched`, the order may be higher.
        reason: why there is no order, or why it is not higher.
        note: a sentence that says to which order the start lines reduce it; empty if they do not.
        highest_searched: the highest order whose conditions were checked.
        digits_note: to how many digits the conditions hold, and the residual; empty if they hold
            exactly.
        consistency_factors: right-hand side -> κ, if the scheme solves Y' = κ F(Y) with κ ≠ 1.
        solved_equations: these equations, in words.
        parasitic: the eigenvalues on the unit circle other than 1, in words.
        residual: the residual of the first condition that does not hold; 0 if all hold.
        rounding_residual: the largest residual of the conditions that hold up to rounding only.
        not_derived: whether value is None only because the order of such schemes is not derived.
    """

    value: int | None
    reason: str = ""
    note: str = ""
    highest_searched: int = HIGHEST_ORDER
    digits_note: str = ""
    consistency_factors: Mapping[str, sympy.Expr] = field(default_factory=dict[str, sympy.Expr])
    solved_equations: str = ""
    parasitic: str = ""
    residual: float = 0.0
    rounding_residual: float = 0.0
    not_derived: bool = False

    @property
    def may_be_higher(self) -> bool:
        """Whether the order may be higher than `value`, the highest that was searched."""
        return self.value == self.highest_searched

    def __str__(self) -> str:
        if self.value is None:
            return f"none: {self.reason}"
        if self.solved_equations:
            return f"{self.value}: it solves {self.solved_equations}"
        if self.may_be_higher:
            beyond = f"(not searched beyond {self.highest_searched})"
            return f"{self.value} or more {beyond}{self.digits_note}"
        return f"{self.value}{self.digits_note}"


@dataclass(frozen=True)
class _SearchResult:
    """Up to which order the conditions hold.

    Args:
        order: the highest order all of whose conditions hold.
        highest_searched: the highest order whose conditions were checked.
        tree: the tree of the first condition that does not hold; None if all hold.
        power: the power of h with which the residual of that condition begins.
        residual: the coefficient of this power.
    """

    order: int
    highest_searched: int
    tree: Tree | None = None
    power: int = 0
    residual: Number = 0


def derive_order(scheme: Scheme, values: Mapping[str, Fraction | float] | None = None) -> Order:
    """The order of a scheme at given values of its constants.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants, in place of their defaults. A constant without a value
            is drawn at random; the order is then the one for almost all values.
    """
    if not scheme.uses_step_size:
        return Order(None, "the scheme has no step size h")
    if scheme.uses_step_number:
        reason = "n, the number of the step, is without bound where h is small"
        return Order(None, reason, not_derived=True)
    if scheme.decays and scheme.aux:
        reason = "not derived for a decay with unknowns of the scheme's own"
        return Order(None, reason, not_derived=True)
    if scheme.exp_or_map is not None:
        shown = scheme_notation(scheme).show(scheme.exp_or_map)
        return Order(None, f"{shown} is not part of the equations")
    with mpmath.workdps(WORKING_DIGITS):
        try:
            known = _values(scheme, values)
            if scheme.decays:
                damped = damped_order(scheme, known)
                return Order(**damped._asdict(), highest_searched=HIGHEST_DAMPED_ORDER)
            return _derive(scheme, known)
        except NoSeries as error:
            place = f"`{scheme_notation(scheme).quote(error.node)}`: " if error.node else ""
            return Order(None, f"{place}{error.reason}")


def conditions_at(
    scheme: Scheme, values: Mapping[str, Fraction | float] | None = None, tolerant: bool = False
) -> OrderConditions:
    """The order conditions at given values of the constants, as in `derive_order`.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants.
        tolerant: whether residuals that rounded decimals can explain count as zero.
    """
    known = _values(scheme, values)
    decimals = long_decimals(scheme, {name: known[name] for name, _ in scheme.constants})
    return _conditions(scheme, known, decimals, tolerant)


def _values(scheme: Scheme, values: Mapping[str, Fraction | float] | None) -> dict[str, Value]:
    """The values of all constants and lets; constants without a value are drawn at random."""
    known: dict[str, Value] = {name: v for name, v in (values or {}).items() if name != "h"}
    rng = random.Random(7)  # any seed, so that the order is always the same
    for name, default in scheme.constants:
        if default is None and name not in known:
            known[name] = Fraction(rng.randint(50, 99), 101)
    return constant_values(scheme, known)


def _derive(scheme: Scheme, known: Mapping[str, Value]) -> Order:
    """The order of a scheme without decay; `known` has the values of all constants and lets."""
    decimals = long_decimals(scheme, {name: known[name] for name, _ in scheme.constants})
    exact = _conditions(scheme, known, decimals, tolerant=False)
    if not is_power_bounded(exact.step_matrix(), max_block=max(p.order for p in scheme.patterns)):
        return Order(None, "errors of earlier steps grow from step to step, however small h is")
    result, digits, conditions, rounding = find_order(exact), "", exact, 0.0
    # the tree is just a name if steps change even a constant solution, by O(1) in total
    if decimals and isinstance(result.tree, tuple) and abs(result.residual) < SMALL_RESIDUAL:
        tolerant = _conditions(scheme, known, decimals, tolerant=True)
        tolerant_result = find_order(tolerant)
        if tolerant_result.order > result.order:
            rounding = _largest_residual(exact, tolerant_result.order)
            digits = f" to the {decimals.digits} digits given; residual {rounding:.0e}"
            result, conditions = tolerant_result, tolerant
    matrix, variable = conditions.step_matrix(), scheme.patterns[0].unknown
    parasitic_note = parasitic_text(matrix, conditions.slots, variable)
    if result.order <= 0:
        return _inconsistent_order(scheme, known, result, conditions, parasitic_note)
    note = start_note(conditions, result.order)
    why = _violated_condition(result, conditions)
    return Order(
        result.order, why, note, result.highest_searched, digits, parasitic=parasitic_note,
        residual=_residual_size(result), rounding_residual=rounding,
    )  # fmt: skip


def _conditions(
    scheme: Scheme,
    known: Mapping[str, Value],
    decimals: LongDecimals | None,
    tolerant: bool,
    factors: dict[str, Number] | None = None,
) -> OrderConditions:
    """The conditions at given values; if tolerant, long decimals have a bound on their error."""
    named_values: dict[str, Any] = dict(known)
    if decimals is not None:
        scheme = decimals.scheme
        named_values |= {key: p if tolerant else p.value for key, p in decimals.values.items()}
    coeff_field = CoefficientField(scheme)
    without_h = {name: value for name, value in known.items() if name != "h"}
    symbol_values: dict[sympy.Symbol, Any] = dict(coeff_field.symbol_values(without_h))
    symbol_values |= {sympy.Symbol(name): value for name, value in named_values.items()}
    max_degree = HIGHEST_ORDER + max(p.order for p in scheme.patterns) + 1
    return OrderConditions(scheme, coeff_field, symbol_values, max_degree, factors)


def find_order(conditions: OrderConditions) -> _SearchResult:
    """The order up to which the conditions hold, and the first condition that does not."""
    lost_powers, deficit = conditions.lost_powers, conditions.order_deficit
    result = _SearchResult(HIGHEST_ORDER, HIGHEST_ORDER)
    tree_count = 0
    for weight in range(HIGHEST_ORDER + deficit + 1):
        # trees of larger weight cannot lower the order any further
        if result.order <= weight - deficit:
            return result
        trees = conditions.forest.trees(weight)
        tree_count += len(trees)
        if tree_count > MOST_TREES:
            return _SearchResult(weight - deficit - 1, weight - deficit - 1)
        for tree in trees:
            for row, powers in conditions.residuals(tree).items():
                power = min(powers)
                if power - lost_powers[row] < result.order:
                    order = power - lost_powers[row]
                    result = _SearchResult(order, HIGHEST_ORDER, tree, power, powers[power])
        if result.order < 0:
            return result
    return result


def _largest_residual(conditions: OrderConditions, order: int) -> float:
    """The largest residual of the conditions up to an order."""
    residuals = [
        abs(value)
        for weight in range(order + conditions.order_deficit + 1)
        for tree in conditions.forest.trees(weight)
        for row, powers in conditions.residuals(tree).items()
        for power, value in powers.items()
        if power - conditions.lost_powers[row] < order
    ]
    return float(max(residuals, default=0))


def _violated_condition(result: _SearchResult, conditions: OrderConditions) -> str:
    """The first condition of the next order that does not hold, as a sentence."""
    if result.tree is None:
        return ""
    tree = conditions.forest.show(result.tree)
    size = residual_text(result.residual)
    return f"the condition of order {result.order + 1} for {tree} is off by {size}"


def _residual_size(result: _SearchResult) -> float:
    return abs(float(getattr(result.residual, "value", result.residual)))


def residual_text(value: Any) -> str:
    """A residual as text: a fraction if it is short, else a few digits."""
    if isinstance(value, Fraction) and len(str(value)) <= 12:
        return str(value)
    return f"{float(getattr(value, 'value', value)):.2g}"


def _inconsistent_order(
    scheme: Scheme,
    known: Mapping[str, Value],
    result: _SearchResult,
    conditions: OrderConditions,
    parasitic_note: str,
) -> Order:
    """The result for a scheme that is not consistent with the equations of its `for` line."""
    if isinstance(result.tree, str):
        reason = f"a step changes {result.tree} even where all right-hand sides are 0"
        return Order(0, reason, parasitic=parasitic_note, residual=_residual_size(result))
    factors = consistency_factors(scheme)
    if factors is not None:
        symbols = {sympy.Symbol(name): as_sympy(value) for name, value in known.items()}
        numbers = {name: as_value(substitute(f, symbols)) for name, f in factors.items()}
        order = find_order(_conditions(scheme, known, None, tolerant=False, factors=numbers)).order
        if order > 0:
            equations = f"{solved_equations(scheme, factors)}, to order {order}"
            return Order(
                0, f"it solves {equations}", consistency_factors=factors,
                solved_equations=equations, parasitic=parasitic_note,
                residual=_residual_size(result),
            )  # fmt: skip
    if conditions.undetermined:
        names = ", ".join(scheme_notation(scheme).name(name) for name in conditions.aux)
        return Order(None, f"the start lines do not say what {names} approximates")
    why = _violated_condition(result, conditions)
    return Order(0, why, parasitic=parasitic_note, residual=_residual_size(result))
