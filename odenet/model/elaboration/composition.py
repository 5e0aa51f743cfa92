"""Schemes made of schemes: compositions and adjoints.

What comes out is a text of the language, so that all that holds for a scheme holds for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from odenet.model.elaboration.rewriting import H, parity, reversed_time, substituted
from odenet.model.elaboration.scheme_text import (
    NotComposed,
    SchemeText,
    new_stage,
    put,
    spelled_like,
)
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.typed.dialects import OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.scheme import Scheme, Update

MOST_LINES = 100
ValueOf = TypeVar("ValueOf", Slot, Stage, Slot | Stage)


@dataclass(frozen=True)
class Part:
    """A scheme as one part of a step.

    Args:
        scheme: as parsed.
        step: its step size, in `h` of the whole.
        values: of its constants, in the constants of the whole.
    """

    scheme: Scheme
    step: Node = H
    values: Mapping[str, Node] = field(default_factory=dict[str, Node])


def composed(name: str, parts: Sequence[Part], constants: Mapping[str, Node | None]) -> str:
    """One step of several schemes, one after the other.

    Args:
        name: of the result.
        parts: in the order in which they act.
        constants: of the result, before those of its parts.
    """
    lines = sum(len(part.scheme.updates) for part in parts)
    if lines > MOST_LINES:
        raise NotComposed(f"a step of {lines} lines is too long: at most {MOST_LINES}")
    text = SchemeText.of(parts[0].scheme)
    renamed = [_alike(parts[0].scheme, part) for part in parts]
    for part in renamed:
        _add_constants(text, part, constants)
    text.constants = {**constants, **text.constants}
    text.taken |= {*text.constants}
    text.aux = list(parts[0].scheme.aux)
    text.starts = _starts(renamed[0])
    for part in renamed[1:]:
        if (part.scheme.aux, part.scheme.starts) != (text.like.aux, text.like.starts):
            message = f"{text.like.name} and {part.scheme.name} have other unknowns of their own"
            raise NotComposed(message)
    current: dict[str, Slot | Stage] = {u: Slot(u, 0) for u in text.like.unknowns}
    for index, part in enumerate(renamed):
        current = _add_part(text, part, current, final=index == len(renamed) - 1)
    return text.write(name)


def _starts(part: Part) -> list[tuple[Slot, Node]]:
    numbers = {"h": part.step, **part.values}
    return [(s, substituted(v, numbers, lambda _: None)) for s, v in part.scheme.starts]


def _alike(first: Scheme, part: Part) -> Part:
    """A part with the names of the first for the unknowns and right-hand sides."""
    scheme = part.scheme
    for unknown in scheme.unknowns:
        if scheme.stored_offsets(unknown) != (0,):
            why = "looks back to values of earlier steps, which a part of a step has not"
            raise NotComposed(f"{scheme.name} {why}")
    names = dict(zip(scheme.equations, first.equations, strict=False))
    names |= {p.function: q.function for p, q in zip(scheme.patterns, first.patterns, strict=False)}
    form = [
        (names.get(p.variable), p.order, tuple(map(names.get, p.reads)), p.summand, bool(p.decay))
        for p in scheme.patterns
    ]
    wanted = [(p.variable, p.order, p.reads, p.summand, bool(p.decay)) for p in first.patterns]
    if form != wanted:
        write, other = Notation(OdeDialect(first.spellings)), Notation(OdeDialect(scheme.spellings))
        takes = f"{first.name} takes {write.for_line(first)}"
        raise NotComposed(f"{takes}, and {scheme.name} takes {other.for_line(scheme)}")
    names |= dict(zip(scheme.aux, first.aux, strict=False))
    decays = dict(zip(scheme.decays, first.decays, strict=True))
    if all(a == b for a, b in [*names.items(), *decays.items()]):
        return part
    return Part(_renamed(scheme, first, names, decays), part.step, part.values)


def _renamed(
    scheme: Scheme, first: Scheme, names: Mapping[str, str], decays: Mapping[str, str]
) -> Scheme:
    """A scheme in other names, with its own stages out of their way."""
    taken = {*names.values(), *decays.values()}
    own = {*scheme.aux, *(u.target.name for u in scheme.updates), *dict(scheme.lets)}
    renaming = {n: f"{n}_" for n in own if n in taken and n not in names} | dict(names)
    numbers: dict[str, Node] = {n: expr.Constant(m) for n, m in decays.items()}
    numbers |= {n: expr.Constant(renaming[n]) for n in dict(scheme.lets) if n in renaming}

    def new_value(old: ValueOf) -> ValueOf:
        return replace(old, name=renaming.get(old.name, old.name))

    def named(node: Node) -> Node:
        match node:
            case Slot() | Stage():
                return new_value(node)
            case expr.Rate():
                return expr.Rate(names.get(node.function, node.function), node.arguments)
            case _:
                return node

    def put(node: Node) -> Node:
        return substituted(node, numbers, named)

    return Scheme(
        name=scheme.name,
        constants=tuple((decays.get(n, n), v) for n, v in scheme.constants),
        lets=tuple((renaming.get(n, n), put(v)) for n, v in scheme.lets),
        patterns=first.patterns,
        aux=tuple(renaming.get(n, n) for n in scheme.aux),
        starts=tuple((new_value(s), put(v)) for s, v in scheme.starts),
        updates=tuple(Update(new_value(u.target), put(u.value), u.span) for u in scheme.updates),
        spellings={**scheme.spellings, **first.spellings},
        span=scheme.span,
        text=scheme.text,
    )


def _add_constants(text: SchemeText, part: Part, whole: Mapping[str, Node | None]) -> None:
    """The constants of a part that are left open are those of the whole."""
    for name, default in part.scheme.constants:
        if name in {*part.values, *part.scheme.implied_constants, *whole}:
            continue
        if text.constants.get(name, default) != default:
            shown = part.scheme.spellings.get(name, name)
            raise NotComposed(
                f"`{shown}` has one default in {part.scheme.name} and another before: "
                f"write `{part.scheme.name}(h, {shown} = …)`"
            )
        text.constants.setdefault(name, default)
        text.spellings.setdefault(name, part.scheme.spellings.get(name, name))


def _add_part(
    text: SchemeText, part: Part, begin: Mapping[str, Slot | Stage], final: bool
) -> dict[str, Slot | Stage]:
    """The lines of a part; the values of the unknowns after it."""
    numbers = _add_lets(text, part)
    named: dict[Node, Slot | Stage] = {Slot(u, 0): value for u, value in begin.items()}
    for update in part.scheme.updates:
        value = put(update.value, numbers, named)
        target = update.target
        new = target if final and isinstance(target, Slot) else new_stage(text, part.scheme, target)
        named[target] = new
        text.lines.append((new, value))
    return {u: named[Slot(u, 1)] for u in begin}


def _add_lets(text: SchemeText, part: Part) -> dict[str, Node]:
    """The lets of a part; what is written for its numbers."""
    numbers: dict[str, Node] = {"h": part.step, **part.values}
    for name, value in part.scheme.lets:
        found = put(value, numbers, {})
        same = next((n for n, v in text.lets.items() if v == found), None)
        new = same or text.fresh(name)
        text.lets[new] = found
        text.spellings.setdefault(new, spelled_like(part.scheme, name, new))
        numbers[name] = expr.Constant(new)
    return numbers


def adjoint(name: str, scheme: Scheme, inverse: Sequence[Update]) -> str:
    """The scheme whose step undoes one of this scheme with -h.

    Hairer, Lubich & Wanner, Geometric Numerical Integration, II.3. Backwards in time the newest
    value of an unknown that looks back is the oldest.

    Args:
        name: of the result.
        scheme: as parsed.
        inverse: the lines of its inverse.
    """
    for unknown in scheme.aux:
        if scheme.stored_offsets(unknown) != (0,):
            raise NotComposed(f"{scheme.name} has an unknown of its own that looks back")
    text = SchemeText.of(scheme)
    text.constants = {n: v for n, v in scheme.constants if n not in scheme.implied_constants}
    text.aux = list(scheme.aux)
    odd: set[str] = set()
    for key, value in scheme.lets:
        kind = parity(value, odd)
        text.lets[key] = reversed_time(value, odd) if kind is None else value
        odd |= {key} if kind == -1 else set()
    text.starts = [
        (slot, reversed_time(value, odd) if slot.name in scheme.aux else value)
        for slot, value in scheme.starts
    ]
    oldest = {unknown: min(scheme.stored_offsets(unknown)) for unknown in scheme.unknowns}

    def mirrored(node: Node) -> Node | None:
        if isinstance(node, Slot):
            return Slot(node.name, oldest[node.name] + 1 - node.offset)
        return None

    for line in inverse:
        target = mirrored(line.target) or line.target
        assert isinstance(target, Slot | Stage)
        value = reversed_time(substituted(line.value, {}, mirrored), odd)
        text.lines.append((target, value))
    return text.write(name)
