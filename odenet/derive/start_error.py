"""What the start lines do to the order: an error that is made once, and carried along.

An error h^q in the values of the beginning costs nothing where the step forgets it, moves the
solution by h^q where it has a part in the eigenvalue 1 of the one-step matrix at h = 0, and counts
in full where the unknown itself oscillates with it. What is forgotten, or swings unseen, has
entered right-hand sides in the meantime (`start_effect.py`).
"""

from dataclasses import dataclass

from odenet.derive.h_series import NoSeries, Powers, add
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.start_effect import StartError, effect
from odenet.derive.text import notation
from odenet.derive.trees import Key, moving
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Scheme


@dataclass(frozen=True)
class _Reached:
    """The order that is left, whether it may be more, and the value that is off."""

    order: int
    at_least: bool
    slot: Slot


def start_note(conditions: OrderConditions, order: int) -> str:
    """Whether the values before the first step are too far off for the order of the steps."""
    reached = None
    for weight in range(order + conditions.lightest + 1):
        for key in conditions.forest.keys(weight):
            if moving(key):
                continue
            try:
                found = _reached(conditions, key, order if reached is None else reached.order)
            except NoSeries as error:
                place = notation(conditions.scheme).quote(error.node) if error.node else "a start"
                return f"nothing is known of the start from `{place}`: {error.reason}"
            reached = found or reached
    if reached is None:
        return ""
    return followed(conditions.scheme, reached.slot, reached.order, reached.at_least)


def followed(scheme: Scheme, slot: Slot, order: int, at_least: bool = False) -> str:
    """The note on the start line of a value that leaves an order."""
    shown = notation(scheme)
    value = shown.quote(dict(scheme.starts)[slot]).replace("[n]", "[0]")
    line = f"start {shown.name(slot.name)}[{slot.offset}] = {value}"
    limit = f"at least order {order}" if at_least else f"order {order} only"
    return f"with `{line}` the equation's solution is followed to {limit}"


def _reached(conditions: OrderConditions, key: Key, below: int) -> _Reached | None:
    """The order that the errors on one tree leave, if it is below another."""
    off = {slot: _off(conditions, slot, key) for slot in conditions.slots}
    best = None
    for power in sorted({k for powers in off.values() for k in powers}):
        if power >= below + max(p.order for p in conditions.scheme.patterns):
            break
        slot = next(s for s in conditions.slots if s in conditions.starts and power in off[s])
        found = effect(conditions, StartError(key, power, off, _above(conditions, key)), below)
        if found[0] < below:
            below = found[0]
            best = _Reached(max(found[0], 0), found[1], slot)
    return best


def _above(conditions: OrderConditions, key: Key) -> dict[tuple[str, int], dict[Slot, Powers]]:
    """(Right-hand side, argument) -> how far the start lines are off on the tree above a tree."""
    found: dict[tuple[str, int], dict[Slot, Powers]] = {}
    for function, pattern in conditions.forest.of_function.items():
        for place, name in enumerate(pattern.reads):
            if isinstance(key, str):
                found[function, place] = {slot: {} for slot in conditions.slots}
            elif conditions.forest.variable(key) == name:
                tree = (function, ((place, key),))
                found[function, place] = {s: _off(conditions, s, tree) for s in conditions.slots}
    return found


def _off(conditions: OrderConditions, slot: Slot, key: Key) -> Powers:
    """How far a start line is from the solution."""
    if slot not in conditions.starts:
        return {}
    return add(conditions.begin(slot, key), conditions.stored(slot, key), -1)
