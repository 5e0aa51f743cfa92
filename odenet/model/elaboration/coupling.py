"""The coupling of a one-step scheme with itself, which makes it reversible."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from odenet.model.elaboration.rewriting import (
    negated,
    parity,
    reversed_time,
    substituted,
    terms_of,
)
from odenet.model.elaboration.scheme_text import (
    NotComposed,
    SchemeText,
    new_stage,
    put,
    spelled_like,
)
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.expressions.fold import sum_of
from odenet.model.typed.scheme import Scheme

LAMBDA = "lambda"


class Increment(NamedTuple):
    """What a step makes of an unknown.

    Attributes:
        apart: whether the value that the step begins with is left out of `value`.
        value: the rest of the value after the step; all of it where that is not apart.
    """

    apart: bool
    value: Node


def coupled(name: str, scheme: Scheme, weight: Node | None = None) -> str:
    """A one-step scheme made reversible by a second copy of its unknowns.

    McCallum & Foster 2024, arXiv 2410.11648, Eq. 5: with the step y + Ψ(h, y),
    Y[n+1] = λ Y[n] + (1 - λ) Z[n] + Ψ(h, Z[n]) and Z[n+1] = Z[n] - Ψ(-h, Y[n+1]).

    Args:
        name: of the result.
        scheme: as parsed.
        weight: the default of λ.
    """
    _require_one_step(scheme)
    text = SchemeText.of(scheme)
    text.constants = {n: v for n, v in scheme.constants if n not in scheme.implied_constants}
    if LAMBDA in {*text.constants, *dict(scheme.lets), *scheme.decays}:
        raise NotComposed(f"{scheme.name} has a number λ of its own")
    text.constants[LAMBDA] = weight or expr.Number(Fraction(99, 100), "0.99")
    text.spellings[LAMBDA] = "λ"
    text.taken |= {*text.constants, *(u.target.name for u in scheme.updates)}
    copies = {u: _copy(text, u, len(scheme.equations) == 1) for u in scheme.equations}
    # names of stages are free again: `_increments` gives them to the copies' stages
    text.taken -= {u.target.name for u in scheme.updates if isinstance(u.target, Stage)}
    text.aux = list(copies.values())
    text.starts = [(Slot(z, 0), Slot(y, 0)) for y, z in copies.items()]
    numbers, odd = _reversed_lets(text, scheme)
    one = _increments(text, scheme, {y: Slot(z, 0) for y, z in copies.items()})
    for y, z in copies.items():
        own, other = Slot(y, 0), Slot(z, 0)
        text.lines.append((Slot(y, 1), _blended(own, other, one[y])))
    begin = {y: Slot(y, 1) for y in copies}
    two = _increments(text, _in_reverse(scheme, numbers, odd), begin)
    for y, z in copies.items():
        terms = terms_of(negated(two[y].value))
        extra: list[tuple[int, Node]] = [] if two[y].apart else [(1, Slot(y, 1))]
        text.lines.append((Slot(z, 1), sum_of([(1, Slot(z, 0)), *extra, *terms])))
    return text.write(name)


def _require_one_step(scheme: Scheme) -> None:
    what = ""
    if scheme.aux:
        what = "has unknowns of its own"
    elif any(scheme.stored_offsets(unknown) != (0,) for unknown in scheme.unknowns):
        what = "looks back to values of earlier steps"
    elif any(p.order != 1 for p in scheme.patterns):
        what = "is for equations of second order"
    elif not scheme.uses_step_size:
        what = "has no step size"
    if what:
        why = "a coupling is of one-step schemes for Y' = F(Y)"
        raise NotComposed(f"{scheme.name} {what}: {why}")


def _copy(text: SchemeText, unknown: str, alone: bool) -> str:
    """The name of the second copy of an unknown: Z for Y where that is free."""
    capital = unknown[:1].isupper()
    wanted = ("Z" if capital else "z") if alone else f"{unknown}2"
    found = text.fresh(wanted)
    text.spellings[found] = found
    return found


def _blended(own: Slot, other: Slot, increment: Increment) -> Node:
    """λ y + (1 - λ) z + Ψ, or λ y - λ z + the value after the step where Ψ is not apart."""
    one, weight = expr.Number(Fraction(1), "1"), expr.Constant(LAMBDA)
    first: list[tuple[int, Node]] = [(1, expr.Product(weight, own))]
    terms = terms_of(increment.value)
    if increment.apart:
        rest = expr.Sum(((1, one), (-1, weight)))
        return sum_of([*first, (1, expr.Product(rest, other)), *terms])
    return sum_of([*first, (-1, expr.Product(weight, other)), *terms])


def _reversed_lets(text: SchemeText, scheme: Scheme) -> tuple[dict[str, Node], set[str]]:
    """The lets, and one more for each that is neither odd nor even in h, with -h.

    Returns:
        What is written for the latter, and the names of the odd ones.
    """
    numbers: dict[str, Node] = {}
    odd: set[str] = set()
    text.lets |= dict(scheme.lets)
    text.taken |= {*text.lets}
    for name, value in scheme.lets:
        found = substituted(value, numbers, lambda _: None)
        kind = parity(found, odd)
        if kind is None:
            new = text.fresh(name)
            text.spellings[new] = spelled_like(scheme, name, new)
            text.lets[new] = reversed_time(found, odd)
            numbers[name] = expr.Constant(new)
        elif kind < 0:
            odd.add(name)
    return numbers, odd


def _in_reverse(scheme: Scheme, numbers: Mapping[str, Node], odd: set[str]) -> Scheme:
    """The lines of a scheme with -h for h."""
    updates = tuple(
        replace(u, value=reversed_time(put(u.value, numbers, {}), odd)) for u in scheme.updates
    )
    return replace(scheme, updates=updates)


def _increments(
    text: SchemeText, scheme: Scheme, begin: Mapping[str, Slot]
) -> dict[str, Increment]:
    """What a step that begins with other values makes of each unknown."""
    named: dict[Node, Node] = {Slot(u, 0): value for u, value in begin.items()}
    read = {node for node in scheme.nodes() if isinstance(node, Slot)}
    found: dict[str, Increment] = {}
    for update in scheme.updates:
        value = put(update.value, {}, named)
        target = update.target
        if isinstance(target, Slot):
            found[target.name] = _apart(value, begin[target.name])
            if target not in read:
                continue
        new = new_stage(text, scheme, target)
        named[target] = new
        text.lines.append((new, value))
        if isinstance(target, Slot):
            found[target.name] = Increment(False, new)
    return found


def _apart(value: Node, begin: Slot) -> Increment:
    """A value without the term it began with, where it has one and reads it nowhere else."""
    terms = terms_of(value)
    if (1, begin) in terms and len(terms) > 1:
        terms.remove((1, begin))
        return Increment(True, sum_of(terms))
    return Increment(False, value)
