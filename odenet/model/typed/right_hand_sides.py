"""The parts of right-hand sides that schemes treat separately: decay terms, and summands.

In `Y' = F(Y) - γ Y` and `Y'' = F(Y) - γ Y'` the terms that are a number times the damped unknown
give γ, the other terms F. In `Y' = F(Y) + G(Y)` the first term is F and the second G: terms that
belong together are in brackets, or have a name.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, State
from odenet.model.expressions.fold import sum_of
from odenet.model.typed.scheme import Pattern, Scheme

Term = tuple[int, Node]  # (its sign +1 or -1, the term)
_ONE = Fraction(1)


def decay_factor(rate: Node, state: State, pattern: Pattern) -> Node | None:
    """γ as a formula for a number; None if the equation has no decay term."""
    damped = _damped_unknown(state, pattern)
    factors = [(-sign, number) for sign, term in _terms(rate) if (number := _factor(term, damped))]
    return sum_of(factors, factors[0][1].span or rate.span) if factors else None


def part_without_decay(rate: Node, state: State, pattern: Pattern) -> Node:
    """F: the right-hand side without decay terms; all of it if the pattern has no decay."""
    if pattern.decay is None:
        return rate
    damped = _damped_unknown(state, pattern)
    others = [(sign, term) for sign, term in _terms(rate) if _factor(term, damped) is None]
    return sum_of(others, rate.span)


def decay_factors(
    system: Mapping[State, Node], scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> dict[str, Node]:
    """The name of each γ of a scheme -> its formula in the equations."""
    factors: dict[str, Node] = {}
    for pattern in scheme.patterns:
        state = groups[pattern.unknown][0]
        value = decay_factor(system[state], state, pattern) if pattern.decay else None
        if pattern.decay and value is not None:
            factors[pattern.decay] = value
    return factors


def summands(rate: Node, count: int) -> tuple[Node, ...] | None:
    """The terms of a right-hand side that is a sum of `count` terms; None if it is not."""
    if not isinstance(rate, expr.Sum) or len(rate.terms) != count:
        return None
    return tuple(sum_of([(sign, term)], term.span) for sign, term in rate.terms)


def right_hand_side(rate: Node, state: State, pattern: Pattern) -> Node:
    """F of a pattern in an equation: one of its summands, or all of it without decay terms."""
    if pattern.summand is None:
        return part_without_decay(rate, state, pattern)
    index, count = pattern.summand
    terms = summands(rate, count)
    assert terms is not None  # the scheme fits the equation
    return terms[index]


def right_hand_sides(
    system: Mapping[State, Node], scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> dict[tuple[State, str], Node]:
    """The formula for every right-hand side of a scheme, by state and function."""
    return {
        (state, p.function): right_hand_side(rate, state, p)
        for state, rate in system.items()
        for p in scheme.patterns
        if state in groups[p.unknown]
    }


def without_decay(
    system: Mapping[State, Node], scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> dict[State, Node]:
    """The equations without decay terms that the scheme treats separately."""
    patterns = {state: p for p in scheme.patterns for state in groups[p.unknown]}
    return {s: part_without_decay(rate, s, patterns[s]) for s, rate in system.items()}


def _damped_unknown(state: State, pattern: Pattern) -> State:
    return State(state.name, state.order + pattern.order - 1)


def _terms(node: Node, sign: int = 1) -> Iterator[Term]:
    """The terms of a sum, including those of sums inside it."""
    if isinstance(node, expr.Sum):
        for inner_sign, term in node.terms:
            yield from _terms(term, sign * inner_sign)
    else:
        yield sign, node


def _factor(node: Node, damped: State) -> Node | None:
    """The number in `number · damped`; None for any other formula."""
    match node:
        case State():
            return expr.Number(_ONE, "1", span=node.span) if node == damped else None
        case expr.Product():
            inner = _factor(node.right, damped)
            return None if inner is None else _product(node.left, inner)
        case expr.Quotient():
            inner = _factor(node.numerator, damped)
            return None if inner is None else expr.Quotient(inner, node.denominator, span=node.span)
        case _:
            return None


def _product(left: Node, right: Node) -> Node:
    is_one = isinstance(right, expr.Number) and right.value == 1
    return left if is_one else expr.Product(left, right, span=left.span)
