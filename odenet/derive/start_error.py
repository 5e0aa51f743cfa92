"""What the start lines do to the order: an error that is made once, and carried along.

An error h^q in the values of the beginning costs nothing where the step forgets it, moves the
solution by h^q where it has a part in the eigenvalue 1 of the one-step matrix at h = 0, and counts
in full where the unknown itself oscillates with it. What is forgotten has entered right-hand sides
in the meantime, which h multiplies.
"""

from dataclasses import dataclass

from odenet.derive.growth import growth
from odenet.derive.h_series import NoSeries, Number, Powers, add, multiply
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.text import notation
from odenet.derive.trees import Key, moving
from odenet.model.expr import Slot


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
    shown, slot = notation(conditions.scheme), reached.slot
    value = shown.quote(conditions.starts[slot]).replace("[n]", "[0]")
    line = f"start {shown.name(slot.name)}[{slot.offset}] = {value}"
    limit = f"at least order {reached.order}" if reached.at_least else f"order {reached.order} only"
    return f"with `{line}` the equation's solution is followed to {limit}"


def _reached(conditions: OrderConditions, key: Key, below: int) -> _Reached | None:
    """The order that the errors on one tree leave, if it is below another."""
    off = {slot: _off(conditions, slot, key) for slot in conditions.slots}
    best = None
    for power in sorted({k for powers in off.values() for k in powers}):
        if power >= below + max(p.order for p in conditions.scheme.patterns):
            break
        slot = next(s for s in conditions.slots if s in conditions.starts and power in off[s])
        found = _effect(conditions, key, off, power)
        if found is not None and found[0] < below:
            below = found[0]
            best = _Reached(max(found[0], 0), found[1], slot)
    return best


def _off(conditions: OrderConditions, slot: Slot, key: Key) -> Powers:
    """How far a start line is from the solution."""
    if slot not in conditions.starts:
        return {}
    return add(conditions.begin(slot, key), conditions.stored(slot, key), -1)


def _effect(
    conditions: OrderConditions, key: Key, off: dict[Slot, Powers], power: int
) -> tuple[int, bool]:
    """The order that an error of size h^power leaves, and whether it may be more."""
    slots = conditions.slots
    size = len(slots)
    first = [off[slot].get(power, 0) for slot in slots]
    now = [
        i for i, s in enumerate(slots) if s.name in conditions.forest.of_variable and not s.offset
    ]
    degree = growth(conditions.matrix(), 1, first, range(size), now)
    if degree is not None:
        return power - degree, False
    following = [
        _joint(conditions, key, off, power, function, place)
        for function, pattern in conditions.forest.of_function.items()
        for place, name in enumerate(pattern.reads)
        if isinstance(key, str) or conditions.forest.variable(key) == name
    ]
    orders = []
    for matrix, start in following:
        for block in (1, 2, 3):
            places = range(block * size, (block + 1) * size)
            seen = [block * size + i for i in now]
            degree = growth(matrix, 4, start, places, seen)
            if degree is not None:
                orders.append(power + (0 if block == 2 else 1) - degree)
    return (min(orders), False) if orders else (power + 2, True)


def _joint(
    conditions: OrderConditions,
    key: Key,
    off: dict[Slot, Powers],
    power: int,
    function: str,
    place: int,
) -> tuple[list[list[Number]], list[Number]]:
    """Errors on a tree t at h^power and h^(power+1), and those on F'(t): matrix and beginning."""
    slots = conditions.slots
    above: Key = (function, ((place, key),)) if not isinstance(key, str) else key
    later = {slot: _off(conditions, slot, above) if above != key else {} for slot in slots}
    zero = [[0] * len(slots) for _ in slots]
    same, next_ = conditions.matrix(0), conditions.matrix(1)
    into = [_derivative(conditions, function, place, k) for k in (0, 1)]
    blocks = [
        [same, zero, zero, zero],
        [next_, same, zero, zero],
        [into[0], zero, same, zero],
        [into[1], into[0], next_, same],
    ]
    matrix = [
        [entry for block in row for entry in block[i]] for row in blocks for i in range(len(slots))
    ]
    start = [
        series[slot].get(k, 0)
        for series, k in ((off, power), (off, power + 1), (later, power), (later, power + 1))
        for slot in slots
    ]
    return matrix, start


def _derivative(
    conditions: OrderConditions, function: str, place: int, power: int
) -> list[list[Number]]:
    """How a step depends on the stored values through one argument of a right-hand side."""
    read = conditions.reader.read
    rows = []
    for to in conditions.slots:
        row: dict[Slot, Number] = {}
        for index, factor in conditions.after[to].items():
            if isinstance(index, int) and conditions.algebra.atoms[index].function == function:
                outer = read(factor)
                for slot, inner in conditions.algebra.atoms[index].arguments[place].items():
                    if isinstance(slot, Slot):
                        both = multiply(outer, read(inner), power)
                        row[slot] = row.get(slot, 0) + both.get(power, 0)
        rows.append([row.get(slot, 0) for slot in conditions.slots])
    return rows
