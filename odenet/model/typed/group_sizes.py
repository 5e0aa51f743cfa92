"""Checks that unknowns that a scheme adds to each other are replaced by as many states."""

from collections.abc import Iterator, Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, State
from odenet.model.typed.scheme import Scheme


def unequal_groups_error(
    scheme: Scheme, groups: Mapping[str, tuple[State, ...]], span: Span
) -> Diagnostic | None:
    """The error about the first sum of unknowns that are groups of different numbers of states.

    `A[n+1] = A[n] + h B[n]` adds states one by one, so that A and B have to be equally many.

    Args:
        scheme: the scheme.
        groups: unknown of the `for` line -> the states that take its place.
        span: the place of the `discretise` line, for lines without a place of their own.
    """
    group_of = group_unknowns(scheme)
    for unknown in scheme.aux:
        if unknown not in group_of:
            return _unattached_unknown(scheme, unknown, span)
    for line_span, group, node in _additions(scheme, group_of):
        states, added = groups[group], groups[group_of[_name(scheme, node)]]
        if len(states) != len(added):
            message = f"{scheme.name} adds a value of {_listed(added)} to one of {_listed(states)}"
            help_ = "a scheme that mixes its unknowns takes groups of equally many states"
            return Diagnostic("scheme-misfit", message, node.span or line_span or span, help_)
    return None


def group_unknowns(scheme: Scheme) -> dict[str, str]:
    """Unknown or stage -> the unknown of the `for` line whose group it belongs to.

    All of a group have one value for each state that takes the place of this unknown.

    The target of a line belongs to the group of the values that the line adds. Where this does not
    decide, an auxiliary unknown belongs to the group of the target of a line that adds it, of the
    unknown in whose place it is an argument of a right-hand side, or of its start value.
    """
    group_of = {p.unknown: p.unknown for p in scheme.patterns}
    targets = [(update.target.name, update.value) for update in scheme.updates]
    starts = [(start.name, value) for start, value in scheme.starts]
    while True:
        known_count = len(group_of)
        for target, value in targets:
            _propagate([target], _names(scheme, value), group_of)
        if len(group_of) == known_count:
            for target, value in targets:
                _propagate(_names(scheme, value), [target], group_of)
            for group, argument in _rate_arguments(scheme):
                _propagate(_names(scheme, argument), [group], group_of)
            for target, value in starts:
                _propagate([target], _names(scheme, value), group_of)
        if len(group_of) == known_count:
            return group_of


def _propagate(names: list[str], others: list[str], group_of: dict[str, str]) -> None:
    """Put names without a group into that of the first of some other names that has one."""
    group = next((group_of[name] for name in others if name in group_of), None)
    if group is not None:
        for name in names:
            group_of.setdefault(name, group)


def _names(scheme: Scheme, value: Node) -> list[str]:
    return [_name(scheme, summand) for summand in _summands(value)]


def _rate_arguments(scheme: Scheme) -> Iterator[tuple[str, Node]]:
    """The arguments of right-hand sides, each with the unknown in whose place it is."""
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
        return next(p.unknown for p in scheme.patterns if p.function == summand.function)
    assert isinstance(summand, expr.Slot | expr.Stage)
    return summand.name


def _summands(node: Node) -> Iterator[Node]:
    """The values and right-hand sides that a formula adds.

    What is inside an argument of a right-hand side or an exponential is not added.
    """
    if isinstance(node, expr.Slot | expr.Stage | expr.Rate):
        yield node
    elif not isinstance(node, expr.ElementwiseExp):
        for child in node.children():
            yield from _summands(child)


def _additions(scheme: Scheme, group_of: dict[str, str]) -> Iterator[tuple[Span | None, str, Node]]:
    """Every summand, also in exponents: its line's span, the group it is added to, the summand."""
    lines = [(u.span, u.target.name, u.value) for u in scheme.updates]
    lines += [(value.span, start.name, value) for start, value in scheme.starts]
    parts: list[tuple[Span | None, str, Node]] = []
    for line_span, target, value in lines:
        exponents = [node.operand for node in value.walk() if isinstance(node, expr.ElementwiseExp)]
        if target in group_of:
            parts += [(line_span, group_of[target], part) for part in (value, *exponents)]
    parts += [(argument.span, group, argument) for group, argument in _rate_arguments(scheme)]
    for line_span, group, part in parts:
        yield from ((line_span, group, x) for x in _summands(part) if _name(scheme, x) in group_of)


def _listed(states: tuple[State, ...]) -> str:
    return " and ".join(state.text for state in states)
