"""The residuals of the order conditions of a scheme, as a list to print."""

from dataclasses import dataclass
from typing import Any

import mpmath

from odenet.derive.h_series import WORKING_DIGITS
from odenet.derive.order import conditions_at, derive_order, residual_text
from odenet.model.typed.scheme import Scheme


@dataclass(frozen=True)
class Residual:
    """One order condition with its residual.

    Args:
        order: a scheme of this order has to satisfy the condition.
        differential: the elementary differential it belongs to, such as `F'(F)`.
        difference: its coefficient in the exact solution, 1/γ, minus the one in the step, the
            elementary weight (Butcher 2016, section 31); empty if the condition holds.
    """

    order: int
    differential: str
    difference: str


def residuals(scheme: Scheme) -> list[Residual] | str:
    """The conditions up to the first order that the scheme does not have, in ascending order.

    Args:
        scheme: the scheme, as parsed; constants without a value are drawn as in `derive_order`.

    Returns:
        The conditions, or a sentence that says why there are none.
    """
    order = derive_order(scheme)
    if order.value is None:
        return order.reason
    if scheme.decays:
        return "of a scheme with a decay they are not listed"
    if order.solved_equations:
        return f"it solves {order.solved_equations}"
    with mpmath.workdps(WORKING_DIGITS):
        conditions = conditions_at(scheme)
        lost_powers = conditions.lost_powers
        highest_derivative = max(pattern.order for pattern in scheme.patterns)
        found: list[Residual] = []
        for weight in range(1, order.value + 1 + conditions.order_deficit):
            for tree in conditions.forest.trees(weight):
                nonzero = {row: s for row, s in conditions.residuals(tree).items() if s}
                orders = [min(series) - lost_powers[row] + 1 for row, series in nonzero.items()]
                condition_order = min(orders, default=weight - highest_derivative + 1)
                if condition_order <= order.value + 1:
                    shown = conditions.forest.show(tree)
                    found.append(Residual(condition_order, shown, _difference_text(nonzero)))
    return sorted(found, key=lambda residual: residual.order)


def _difference_text(by_row: dict[str, Any]) -> str:
    """The leading coefficient of each residual, with the unknown if there are several."""
    sizes = {row: residual_text(powers[min(powers)]) for row, powers in by_row.items()}
    if len(sizes) == 1:
        return next(iter(sizes.values()))
    return ", ".join(f"{size} in {row}" for row, size in sizes.items())
