"""The order that an error in the values of the beginning leaves.

To first order an error goes over in a step as the one-step matrix says, and enters right-hand
sides by F', which h multiplies: what alternates averages out there. To second order it does not:
F''(e, e) of an error that swings without dying out has a mean, and moves the solution by h^(2q)
where e is of size h^q (Hairer, Lubich & Wanner, Geometric Numerical Integration, XV.3, on the
parasitic components of multistep methods). An error of size 1 enters right-hand sides in full.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from odenet.derive.h_series import Number, Powers, multiply
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.power_bounded import NEAR, Matrix, eigenvalues, growth, growth_with
from odenet.derive.trees import Key
from odenet.model.expressions.expr import Slot

Place = tuple[str, int]  # a right-hand side and one of its arguments


@dataclass(frozen=True)
class StartError:
    """How far the values of the beginning are off, on one tree.

    Args:
        key: the tree t.
        power: q, the power of h that is looked at.
        off: the coefficients on t.
        above: those on the tree F'(t), for every argument in which t can occur.
    """

    key: Key
    power: int
    off: Mapping[Slot, Powers]
    above: Mapping[Place, Mapping[Slot, Powers]]


def effect(conditions: OrderConditions, error: StartError, below: int) -> tuple[int, bool]:
    """The order that is left, and whether it may be more; exact where it is below a number."""
    slots = conditions.slots
    first = _at(conditions, error.off, error.power)
    degree = growth(conditions.matrix(), 1, first, range(len(slots)), _now(conditions))
    if degree is not None:
        return error.power - degree, False
    left = _linear(conditions, error)
    return min(left, _squared(conditions, error, first, min(below, left[0])) or left)


def _at(conditions: OrderConditions, off: Mapping[Slot, Powers], power: int) -> list[Number]:
    return [off[slot].get(power, 0) for slot in conditions.slots]


def _now(conditions: OrderConditions) -> list[int]:
    """Where the newest values of the pattern's unknowns are."""
    names = conditions.forest.of_variable
    return [i for i, s in enumerate(conditions.slots) if s.name in names and not s.offset]


def _powers(conditions: OrderConditions) -> range:
    """The powers of h, above that of an error, with which it may reach the solution."""
    return range(max(p.order for p in conditions.scheme.patterns) + 1)


def _linear(conditions: OrderConditions, error: StartError) -> tuple[int, bool]:
    """What errors on t, and those that follow from them on F'(t), do to the solution."""
    size, powers = len(conditions.slots), _powers(conditions)
    blocks = 2 * len(powers)
    orders: list[int] = []
    for place, above in error.above.items():
        matrix = _joint(conditions, place)
        start = [x for off in (error.off, above) for k in powers
                 for x in _at(conditions, off, error.power + k)]  # fmt: skip
        for block in range(1, blocks):
            places = range(block * size, (block + 1) * size)
            seen = [block * size + i for i in _now(conditions)]
            degree = growth(matrix, blocks, start, places, seen)
            if degree is not None:
                orders.append(error.power + block % len(powers) - degree)
    return (min(orders), False) if orders else (error.power + 2, True)


def _joint(conditions: OrderConditions, place: Place) -> Matrix:
    """One step of errors on t at several powers of h, and of those on F'(t) after them."""
    powers = _powers(conditions)
    own = _lower([conditions.matrix(k) for k in powers])
    into = _lower([_derivative(conditions, place, k) for k in powers])
    zero = _zeros(len(conditions.slots), len(conditions.slots))
    blocks = [[*row, *[zero] * len(row)] for row in own]
    blocks += [[*a, *b] for a, b in zip(into, own, strict=True)]
    return _whole(blocks)


def _derivative(conditions: OrderConditions, place: Place, power: int) -> Matrix:
    """How a step depends on the stored values through one argument of a right-hand side."""
    uses = [_uses(conditions, to, place) for to in conditions.slots]
    return [
        [
            sum(multiply(outer, inner[slot], power).get(power, 0) for outer, inner in row)
            for slot in conditions.slots
        ]
        for row in uses
    ]


def _uses(
    conditions: OrderConditions, to: Slot, place: Place
) -> list[tuple[Powers, dict[Slot, Powers]]]:
    """The factors of a right-hand side in a value, with those of stored values in its argument."""
    function, argument = place
    read = conditions.writer.read
    found: list[tuple[Powers, dict[Slot, Powers]]] = []
    for index, factor in conditions.after[to].items():
        if isinstance(index, int) and conditions.algebra.atoms[index].function == function:
            form = conditions.algebra.atoms[index].arguments[argument]
            inner = {s: read(form[s]) if s in form else {} for s in conditions.slots}
            found.append((read(factor), inner))
    return found


# --- to second order -----------------------------------------------------------------------------


def _squared(
    conditions: OrderConditions, error: StartError, first: list[Number], below: int
) -> tuple[int, bool] | None:
    """What the mean of F''(e, e) leaves, where that is below an order; None where it is not.

    For an error of size 1 all further derivatives count as much: where the second ones cancel,
    nothing better is said than that.
    """
    values = eigenvalues(conditions.matrix())
    swings = any(abs(v) > 1 - NEAR and abs(v - 1) > NEAR for v in values)
    if 2 * error.power + (0 if swings else 1) >= below:
        return None
    size, powers = len(first), _powers(conditions)
    start = [a * b for a, b in product(first, first)] + [0] * (size * len(powers))
    all_values = [a * b for a, b in product(values, values)] + values * len(powers)
    orders: list[int] = []
    for place in error.above:
        matrix = _squares(conditions, place)
        for k in powers:
            begin = size * size + k * size
            seen = [begin + i for i in _now(conditions)]
            degree = growth_with(matrix, all_values, start, range(begin, begin + size), seen)
            if degree is not None:
                orders.append(2 * error.power + k - degree)
    if orders:
        return min(orders), error.power > 0
    undamped = [_reads(conditions, place, values, first) for place in error.above]
    return (0, True) if not error.power and any(undamped) else None


def _squares(conditions: OrderConditions, place: Place) -> Matrix:
    """One step of e ⊗ e, and of what F''(e, e) adds to the values at several powers of h."""
    powers, once = _powers(conditions), conditions.matrix()
    size = len(once)
    pairs = list(product(range(size), range(size)))
    twice = [[once[i][k] * once[j][m] for k, m in pairs] for i, j in pairs]
    blocks = [[twice, *[_zeros(size * size, size)] * len(powers)]]
    for i, own in enumerate(_lower([conditions.matrix(k) for k in powers])):
        blocks.append([_second_derivative(conditions, place, i), *own])
    return _whole(blocks)


def _second_derivative(conditions: OrderConditions, place: Place, power: int) -> Matrix:
    """What F''(e, e) adds to each value, for e in the stored values, at a power of h."""
    pairs = list(product(range(len(conditions.slots)), repeat=2))
    rows: Matrix = []
    for to in conditions.slots:
        uses = [
            (outer.get(power, 0), [_near(inner, slot) for slot in conditions.slots])
            for outer, inner in _uses(conditions, to, place)
        ]
        rows.append([sum(factor * near[i] * near[j] for factor, near in uses) for i, j in pairs])
    return rows


def _reads(
    conditions: OrderConditions, place: Place, values: list[Number], first: list[Number]
) -> bool:
    """Whether an argument of a right-hand side is off by an error for ever."""
    matrix, last = [[*row, 0] for row in conditions.matrix()], [len(conditions.slots)]
    for to in conditions.slots:
        for _, inner in _uses(conditions, to, place):
            watched = [*matrix, [*(_near(inner, slot) for slot in conditions.slots), 0]]
            if growth_with(watched, [*values, 0], [*first, 0], last, last) is not None:
                return True
    return False


def _near(factors: Mapping[Slot, Powers], slot: Slot) -> Number:
    """The factor of a stored value at h = 0."""
    return factors[slot].get(0, 0)


def _lower(matrices: list[Matrix]) -> list[list[Matrix]]:
    """The blocks with one matrix on the diagonal, the next below it, and so on."""
    zero = _zeros(len(matrices[0]), len(matrices[0][0]))
    places = range(len(matrices))
    return [[matrices[i - j] if j <= i else zero for j in places] for i in places]


def _zeros(rows: int, columns: int) -> Matrix:
    return [[0] * columns for _ in range(rows)]


def _whole(blocks: list[list[Matrix]]) -> Matrix:
    """The matrix that is made of blocks."""
    return [
        [entry for block in row for entry in block[i]] for row in blocks for i in range(len(row[0]))
    ]
