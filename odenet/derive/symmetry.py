"""Whether a step is its own inverse when time runs backwards, exactly or up to an order."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

import mpmath

from odenet.derive.coefficients import Scalars
from odenet.derive.h_series import WORKING_DIGITS, NoSeries, add, backwards
from odenet.derive.inverse import Undo
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.derive.order import HIGHEST, MOST_TREES, conditions_at
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.step_series import StepSeries
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import Scheme

MOST_PAIRED = 5  # unknowns whose swaps are tried; of more, none, and the answer may be a false no


def is_symmetric(scheme: Scheme, undone: tuple[Undo, ...]) -> bool:
    """Whether the inverse is the same step with -h, for every right-hand side.

    Both are written in the values after the step and compared term by term. Backwards in time the
    newest value is the oldest: Y[n+1], Y[n] of a two-step scheme take the places of Y[n-1], Y[n].
    Where an auxiliary unknown keeps an earlier value, it changes places likewise.

    Args:
        scheme: as parsed.
        undone: its inverse. A scheme without an explicit inverse is not symmetric, since the step
            with -h is explicit.
    """
    scalars = Scalars(scheme, expand=True)
    if scalars.powers_of_h:  # irrational ones, of which nothing is known at -h
        return False
    return any(
        _inverse_is_reversed_step(scheme, undone, scalars, mirror) for mirror in _mirrors(scheme)
    )


def _inverse_is_reversed_step(
    scheme: Scheme, undone: tuple[Undo, ...], scalars: Scalars, mirror: Mapping[Slot, Slot]
) -> bool:
    """Whether the inverse is the step with -h, where slots change places backwards in time."""
    algebra = Algebra(scalars)
    values: dict[Node, Form] = {
        Slot(slot.name, slot.offset + 1): algebra.register(mirror[slot]) for slot in scheme.slots
    }
    algebra.run((undo.backward for undo in undone), values)
    reversed_step = read_step(scheme, algebra.in_scalars(scalars.backwards()))
    return all(values[slot] == reversed_step.after[mirror[slot]] for slot in scheme.slots)


def _mirrors(scheme: Scheme) -> Iterator[dict[Slot, Slot]]:
    """Which slot may take a slot's place when time runs backwards."""
    usual = {slot: _mirrored(scheme, slot) for slot in scheme.slots}
    kept = [name for name in scheme.unknowns if len(scheme.stored_offsets(name)) == 1]
    for pairs in _pairings(kept if len(kept) <= MOST_PAIRED else []):
        if all(one in scheme.aux or other in scheme.aux for one, other in pairs):
            swapped = {Slot(one, 0): Slot(other, 0) for one, other in pairs}
            yield {**usual, **swapped, **{b: a for a, b in swapped.items()}}


def _pairings(names: list[str]) -> Iterator[list[tuple[str, str]]]:
    """All ways of pairing some of the names, none first."""
    if not names:
        yield []
        return
    first, *others = names
    yield from _pairings(others)
    for other in others:
        for rest in _pairings([name for name in others if name != other]):
            yield [(first, other), *rest]


def _mirrored(scheme: Scheme, slot: Slot) -> Slot:
    """The slot that takes a slot's place when time runs backwards."""
    oldest = min(scheme.stored_offsets(slot.name))
    return Slot(slot.name, oldest - slot.offset)


def symmetry_order(
    scheme: Scheme,
    values: Mapping[str, Fraction | float] | None = None,
    to_the_digits: bool = False,
) -> int | None:
    """The q up to which a step with -h undoes one with h: what is left is O(h^(q+1)).

    Euler's step has q = 1; the effectively symmetric schemes EES(2, q) have more than their order
    asks for (Shmelev, Ebrahimi-Fard, Tapia & Salvi 2025, arXiv 2507.21006). Values of earlier steps
    are assumed to lie on the exact solution.

    Args:
        scheme: as parsed.
        values: of its constants.
        to_the_digits: whether long decimals count as far as they are printed only (`printed.py`).

    Returns:
        None where nothing is said: for schemes with unknowns of their own or `exp(…)`, or that read
        the number of the step, where there is no series in h, and where there are too many trees to
        look at. A q of 8 is at least that.
    """
    if (
        scheme.aux
        or scheme.foreign_node is not None
        or scheme.uses_step_number
        or not scheme.uses_step_size
    ):
        return None
    with mpmath.workdps(WORKING_DIGITS):
        try:
            return _symmetry_order(conditions_at(scheme, values, to_the_digits))
        except NoSeries:
            return None


def _symmetry_order(there: OrderConditions) -> int | None:
    """See `symmetry_order`; None where the trees are too many to look at."""
    mirror = {slot: _mirrored(there.scheme, slot) for slot in there.slots}
    back = StepSeries(
        there.algebra,
        there.forest,
        backwards(there.writer.read),
        lambda slot, key: there.series.value(there.after[mirror[slot]], key),
        there.limit,
    )
    lowest, trees = HIGHEST + 1, 0
    for weight in range(HIGHEST + 1):
        keys = there.forest.keys(weight)
        trees += len(keys)
        if lowest <= weight:
            break
        if trees > MOST_TREES:
            return None
        for key in keys:
            for slot in there.slots:
                returned = back.value(there.after[slot], key)
                off = add(returned, there.stored(mirror[slot], key), -1)
                lowest = min([lowest, *off])
    return max(lowest - 1, 0)
