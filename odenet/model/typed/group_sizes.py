"""Checks that a scheme only adds unknowns that are groups of equally many states."""

from collections.abc import Iterator, Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, State
from odenet.model.typed.scheme import Scheme


def unequal_groups(
    scheme: Scheme, groups: Mapping[str, tuple[State, ...]], span: Span
) -> Diagnostic | None:
    """The error about the first sum of unknowns that are groups of different numbers of states.

    `A[n+1] = A[n] + h B[n]` adds states one by one, so that A and B have to be equally many.

    Args:
        scheme: the scheme.
        groups: unknown of the `for` line -> the states that take its place.
        span: the place of the `discretise` line, for lines without a place of their own.
    """
    owners = owners_of(scheme)
    for unknown in scheme.aux:
        if unknown not in owners:
            return _unattached_unknown(scheme, unknown, span)
    for place, owner, node in _additions(scheme, owners):
        first, other = groups[owner], groups[owners[_name(scheme, node)]]
        if len(first) != len(other):
            message = f"{scheme.name} adds a value of {_listed(other)} to one of {_listed(first)}"
            help_ = "a scheme that mixes its unknowns takes groups of equally many states"
            return Diagnostic("scheme-misfit", message, node.span or place or span, help_)
    return None


def owners_of(scheme: Scheme) -> dict[str, str]:
    """Unknown or stage -> the unknown of the `for` line that has the same number of states.

    The target of a line has as many as what the line adds. Where this does not decide, an
    auxiliary unknown has as many as what it is added to, as the unknown in whose place a
    right-hand side reads it, or as its start value.
    """
    owners = {p.variable: p.variable for p in scheme.patterns}
    targets = [(update.target.name, update.value) for update in scheme.updates]
    starts = [(slot.name, value) for slot, value in scheme.starts]
    while True:
        known = len(owners)
        for target, value in targets:
            _adopt([target], _names(scheme, value), owners)
        if len(owners) == known:
            for target, value in targets:
                _adopt(_names(scheme, value), [target], owners)
            for owner, argument in _rate_arguments(scheme):
                _adopt(_names(scheme, argument), [owner], owners)
            for target, value in starts:
                _adopt([target], _names(scheme, value), owners)
        if len(owners) == known:
            return owners


def _adopt(names: list[str], others: list[str], owners: dict[str, str]) -> None:
    """Give names without an owner that of the first of some other names that has one, in place."""
    owner = next((owners[name] for name in others if name in owners), None)
    if owner is not None:
        for name in names:
            owners.setdefault(name, owner)


def _names(scheme: Scheme, value: Node) -> list[str]:
    return [_name(scheme, summand) for summand in _summands(value)]


def _rate_arguments(scheme: Scheme) -> Iterator[tuple[str, Node]]:
    """The arguments of right-hand sides, each with the unknown of the `for` line in its place."""
    for rate in scheme.nodes():
        if isinstance(rate, expr.Rate):
            pattern = next(p for p in scheme.patterns if p.function == rate.function)
            yield from zip(pattern.reads, rate.arguments, strict=True)


def _unattached_unknown(scheme: Scheme, unknown: str, span: Span) -> Diagnostic:
    spelling = scheme.spellings.get(unknown, unknown)
    line = next(u for u in scheme.updates if u.target.name == unknown)
    message = f"nothing in {scheme.name} connects `{spelling}` with a state"
    help_ = f"read `{spelling}` in the line of an unknown, or remove it"
    return Diagnostic("scheme-misfit", message, line.span or span, help_)


def _name(scheme: Scheme, summand: Node) -> str:
    """The name of an unknown or stage; for a right-hand side, of the unknown with this rate."""
    if isinstance(summand, expr.Rate):
        return next(p.variable for p in scheme.patterns if p.function == summand.function)
    assert isinstance(summand, expr.Slot | expr.Stage)
    return summand.name


def _summands(node: Node) -> Iterator[Node]:
    """The values and right-hand sides that a formula adds, without the arguments of the latter.

    Of an exponential times a value only the value is one.
    """
    if isinstance(node, expr.Slot | expr.Stage | expr.Rate):
        yield node
    elif not isinstance(node, expr.ElementwiseExp):
        for child in node.children():
            yield from _summands(child)


def _additions(
    scheme: Scheme, owners: Mapping[str, str]
) -> Iterator[tuple[Span | None, str, Node]]:
    """What is added, or is in an exponential, with its line and the owner it is added to."""
    lines = [(u.span, u.target.name, u.value) for u in scheme.updates]
    lines += [(value.span, slot.name, value) for slot, value in scheme.starts]
    parts: list[tuple[Span | None, str, Node]] = []
    for place, target, value in lines:
        stretched = [node.operand for node in value.walk() if isinstance(node, expr.ElementwiseExp)]
        parts += [(place, owners[target], part) for part in (value, *stretched) if target in owners]
    parts += [(argument.span, owner, argument) for owner, argument in _rate_arguments(scheme)]
    for place, owner, part in parts:
        yield from ((place, owner, x) for x in _summands(part) if _name(scheme, x) in owners)


def _listed(states: tuple[State, ...]) -> str:
    return " and ".join(state.text for state in states)
