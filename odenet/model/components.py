"""Whether a scheme adds only values that stand for equally many states."""

from collections.abc import Iterator, Mapping

from odenet.diagnostics import Diagnostic, Span
from odenet.model import expr
from odenet.model.expr import Node, State
from odenet.model.scheme import Scheme, Update


def mixed_groups(
    scheme: Scheme, groups: Mapping[str, tuple[State, ...]], span: Span
) -> Diagnostic | None:
    """The first sum of unknowns that stand for different numbers of states.

    `A[n+1] = A[n] + h B[n]` is a sum of states one by one, and makes sense for as many A as B only.

    Args:
        scheme: its text.
        groups: unknown of the pattern -> its states.
        span: of the scheme's use, for lines without a place of their own.
    """
    owners = _owners(scheme)
    for update in scheme.updates:
        for owner, node in _sums(scheme, update, owners):
            first, other = groups[owner], groups[owners[_name(scheme, node)]]
            if len(first) != len(other):
                message = (
                    f"{scheme.name} adds a value of {_listed(other)} to one of {_listed(first)}"
                )
                help_ = "a scheme that mixes its unknowns takes groups of equally many states"
                return Diagnostic(message, node.span or update.span or span, help=help_)
    return None


def _owners(scheme: Scheme) -> dict[str, str]:
    """Unknown or stage -> the unknown of the pattern whose states it has."""
    found = {p.variable: p.variable for p in scheme.patterns}
    for _ in range(len(scheme.updates) + 1):
        for update in scheme.updates:
            names = (_name(scheme, leaf) for leaf in _leaves(update.value))
            known = next((found[name] for name in names if name in found), None)
            if known is not None:
                found.setdefault(update.target.name, known)
    return found


def _name(scheme: Scheme, leaf: Node) -> str:
    """The unknown or stage a leaf is; for a right-hand side the unknown it is the rate of."""
    if isinstance(leaf, expr.Rate):
        return next(p.variable for p in scheme.patterns if p.function == leaf.function)
    assert isinstance(leaf, expr.Slot | expr.Stage)
    return leaf.name


def _leaves(node: Node) -> Iterator[Node]:
    """The values and right-hand sides that a line adds, without what stands inside the latter."""
    if isinstance(node, expr.Slot | expr.Stage | expr.Rate):
        yield node
    else:
        for child in node.children():
            yield from _leaves(child)


def _sums(scheme: Scheme, update: Update, owners: Mapping[str, str]) -> Iterator[tuple[str, Node]]:
    """What is added, each with the unknown whose states it is added to."""
    for leaf in _leaves(update.value):
        if update.target.name in owners and _name(scheme, leaf) in owners:
            yield owners[update.target.name], leaf
    for rate in (node for node in update.value.walk() if isinstance(node, expr.Rate)):
        pattern = next(p for p in scheme.patterns if p.function == rate.function)
        for name, argument in zip(pattern.reads, rate.arguments, strict=True):
            for leaf in _leaves(argument):
                if _name(scheme, leaf) in owners:
                    yield name, leaf


def _listed(states: tuple[State, ...]) -> str:
    return " and ".join(state.name + "'" * state.order for state in states)
