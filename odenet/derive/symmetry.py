"""Whether a step is symmetric: the step with -h is its inverse, exactly or up to an order."""

from collections.abc import Iterator, Mapping
from fractions import Fraction

import mpmath

from odenet.derive.coefficients import CoefficientField
from odenet.derive.h_series import WORKING_DIGITS, NoSeries, add, with_negative_step
from odenet.derive.inverse import ShearPair
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.derive.order import HIGHEST_ORDER, MOST_TREES, conditions_at
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.step_series import StepSeries
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import Scheme

MOST_SWAPPABLE = 5  # with more unknowns no swaps are tried, and a symmetric scheme may be missed


def is_symmetric(scheme: Scheme, shear_pairs: tuple[ShearPair, ...]) -> bool:
    """Whether the inverse is the step with -h, for every right-hand side.

    Both are written in the values after the step and compared term by term. Backwards in time, the
    newest value is the oldest: in a two-step scheme Y[n+1] and Y[n] take the places of Y[n-1] and
    Y[n]. An auxiliary unknown that keeps an earlier value changes places likewise.

    Args:
        scheme: the scheme, as parsed.
        shear_pairs: its shears with their inverses. A scheme without an explicit inverse is not
            symmetric, since the step with -h is explicit.
    """
    coeff_field = CoefficientField(scheme, expand_lets=True)
    if coeff_field.has_root_of_h:  # which is not defined at -h
        return False
    mirrors = _mirrors(scheme)
    return any(_is_reversed_step(scheme, shear_pairs, coeff_field, mirror) for mirror in mirrors)


def _is_reversed_step(
    scheme: Scheme,
    shear_pairs: tuple[ShearPair, ...],
    coeff_field: CoefficientField,
    mirror: Mapping[Slot, Slot],
) -> bool:
    """Whether the inverse is the step with -h, if slots change places as `mirror` says."""
    algebra = Algebra(coeff_field)
    values: dict[Node, Form] = {
        Slot(slot.name, slot.offset + 1): algebra.form_of(mirror[slot]) for slot in scheme.slots
    }
    algebra.run_lines((pair.backward for pair in shear_pairs), values)
    reversed_step = read_step(scheme, algebra.over_field(coeff_field.with_negative_h()))
    return all(values[slot] == reversed_step.new_values[mirror[slot]] for slot in scheme.slots)


def _mirrors(scheme: Scheme) -> Iterator[dict[Slot, Slot]]:
    """All possible maps slot -> the slot that takes its place when time runs backwards."""
    usual = {slot: _mirrored(scheme, slot) for slot in scheme.slots}
    without_history = [name for name in scheme.unknowns if len(scheme.stored_offsets(name)) == 1]
    for pairs in _pairings(without_history if len(without_history) <= MOST_SWAPPABLE else []):
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
    return Slot(slot.name, min(scheme.stored_offsets(slot.name)) - slot.offset)


def symmetry_order(
    scheme: Scheme, values: Mapping[str, Fraction | float] | None = None, tolerant: bool = False
) -> int | None:
    """The q up to which a step with -h undoes one with h: the difference is O(h^(q+1)).

    Euler's method has q = 1. The effectively symmetric schemes EES(2, q) have a q higher than their
    order (Shmelev, Ebrahimi-Fard, Tapia & Salvi 2025, arXiv 2507.21006). Values of earlier steps
    are assumed to lie on the exact solution.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants.
        tolerant: whether long decimals count as rounded (`rounded_numbers.py`).

    Returns:
        The order q; 8 means 8 or more. None for schemes with unknowns of their own or with
        `exp(…)`, for those that read the number of the step, and if there is no power series in h
        or there are too many trees.
    """
    if scheme.aux or scheme.exp_or_map or scheme.uses_step_number or not scheme.uses_step_size:
        return None
    with mpmath.workdps(WORKING_DIGITS):
        try:
            return _symmetry_order(conditions_at(scheme, values, tolerant))
        except NoSeries:
            return None


def _symmetry_order(conditions: OrderConditions) -> int | None:
    """See `symmetry_order`; None if there are too many trees."""
    mirror = {slot: _mirrored(conditions.scheme, slot) for slot in conditions.slots}
    mirrored_values = {slot: conditions.new_values[mirror[slot]] for slot in conditions.slots}
    backward_series = StepSeries(
        conditions.algebra,
        conditions.forest,
        with_negative_step(conditions.writer.to_series),
        conditions.max_degree,
        lambda slot, tree: conditions.step_series.coefficient(mirrored_values[slot], tree),
    )
    lowest, tree_count = HIGHEST_ORDER + 1, 0
    for weight in range(HIGHEST_ORDER + 1):
        trees = conditions.forest.trees(weight)
        tree_count += len(trees)
        if lowest <= weight:
            break
        if tree_count > MOST_TREES:
            return None
        for tree in trees:
            for slot in conditions.slots:
                returned = backward_series.coefficient(conditions.new_values[slot], tree)
                difference = add(returned, conditions.solution_coefficient(mirror[slot], tree), -1)
                lowest = min([lowest, *difference])
    return max(lowest - 1, 0)
