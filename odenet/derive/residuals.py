"""By how much each order condition of a scheme is off, as a list for its reader."""

from dataclasses import dataclass
from typing import Any

import mpmath

from odenet.derive.h_series import WORKING_DIGITS
from odenet.derive.order import conditions_at, derive_order, plain_number
from odenet.model.typed.scheme import Scheme


@dataclass(frozen=True)
class Residual:
    """One condition.

    Args:
        order: it has to hold for a scheme of this order.
        differential: the elementary differential that it is about, such as `F'(F)`.
        off: the coefficient in the exact solution, 1/γ, less that in the step, the elementary
            weight (Butcher 2016, section 31); empty where the condition holds.
    """

    order: int
    differential: str
    off: str


def residuals(scheme: Scheme) -> list[Residual] | str:
    """The conditions up to the first order that the scheme does not have; why there are none.

    Args:
        scheme: as parsed; constants without a value are drawn as in `derive_order`.
    """
    order = derive_order(scheme)
    if order.value is None:
        return order.reason
    if scheme.decays:
        return "of a scheme with a decay they are not listed"
    if order.equations:
        return f"it solves {order.equations}"
    with mpmath.workdps(WORKING_DIGITS):
        conditions = conditions_at(scheme)
        losses = conditions.losses
        highest = max(pattern.order for pattern in scheme.patterns)
        found: list[Residual] = []
        for weight in range(1, order.value + 1 + conditions.below):
            for key in conditions.forest.keys(weight):
                off = {row: left for row, left in conditions.errors(key).items() if left}
                own = weight - highest + 1
                of = min((min(left) - losses[row] + 1 for row, left in off.items()), default=own)
                if of <= order.value + 1:
                    found.append(Residual(of, conditions.forest.show(key), _off(off)))
    return sorted(found, key=lambda residual: residual.order)


def _off(left: dict[str, Any]) -> str:
    """The size of what is left, named by the unknown where there are several."""
    sizes = {row: plain_number(powers[min(powers)]) for row, powers in left.items()}
    if len(sizes) == 1:
        return next(iter(sizes.values()))
    return ", ".join(f"{size} in {row}" for row, size in sizes.items())
