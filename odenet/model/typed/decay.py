"""Equations that a scheme takes apart: `Y' = F(Y) - γ Y`, `Y'' = F(Y) - γ Y'`, `Y' = F(Y) + G(Y)`.

Of an equation with a decay, the terms that are a number times the damped unknown are its γ, the
others are F. Of one that is a sum, the first term is F, the second G: terms that belong together
are in brackets, or have a name.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, State
from odenet.model.expressions.fold import sum_of
from odenet.model.typed.scheme import Pattern, Scheme

Term = tuple[int, Node]
_ONE = Fraction(1)


def decay(rate: Node, state: State, pattern: Pattern) -> Node | None:
    """γ as a formula for a number; None where the equation has no such term."""
    damped = _damped(state, pattern)
    found = [(-sign, number) for sign, term in _terms(rate) if (number := _factor(term, damped))]
    return sum_of(found, found[0][1].span or rate.span) if found else None


def rest(rate: Node, state: State, pattern: Pattern) -> Node:
    """F: the equation without its decay, or as it is where the pattern has none."""
    if pattern.decay is None:
        return rate
    damped = _damped(state, pattern)
    kept = [(sign, term) for sign, term in _terms(rate) if _factor(term, damped) is None]
    return sum_of(kept, rate.span)


def decays_of(
    system: Mapping[State, Node], scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> dict[str, Node]:
    """The constant of each decay of a scheme -> its formula in the equations that it fits."""
    found: dict[str, Node] = {}
    for pattern in scheme.patterns:
        state = groups[pattern.variable][0]
        value = decay(system[state], state, pattern) if pattern.decay else None
        if pattern.decay and value is not None:
            found[pattern.decay] = value
    return found


def summands(rate: Node, count: int) -> tuple[Node, ...] | None:
    """The terms of a right-hand side that is a sum of `count` terms; None for any other."""
    if not isinstance(rate, expr.Sum) or len(rate.terms) != count:
        return None
    return tuple(
        term if sign > 0 else expr.Sum(((-1, term),), span=term.span) for sign, term in rate.terms
    )


def right_hand_side(rate: Node, state: State, pattern: Pattern) -> Node:
    """F of a pattern: the equation without its decay, or one summand of it."""
    if pattern.part is None:
        return rest(rate, state, pattern)
    index, count = pattern.part
    found = summands(rate, count)
    assert found is not None  # the scheme fits the equation
    return found[index]


def right_hand_sides(
    system: Mapping[State, Node], scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> dict[tuple[State, str], Node]:
    """The right-hand sides that a scheme names, by state and function."""
    return {
        (state, p.function): right_hand_side(rate, state, p)
        for state, rate in system.items()
        for p in scheme.patterns
        if state in groups[p.variable]
    }


def without_decay(
    system: Mapping[State, Node], scheme: Scheme, groups: Mapping[str, tuple[State, ...]]
) -> dict[State, Node]:
    """The equations with F for each right-hand side."""
    patterns = {state: p for p in scheme.patterns for state in groups[p.variable]}
    return {state: rest(rate, state, patterns[state]) for state, rate in system.items()}


def _damped(state: State, pattern: Pattern) -> State:
    return State(state.name, state.order + pattern.order - 1)


def _terms(node: Node, sign: int = 1) -> Iterator[Term]:
    """The terms of a sum, and of sums inside it."""
    if isinstance(node, expr.Sum):
        for own, term in node.terms:
            yield from _terms(term, sign * own)
    else:
        yield sign, node


def _factor(node: Node, damped: State) -> Node | None:
    """The number in `number · damped`; None for anything else."""
    match node:
        case State():
            return expr.Number(_ONE, "1", span=node.span) if node == damped else None
        case expr.Product():
            inner = _factor(node.right, damped)
            return None if inner is None else _times(node.left, inner)
        case expr.Quotient():
            inner = _factor(node.numerator, damped)
            return None if inner is None else expr.Quotient(inner, node.denominator, span=node.span)
        case _:
            return None


def _times(left: Node, right: Node) -> Node:
    one = isinstance(right, expr.Number) and right.value == 1
    return left if one else expr.Product(left, right, span=left.span)
