"""Whether errors of the start lines reduce the order of a scheme.

An error of size h^q in the values before the first step is made only once. It changes the solution
by h^q if it has a part that belongs to the eigenvalue 1 of the one-step matrix at h = 0, or if an
unknown of the equations itself oscillates with it. An error that decays, or that oscillates in
other values only, has still entered right-hand sides in the meantime (`start_effect.py`).
"""

from dataclasses import dataclass

from odenet.derive.h_series import NoSeries, PowerSeries, add
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.scheme_notation import scheme_notation
from odenet.derive.start_effect import Argument, Errors, StartError, remaining_order
from odenet.derive.trees import Tree, has_velocity_leaf
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Scheme


@dataclass(frozen=True)
class _OrderLeft:
    """The order that a start line leaves.

    Args:
        order: the order.
        may_be_higher: whether the order may be higher.
        slot: the value that the start line sets.
    """

    order: int
    may_be_higher: bool
    slot: Slot


def start_note(conditions: OrderConditions, order: int) -> str:
    """To which order the start lines reduce that of the steps, as a sentence; empty if they do not.

    Args:
        conditions: the order conditions of the scheme.
        order: the order of the steps.
    """
    worst = None
    for weight in range(order + conditions.power_deficit + 1):
        for tree in conditions.forest.trees(weight):
            if has_velocity_leaf(tree):  # start lines are judged for an initial velocity of 0
                continue
            try:
                found = _order_left(conditions, tree, order if worst is None else worst.order)
            except NoSeries as error:
                notation = scheme_notation(conditions.scheme)
                place = notation.quote(error.node) if error.node else "a start"
                return f"nothing is known of the start from `{place}`: {error.reason}"
            worst = found or worst
    if worst is None:
        return ""
    return start_line_note(conditions.scheme, worst.slot, worst.order, worst.may_be_higher)


def start_line_note(scheme: Scheme, slot: Slot, order: int, may_be_higher: bool = False) -> str:
    """The sentence that a start line reduces the order.

    Args:
        scheme: the scheme, as parsed.
        slot: the value that the start line sets.
        order: the order that is left.
        may_be_higher: whether that order may be higher.
    """
    shown = scheme_notation(scheme)
    value = shown.quote(dict(scheme.starts)[slot]).replace("[n]", "[0]")
    line = f"start {shown.name(slot.name)}[{slot.offset}] = {value}"
    limit = f"at least order {order}" if may_be_higher else f"order {order} only"
    return f"with `{line}` the equation's solution is followed to {limit}"


def _order_left(conditions: OrderConditions, tree: Tree, bound: int) -> _OrderLeft | None:
    """The order that the errors on one tree leave, if it is less than `bound`."""
    errors = {slot: _start_error(conditions, slot, tree) for slot in conditions.slots}
    best = None
    for power in sorted({k for powers in errors.values() for k in powers}):
        if power >= bound + max(p.order for p in conditions.scheme.patterns):
            break
        slot = next(s for s in conditions.slots if power in errors[s])
        error = StartError(tree, power, errors, _errors_above(conditions, tree))
        order, may_be_higher = remaining_order(conditions, error, bound)
        if order < bound:
            bound = order
            best = _OrderLeft(max(order, 0), may_be_higher, slot)
    return best


def _errors_above(conditions: OrderConditions, tree: Tree) -> dict[Argument, Errors]:
    """(Right-hand side F, argument) -> the errors of the start lines on F'(tree)."""
    found: dict[Argument, Errors] = {}
    slots = conditions.slots
    for function, pattern in conditions.forest.pattern_of_function.items():
        for argument, name in enumerate(pattern.reads):
            if isinstance(tree, str):
                found[function, argument] = {slot: {} for slot in slots}
            elif conditions.forest.variable(tree) == name:
                above = (function, ((argument, tree),))
                found[function, argument] = {s: _start_error(conditions, s, above) for s in slots}
    return found


def _start_error(conditions: OrderConditions, slot: Slot, tree: Tree) -> PowerSeries:
    """The error of a start line on a tree; zero for a value without one."""
    if slot not in conditions.start_lines:
        return {}
    exact = conditions.solution_coefficient(slot, tree)
    return add(conditions.start_coefficient(slot, tree), exact, -1)
