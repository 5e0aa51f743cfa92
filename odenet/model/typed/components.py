"""Whether a scheme adds only values that hold equally many states."""

from collections.abc import Iterator, Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, State
from odenet.model.typed.scheme import Scheme


def mixed_groups(
    scheme: Scheme, groups: Mapping[str, tuple[State, ...]], span: Span
) -> Diagnostic | None:
    """The first sum of unknowns that hold different numbers of states.

    `A[n+1] = A[n] + h B[n]` is a sum of states one by one, and makes sense for as many A as B only.

    Args:
        scheme: as parsed.
        groups: unknown of the pattern -> its states.
        span: of the scheme's use, for lines without a place of their own.
    """
    owners = owners_of(scheme)
    for unknown in scheme.aux:
        if unknown not in owners:
            return _unattached(scheme, unknown, span)
    for place, owner, node in _sums(scheme, owners):
        first, other = groups[owner], groups[owners[_name(scheme, node)]]
        if len(first) != len(other):
            message = f"{scheme.name} adds a value of {_listed(other)} to one of {_listed(first)}"
            help_ = "a scheme that mixes its unknowns takes groups of equally many states"
            return Diagnostic("scheme-misfit", message, node.span or place or span, help_)
    return None


def owners_of(scheme: Scheme) -> dict[str, str]:
    """Unknown or stage -> the unknown of the pattern whose states it has.

    A line makes its target like what it adds. An auxiliary unknown that this leaves open is like
    what it is added to, what a right-hand side reads in its place, or what it starts from.
    """
    found = {p.variable: p.variable for p in scheme.patterns}
    targets = [(update.target.name, update.value) for update in scheme.updates]
    starts = [(slot.name, value) for slot, value in scheme.starts]
    while True:
        before = len(found)
        for target, value in targets:
            _adopt([target], _leaf_names(scheme, value), found)
        if len(found) == before:
            for target, value in targets:
                _adopt(_leaf_names(scheme, value), [target], found)
            for owner, argument in _arguments(scheme):
                _adopt(_leaf_names(scheme, argument), [owner], found)
            for target, value in starts:
                _adopt([target], _leaf_names(scheme, value), found)
        if len(found) == before:
            return found


def _adopt(names: list[str], like: list[str], found: dict[str, str]) -> None:
    """Give names without an owner that of the first of some values that has one."""
    owner = next((found[name] for name in like if name in found), None)
    if owner is not None:
        for name in names:
            found.setdefault(name, owner)


def _leaf_names(scheme: Scheme, value: Node) -> list[str]:
    return [_name(scheme, leaf) for leaf in _leaves(value)]


def _arguments(scheme: Scheme) -> Iterator[tuple[str, Node]]:
    """What right-hand sides read, each with the unknown of the pattern in whose place."""
    for rate in scheme.nodes():
        if isinstance(rate, expr.Rate):
            pattern = next(p for p in scheme.patterns if p.function == rate.function)
            yield from zip(pattern.reads, rate.arguments, strict=True)


def _unattached(scheme: Scheme, unknown: str, span: Span) -> Diagnostic:
    spelled = scheme.spellings.get(unknown, unknown)
    line = next(u for u in scheme.updates if u.target.name == unknown)
    message = f"nothing in {scheme.name} connects `{spelled}` with a state"
    help_ = f"read `{spelled}` in the line of an unknown, or remove it"
    return Diagnostic("scheme-misfit", message, line.span or span, help_)


def _name(scheme: Scheme, leaf: Node) -> str:
    """The unknown or stage a leaf is; for a right-hand side the unknown it is the rate of."""
    if isinstance(leaf, expr.Rate):
        return next(p.variable for p in scheme.patterns if p.function == leaf.function)
    assert isinstance(leaf, expr.Slot | expr.Stage)
    return leaf.name


def _leaves(node: Node) -> Iterator[Node]:
    """The values and right-hand sides that a line adds, without what is inside the latter.

    What an exponential reads is not added, only the value that it multiplies.
    """
    if isinstance(node, expr.Slot | expr.Stage | expr.Rate):
        yield node
    elif not isinstance(node, expr.Stretch):
        for child in node.children():
            yield from _leaves(child)


def _sums(scheme: Scheme, owners: Mapping[str, str]) -> Iterator[tuple[Span | None, str, Node]]:
    """What is added, or multiplies by its exponential, with its line and what it is added to."""
    lines = [(u.span, u.target.name, u.value) for u in scheme.updates]
    lines += [(value.span, slot.name, value) for slot, value in scheme.starts]
    parts: list[tuple[Span | None, str, Node]] = []
    for place, target, value in lines:
        inside = [node.operand for node in value.walk() if isinstance(node, expr.Stretch)]
        parts += [(place, owners[target], part) for part in (value, *inside) if target in owners]
    parts += [(argument.span, owner, argument) for owner, argument in _arguments(scheme)]
    for place, owner, part in parts:
        yield from ((place, owner, x) for x in _leaves(part) if _name(scheme, x) in owners)


def _listed(states: tuple[State, ...]) -> str:
    return " and ".join(state.written for state in states)
