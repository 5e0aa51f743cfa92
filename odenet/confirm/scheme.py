"""The check of what was derived from a scheme against its lines, run on random numbers."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import partial
from itertools import combinations
from math import exp, prod
from random import Random
from typing import Any

from odenet.confirm.disagreement import Disagreement, NotEvaluable
from odenet.confirm.matrices import eigenvalues
from odenet.confirm.measured_order import measure_slopes
from odenet.confirm.steps import (
    ENTRIES,
    EntryFunction,
    RightHandSides,
    compile_lines,
    constant_values,
    rational,
)
from odenet.derive import Derivation, Order
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from odenet.model.typed.scheme import Scheme

FIRST_SEED = 2018  # the next problems have the next seeds
MOST_PROBLEMS = 6  # problems that are tried until the measured orders of two agree
ROUNDING_MARGIN = 100  # errors due to rounded coefficients may be this times their residual
VISIBLE_RESIDUAL = 0.02  # a smaller residual of an order condition may not show in measurements
# Decimal digits. If numbers disagree with few digits but not with many, the cause was rounding,
# after divisions by numbers as small as a float can be.
PRECISIONS = (60, 2000)
# Leaves room for rounding errors that divisions by small numbers magnify.
RELATIVE_TOLERANCE = 1e-20
CERTAINLY_EQUAL = Decimal(10) ** -1200  # relative, with the most digits
COMPLEX_STEP = 1e-100  # for derivatives by complex steps, which have no cancellation


def confirm_derivation(
    derivation: Derivation, values: Mapping[str, Fraction | float] | None = None
) -> None:
    """Compare inverse, symmetry, volume and order with what the scheme's lines do.

    The orders of library schemes with default constants are not measured here, but in the tests.

    Args:
        derivation: the derivation of a scheme.
        values: the values of the scheme's constants, in place of their defaults.

    Raises:
        Disagreement: the numbers contradict the derivation.
        NotEvaluable: a line contains something that cannot be evaluated numerically.
    """
    scheme, rng = derivation.scheme, Random(FIRST_SEED)
    known_values = dict(values or {})
    for name, default in scheme.constants:
        if default is None and name not in known_values:
            known_values[name] = Fraction(rng.randint(50, 99), 101)
    for check in (_inverse_failure, _symmetry_failure, _volume_failure):
        try:
            failure = check(derivation, known_values, Random(FIRST_SEED))
        except ArithmeticError:  # division by zero or root of a negative number at these constants
            continue
        if failure is not None:
            raise Disagreement(failure, FIRST_SEED, scheme.name)
    for claimed, constants in _reported_orders(derivation, known_values):
        confirm_order(scheme, claimed, constants)


def confirm_order(scheme: Scheme, claimed: Order, values: Mapping[str, Fraction | float]) -> None:
    """Compare an order with the measured order on random problems.

    A measured order counts only if two problems give it. Nothing is concluded if the slopes of the
    errors do not converge, or if the residual of an order condition is so small that it would show
    only at much smaller h.

    Args:
        scheme: the scheme, as parsed.
        claimed: the derived order.
        values: the values of the scheme's constants.

    Raises:
        Disagreement: the errors fall slower or faster than claimed.
    """
    if claimed.value is None:
        return
    may_be_higher = claimed.may_be_higher or _may_be_invisible(scheme, claimed, values)
    measured_orders: list[int] = []
    for seed in range(FIRST_SEED, FIRST_SEED + MOST_PROBLEMS):
        try:
            rng, rounding_floor = Random(seed), ROUNDING_MARGIN * claimed.rounding_residual
            measured = measure_slopes(scheme, claimed.value, values, rng, rounding_floor).order
        except (NotEvaluable, ArithmeticError):
            return
        if measured is None:
            continue
        measured = max(measured, 0)  # errors that grow are those of a step that does not converge
        if measured not in measured_orders:
            measured_orders.append(measured)
        elif measured == claimed.value or (may_be_higher and measured > claimed.value):
            return
        else:
            message = f"errors fall as h^{measured}, but the order is said to be {claimed}"
            raise Disagreement(message, FIRST_SEED, scheme.name)


def _may_be_invisible(scheme: Scheme, claimed: Order, values: Mapping[str, Any]) -> bool:
    """Whether the residual of the first violated order condition may be too small to be measured.

    A condition is a polynomial in the scheme's numbers. So a tiny residual is credible only if
    these have large enough numerators and denominators; else the claimed order is taken to be
    wrong.
    """
    if not 0 < claimed.residual < VISIBLE_RESIDUAL:
        return False
    lines = (*(u.value for u in scheme.updates), *(n for _, n in (*scheme.lets, *scheme.constants)))
    numbers = {n.value for line in lines if line for n in line.walk() if isinstance(n, expr.Number)}
    size_product = 1
    for number in numbers | {Fraction(str(value)) for value in values.values()}:
        size_product *= max(abs(number.numerator), 1) * number.denominator
    return size_product**2 >= 1 / claimed.residual


def _reported_orders(
    derivation: Derivation, values: Mapping[str, Any]
) -> Iterator[tuple[Order, Mapping[str, Any]]]:
    """The orders that are reported to the user, each with the values of the constants it is for.

    That of a library scheme with its default constants is not among them: the tests measure it.
    """
    scheme = derivation.scheme
    is_from_library = scheme.name in library_names() and library_scheme(scheme.name) == scheme
    has_constants = bool(scheme.constants)
    constants_in_use = {name: value for name, value in derivation.values.items() if name != "h"}
    if not is_from_library:
        yield derivation.accuracy, constants_in_use or ({} if has_constants else values)
    if has_constants and values and (is_from_library or values != constants_in_use):
        yield derivation.order_at(values), values


# --- inverse, symmetry, volume -------------------------------------------------------------------


def _new_slots(scheme: Scheme) -> list[Slot]:
    """The slots of the stored values after a step."""
    return [Slot(slot.name, slot.offset + 1) for slot in scheme.slots]


def _step_function(
    scheme: Scheme, rates: RightHandSides, dtype: Any, h: Any, values: Mapping[str, Any]
) -> EntryFunction:
    """One step as a function from the entries of all stored values to the new ones."""
    numbers = constant_values(scheme, dtype, h, values)
    return compile_lines(scheme.updates, scheme.slots, _new_slots(scheme), numbers, rates, dtype)


def _random_step(scheme: Scheme, rng: Random) -> tuple[RightHandSides, list[float], float]:
    """Random right-hand sides, entries of all stored values, and step size."""
    rates = RightHandSides.draw(scheme, rng, rational)
    state = [rng.uniform(-1, 1) for _ in range(ENTRIES * len(scheme.slots))]
    return rates, state, rng.uniform(0.2, 0.8)


def _in_decimals(
    rates: RightHandSides, state: list[float], h: float
) -> tuple[RightHandSides, list[Decimal], Decimal]:
    return rates.converted(Decimal), [Decimal(x) for x in state], Decimal(h)


def _distance(one: list[Decimal], other: list[Decimal]) -> Decimal:
    """The largest difference of two entries, relative to the largest entry."""
    difference = max(abs(a - b) for a, b in zip(one, other, strict=True))
    return difference / max(1, *(abs(a) for a in other))


def _inverse_failure(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """A sentence if the lines of the inverse do not give back the values before a step."""
    scheme, lines = derivation.scheme, derivation.inverse
    if lines is None or derivation.violated_conditions(values):
        return None
    random_step, error = _random_step(scheme, rng), Decimal(0)
    for digits in PRECISIONS:
        with localcontext(Context(prec=digits)):
            rates, before, h = _in_decimals(*random_step)
            numbers = constant_values(scheme, Decimal, h, values)
            forward = _step_function(scheme, rates, Decimal, h, values)
            new_slots = _new_slots(scheme)
            backward = compile_lines(lines, new_slots, scheme.slots, numbers, rates, Decimal)
            error = _distance(backward(forward(before)), before)
        if error <= RELATIVE_TOLERANCE:
            return None
    return f"the inverse of a step gives back its values up to {error:.2g} only"


def _symmetry_failure(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """A sentence if a step with -h undoes one with h, contrary to the derivation, or vice versa."""
    scheme = derivation.scheme
    if not derivation.symmetric and not scheme.uses_step_size:
        return None
    if not derivation.symmetric:  # asymmetry is claimed only for almost all constants
        values = {name: Fraction(rng.randint(50, 99), 101) for name in values}
    random_step, error = _random_step(scheme, rng), Decimal(0)
    for digits in PRECISIONS:
        with localcontext(Context(prec=digits)):
            step = _in_decimals(*random_step)
            error = _reversal_error(scheme, *step, values, try_all_mirrors=derivation.symmetric)
        if (error <= RELATIVE_TOLERANCE) == derivation.symmetric:
            return None
    if derivation.symmetric:
        return f"a step with -h gives back the values of a step with h up to {error:.2g} only"
    is_undone = error < CERTAINLY_EQUAL
    return "a step with -h undoes a step with h, but is said not to" if is_undone else None


def _reversal_error(
    scheme: Scheme,
    rates: RightHandSides,
    before: list[Decimal],
    h: Decimal,
    values: Mapping[str, Any],
    try_all_mirrors: bool,
) -> Decimal:
    """The error of the values after a step with h and one with -h.

    Between the steps the stored values are permuted, as they change places when time runs
    backwards.

    Args:
        scheme: the scheme, as parsed.
        rates: the right-hand sides.
        before: entries of all stored values.
        h: step size.
        values: the values of the scheme's constants.
        try_all_mirrors: whether the best of all permutations counts, or the first one.
    """
    forward, backward = (_step_function(scheme, rates, Decimal, x, values) for x in (h, -h))
    mirrors = list(_mirrors(scheme)) if try_all_mirrors else [next(_mirrors(scheme))]
    return min(_distance(mirror(backward(mirror(forward(before)))), before) for mirror in mirrors)


def _mirrors(scheme: Scheme) -> Iterator[Callable[[list[Decimal]], list[Decimal]]]:
    """Permutations of the stored values, tried as those by which time is reversed.

    The first reverses the order of the values of each unknown. If the scheme has unknowns of its
    own, which may hold an earlier value of another unknown, all exchanges of up to two pairs of
    values follow.
    """
    slots = list(scheme.slots)
    reversed_slots = [Slot(s.name, min(scheme.stored_offsets(s.name)) - s.offset) for s in slots]
    choices = [list(map(slots.index, reversed_slots))]
    if scheme.aux:
        size = range(len(slots))
        for pairs in (c for n in (0, 1, 2) for c in combinations(combinations(size, 2), n)):
            permutation = list(size)
            for a, b in pairs:
                permutation[a], permutation[b] = permutation[b], permutation[a]
            choices.append(permutation)
    for permutation in choices:
        yield partial(_permuted, permutation)


def _permuted(permutation: list[int], state: list[Decimal]) -> list[Decimal]:
    return [state[ENTRIES * k + i] for k in permutation for i in range(ENTRIES)]


def _volume_failure(derivation: Derivation, values: Mapping[str, Any], rng: Random) -> str | None:
    """A sentence if the determinant of a step's Jacobian is not what the derivation says."""
    scheme, factor = derivation.scheme, derivation.constant_volume_factor
    if derivation.shears is None:
        return None
    rates, state, h = _random_step(scheme, rng)
    numbers = constant_values(scheme, float, h, values)
    expected = float(factor.evalf(subs={s: numbers[str(s)] for s in factor.free_symbols}))
    lines, exponents = derivation.shear_lines, derivation.volume_exponents
    float_rates = rates.converted(float)
    log_volume = compile_lines(lines, scheme.slots, exponents, numbers, float_rates, float)
    expected *= exp(sum(log_volume(state)) / ENTRIES)  # the part that depends on the state
    step = _step_function(scheme, rates.converted(complex), complex, complex(h), values)
    columns: list[list[float]] = []
    for k in range(len(state)):
        perturbed = [complex(x, COMPLEX_STEP * (i == k)) for i, x in enumerate(state)]
        columns.append([x.imag / COMPLEX_STEP for x in step(perturbed)])
    measured = prod(abs(value) for value in eigenvalues(columns)) ** (1 / ENTRIES)
    norms = (sum(abs(x) ** 2 for x in column) ** 0.5 for column in columns)
    hadamard_bound = prod(norms) ** (1 / ENTRIES)
    if max(1.0, expected) < 1e-8 * hadamard_bound:  # the determinant is lost to cancellation
        return None
    if abs(measured - expected) > 1e-6 * max(1.0, expected):
        return f"a step changes volume by {measured:.6g} per value, and not by {expected:.6g}"
    return None
