"""What was derived from the text of a scheme, against its lines on numbers."""

from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from itertools import combinations
from random import Random
from typing import Any

from odenet.confirm.disagreement import Disagreement, NoNumbers
from odenet.confirm.matrices import determinant
from odenet.confirm.order import measure
from odenet.confirm.steps import WIDTH, RightHandSides, Run, compiled, numbers_of, rational
from odenet.derive import Derivation, Order
from odenet.model.expr import Slot
from odenet.model.scheme import Scheme
from odenet.model.schemes import library, library_scheme

SEED = 2018
PROBLEMS = 6  # that are tried for two that agree
DIGITS = 60
CLOSE = (
    1e-20  # relative, with so many digits: what is left of them after divisions by small numbers
)
TINY = 1e-100  # a complex step; nothing is lost by it


def confirm_derivation(
    derivation: Derivation, values: Mapping[str, Fraction | float] | None = None
) -> None:
    """Compare inverse, symmetry, volume and order with what the scheme's lines do.

    The order of a scheme of the library at its defaults is left to the tests.

    Args:
        derivation: of a scheme.
        values: of its constants, in place of their defaults.

    Raises:
        Disagreement: something is not as it was derived.
        NoNumbers: a line has something without a numerical model.
    """
    scheme, rng = derivation.scheme, Random(SEED)
    given = dict(values or {})
    for name, default in scheme.constants:
        if default is None and name not in given:
            given[name] = Fraction(rng.randint(50, 99), 101)
    for check in (_inverse, _symmetry, _volume):
        try:
            failure = check(derivation, given, Random(SEED))
        except ArithmeticError:  # a division by zero or a root without a value at these constants
            continue
        if failure is not None:
            raise Disagreement(failure, SEED, scheme.name)
    for claimed, constants in _orders(derivation, given):
        confirm_order(scheme, claimed, constants)


def confirm_order(scheme: Scheme, claimed: Order, values: Mapping[str, Fraction | float]) -> None:
    """Compare an order with measured slopes of the error.

    Two problems decide that agree with each other. Where errors do not settle on a slope, or so
    slowly that no quick measurement sees it, nothing is said.

    Raises:
        Disagreement: the errors fall slower or faster.
    """
    if claimed.value is None:
        return
    more = "or more" in str(claimed)
    seen: list[int] = []
    for seed in range(SEED, SEED + PROBLEMS):
        try:
            found = measure(scheme, claimed.value, values, Random(seed)).order
        except (NoNumbers, ArithmeticError):
            return
        if found is None:
            continue
        if found not in seen:
            seen.append(found)
        elif found == claimed.value or (more and found > claimed.value):
            return
        else:
            message = f"errors fall as h^{found}, but the order is said to be {claimed}"
            raise Disagreement(message, SEED, scheme.name)


def _orders(
    derivation: Derivation, values: Mapping[str, Any]
) -> Iterator[tuple[Order, Mapping[str, Any]]]:
    """The orders that are reported, with the constants they are for."""
    scheme = derivation.scheme
    shipped = scheme.name in library() and library_scheme(scheme.name) == scheme
    defaults = {name: None for name, _ in scheme.constants} or None
    if not shipped:
        yield derivation.accuracy, values if defaults is None else {}
    if defaults is not None and values:
        yield derivation.order_at(values), values


# --- inverse, symmetry, volume -------------------------------------------------------------------


def _after(scheme: Scheme) -> list[Slot]:
    return [Slot(slot.name, slot.offset + 1) for slot in scheme.slots]


def _step(scheme: Scheme, rates: RightHandSides, kind: Any, h: Any, values: Mapping) -> Run:
    numbers = numbers_of(scheme, kind, h, values)
    return compiled(scheme.updates, scheme.slots, _after(scheme), numbers, rates, kind)


def _drawn(scheme: Scheme, rng: Random) -> tuple[RightHandSides, list[float], float]:
    """Right-hand sides, all stored entries, and a step size."""
    rates = RightHandSides.draw(scheme, rng, rational)
    state = [rng.uniform(-1, 1) for _ in range(WIDTH * len(scheme.slots))]
    return rates, state, rng.uniform(0.2, 0.8)


def _distance(one: list[Any], other: list[Any]) -> float:
    """The largest difference, relative to the largest entry."""
    off = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return float(off / max(1, *(abs(a) for a in other)))


def _inverse(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """The inverse lines give back what the author's lines began with."""
    scheme, lines = derivation.scheme, derivation.inverse
    if lines is None or derivation.violated(values):
        return None
    with localcontext(Context(prec=DIGITS)):
        rates, state, h = _drawn(scheme, rng)
        rates, before = rates.of_kind(Decimal), [Decimal(x) for x in state]
        numbers = numbers_of(scheme, Decimal, Decimal(h), values)
        forward = _step(scheme, rates, Decimal, Decimal(h), values)
        backward = compiled(lines, _after(scheme), scheme.slots, numbers, rates, Decimal)
        off = _distance(backward(forward(before)), before)
    if off > CLOSE:
        return f"the inverse of a step gives back its values up to {off:.2g} only"
    return None


def _symmetry(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """A step with -h undoes a step with h, or does not, as it was derived."""
    scheme = derivation.scheme
    with localcontext(Context(prec=DIGITS)):
        rates, state, h = _drawn(scheme, rng)
        rates, before = rates.of_kind(Decimal), [Decimal(x) for x in state]
        forward, backward = (
            _step(scheme, rates, Decimal, sign * Decimal(h), values) for sign in (1, -1)
        )
        off = [
            _distance(mirror(backward(mirror(forward(before)))), before)
            for mirror in _mirrors(scheme)
        ]
    if derivation.symmetric and min(off) > CLOSE:
        return f"a step with -h gives back the values of a step with h up to {min(off):.2g} only"
    if not derivation.symmetric and scheme.uses_step_size and off[0] < CLOSE:
        return "a step with -h undoes a step with h, but is said not to"
    return None


def _mirrors(scheme: Scheme) -> Iterator[Any]:
    """What time running backwards can do to the stored values.

    First the newest of an unknown takes the place of its oldest. Where the scheme has unknowns of
    its own, which may hold an earlier value of another, then all exchanges of values.
    """
    slots = list(scheme.slots)
    plain = [
        slots.index(Slot(slot.name, min(scheme.history(slot.name)) - slot.offset)) for slot in slots
    ]
    choices = [plain]
    if scheme.aux:
        size = range(len(slots))
        for pairs in (c for n in (0, 1, 2) for c in combinations(combinations(size, 2), n)):
            places = list(size)
            for a, b in pairs:
                places[a], places[b] = places[b], places[a]
            choices.append(places)
    for places in choices:
        yield lambda state, places=places: [
            state[WIDTH * k + i] for k in places for i in range(WIDTH)
        ]


def _volume(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """The determinant of a step's Jacobian is what the derivation says, per entry."""
    scheme, volume = derivation.scheme, derivation.volume
    if volume is None:
        return None
    rates, state, h = _drawn(scheme, rng)
    known = numbers_of(scheme, float, h, values)
    stated = float(volume.evalf(subs={s: known[str(s)] for s in volume.free_symbols}))
    step = _step(scheme, rates.of_kind(complex), complex, complex(h), values)
    columns = []
    for k in range(len(state)):
        moved = [complex(x, TINY * (i == k)) for i, x in enumerate(state)]
        columns.append([x.imag / TINY for x in step(moved)])
    found = abs(determinant(columns)) ** (1 / WIDTH)
    if abs(found - stated) > 1e-6 * max(1.0, stated):
        return f"a step changes volume by {found:.6g} per value, and not by {stated:.6g}"
    return None
