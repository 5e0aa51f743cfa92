"""What was derived from the text of a scheme, against its lines on numbers."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import partial
from itertools import combinations
from math import exp, prod
from random import Random
from typing import Any

from odenet.confirm.disagreement import Disagreement, NoNumbers
from odenet.confirm.matrices import eigenvalues
from odenet.confirm.order import measure
from odenet.confirm.steps import WIDTH, RightHandSides, Run, compiled, numbers_of, rational
from odenet.derive import Derivation, Order
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Scheme

SEED = 2018
PROBLEMS = 6  # that are tried until two agree
ROUNDING_MARGIN = 100  # times what rounded coefficients leave over: errors may be as large
VISIBLE_RESIDUAL = 0.02  # of a condition: several times h in the finest measurements
# Decimal digits, in turn: a disagreement that goes away with more of them was rounding, after
# divisions by the smallest number a float can be, or by products of such numbers.
DIGITS = (60, 2000)
CLOSE = 1e-20  # relative: what is left of the digits after divisions by small numbers
CERTAINLY_EQUAL = Decimal(10) ** -1200  # with the most digits: what is not as close as this differs
COMPLEX_STEP = 1e-100  # a complex step; nothing is lost by it


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

    The verdict needs two random problems with the same slope. There is none if slopes do not
    settle, or if an order condition that is nearly satisfied would show at much smaller h only.

    Raises:
        Disagreement: the errors fall slower or faster.
    """
    if claimed.value is None:
        return
    unbounded = claimed.at_least or _may_be_invisible(scheme, claimed, values)
    seen: list[int] = []
    for seed in range(SEED, SEED + PROBLEMS):
        try:
            rng, floor = Random(seed), ROUNDING_MARGIN * claimed.rounding
            found = measure(scheme, claimed.value, values, rng, floor).order
        except (NoNumbers, ArithmeticError):
            return
        if found is None:
            continue
        found = max(found, 0)  # errors that grow are those of a step that does not converge
        if found not in seen:
            seen.append(found)
        elif found == claimed.value or (unbounded and found > claimed.value):
            return
        else:
            message = f"errors fall as h^{found}, but the order is said to be {claimed}"
            raise Disagreement(message, SEED, scheme.name)


def _may_be_invisible(scheme: Scheme, claimed: Order, values: Mapping[str, Any]) -> bool:
    """Whether the defect of the order condition that fails may be too small to be measured.

    It is taken for that only if the scheme's numbers can produce one so small: a condition is a
    polynomial in them.
    """
    if not 0 < claimed.residual < VISIBLE_RESIDUAL:
        return False
    lines = (*(u.value for u in scheme.updates), *(n for _, n in (*scheme.lets, *scheme.constants)))
    numbers = {n.value for line in lines if line for n in line.walk() if isinstance(n, expr.Number)}
    finest = 1
    for number in numbers | {Fraction(str(value)) for value in values.values()}:
        finest *= max(abs(number.numerator), 1) * number.denominator
    return finest**2 >= 1 / claimed.residual


def _orders(
    derivation: Derivation, values: Mapping[str, Any]
) -> Iterator[tuple[Order, Mapping[str, Any]]]:
    """The orders that are reported, with the constants they are for."""
    scheme = derivation.scheme
    shipped = scheme.name in library_names() and library_scheme(scheme.name) == scheme
    defaults = {name: None for name, _ in scheme.constants} or None
    used = {name: value for name, value in derivation.values.items() if name != "h"}
    if not shipped:
        yield derivation.accuracy, used or (values if defaults is None else {})
    if defaults is not None and values and (shipped or values != used):
        yield derivation.order_at(values), values


# --- inverse, symmetry, volume -------------------------------------------------------------------


def _after(scheme: Scheme) -> list[Slot]:
    return [Slot(slot.name, slot.offset + 1) for slot in scheme.slots]


def _step(
    scheme: Scheme, rates: RightHandSides, kind: Any, h: Any, values: Mapping[str, Any]
) -> Run:
    numbers = numbers_of(scheme, kind, h, values)
    return compiled(scheme.updates, scheme.slots, _after(scheme), numbers, rates, kind)


def _drawn(scheme: Scheme, rng: Random) -> tuple[RightHandSides, list[float], float]:
    """Right-hand sides, all stored entries, and a step size."""
    rates = RightHandSides.draw(scheme, rng, rational)
    state = [rng.uniform(-1, 1) for _ in range(WIDTH * len(scheme.slots))]
    return rates, state, rng.uniform(0.2, 0.8)


def _in_decimals(
    rates: RightHandSides, state: list[float], h: float
) -> tuple[RightHandSides, list[Decimal], Decimal]:
    return rates.of_kind(Decimal), [Decimal(x) for x in state], Decimal(h)


def _distance(one: list[Decimal], other: list[Decimal]) -> Decimal:
    """The largest difference, relative to the largest entry."""
    off = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return off / max(1, *(abs(a) for a in other))


def _inverse(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """The inverse lines give back what the author's lines began with."""
    scheme, lines = derivation.scheme, derivation.inverse
    if lines is None or derivation.violated(values):
        return None
    drawn, off = _drawn(scheme, rng), Decimal(0)
    for digits in DIGITS:
        with localcontext(Context(prec=digits)):
            rates, before, h = _in_decimals(*drawn)
            numbers = numbers_of(scheme, Decimal, h, values)
            forward = _step(scheme, rates, Decimal, h, values)
            backward = compiled(lines, _after(scheme), scheme.slots, numbers, rates, Decimal)
            off = _distance(backward(forward(before)), before)
        if off <= CLOSE:
            return None
    return f"the inverse of a step gives back its values up to {off:.2g} only"


def _symmetry(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """A step with -h undoes a step with h, or does not, as it was derived."""
    scheme = derivation.scheme
    if not derivation.symmetric and not scheme.uses_step_size:
        return None
    if not derivation.symmetric:  # which is said of generic constants: special ones may make it so
        values = {name: Fraction(rng.randint(50, 99), 101) for name in values}
    drawn, off = _drawn(scheme, rng), Decimal(0)
    for digits in DIGITS:
        with localcontext(Context(prec=digits)):
            off = _undone(scheme, *_in_decimals(*drawn), values, all_=derivation.symmetric)
        if (off <= CLOSE) == derivation.symmetric:
            return None
    if derivation.symmetric:
        return f"a step with -h gives back the values of a step with h up to {off:.2g} only"
    same = off < CERTAINLY_EQUAL
    return "a step with -h undoes a step with h, but is said not to" if same else None


def _undone(
    scheme: Scheme,
    rates: RightHandSides,
    before: list[Decimal],
    h: Decimal,
    values: Mapping[str, Any],
    all_: bool,
) -> Decimal:
    """How far a step with -h is from undoing a step with h, for the plain mirror or the best."""
    forward, backward = (_step(scheme, rates, Decimal, sign * h, values) for sign in (1, -1))
    mirrors = list(_mirrors(scheme)) if all_ else [next(_mirrors(scheme))]
    return min(_distance(mirror(backward(mirror(forward(before)))), before) for mirror in mirrors)


def _mirrors(scheme: Scheme) -> Iterator[Callable[[list[Decimal]], list[Decimal]]]:
    """Maps of the stored values that may reverse time.

    First each unknown's history in reverse. Where the scheme has unknowns of its own, which may
    hold an earlier value of another, then all exchanges of values.
    """
    slots = list(scheme.slots)
    plain = [
        slots.index(Slot(slot.name, min(scheme.stored_offsets(slot.name)) - slot.offset))
        for slot in slots
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
        yield partial(_exchanged, places)


def _exchanged(places: list[int], state: list[Decimal]) -> list[Decimal]:
    return [state[WIDTH * k + i] for k in places for i in range(WIDTH)]


def _volume(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """The determinant of a step's Jacobian is what the derivation says, per entry."""
    scheme, volume = derivation.scheme, derivation.scale
    if derivation.shears is None:
        return None
    rates, state, h = _drawn(scheme, rng)
    known = numbers_of(scheme, float, h, values)
    stated = float(volume.evalf(subs={s: known[str(s)] for s in volume.free_symbols}))
    logarithm = compiled(derivation.shear_lines, scheme.slots, derivation.exponents, known,
                         rates.of_kind(float), float)  # fmt: skip
    stated *= exp(sum(logarithm(state)) / WIDTH)
    step = _step(scheme, rates.of_kind(complex), complex, complex(h), values)
    columns: list[list[float]] = []
    for k in range(len(state)):
        moved = [complex(x, COMPLEX_STEP * (i == k)) for i, x in enumerate(state)]
        columns.append([x.imag / COMPLEX_STEP for x in step(moved)])
    found = prod(abs(value) for value in eigenvalues(columns)) ** (1 / WIDTH)
    largest = prod(sum(abs(x) ** 2 for x in column) ** 0.5 for column in columns) ** (1 / WIDTH)
    if max(1.0, stated) < 1e-8 * largest:  # the determinant is lost to cancellation
        return None
    if abs(found - stated) > 1e-6 * max(1.0, stated):
        return f"a step changes volume by {found:.6g} per value, and not by {stated:.6g}"
    return None
