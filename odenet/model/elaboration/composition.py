"""Compositions and adjoints of schemes, as source text of the language.

The text is parsed like that of any other scheme, so that all checks and derivations apply to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from odenet.model.elaboration.rewriting import H, negate_step, parity, substitute
from odenet.model.elaboration.scheme_text import (
    CompositionError,
    SchemeWriter,
    derived_spelling,
    new_stage,
    substitute_values,
)
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.typed.dialects import OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.scheme import Scheme, Update

MOST_LINES = 100  # of a composition
Defaults = Mapping[str, Node | None]  # constant -> its default; None without one
SlotOrStage = TypeVar("SlotOrStage", Slot, Stage, Slot | Stage)


@dataclass(frozen=True)
class Substep:
    """A scheme that computes one part of the step of a composition, as `S(h/2)` does.

    Args:
        scheme: the scheme.
        step_size: its step size, as a formula in the step size `h` of the composition.
        values: the values of its constants, as formulas in the constants of the composition.
    """

    scheme: Scheme
    step_size: Node = H
    values: Mapping[str, Node] = field(default_factory=dict[str, Node])


def composition_text(name: str, substeps: Sequence[Substep], constants: Defaults) -> str:
    """The source text of a scheme whose step runs several schemes one after the other.

    Args:
        name: the name of the result.
        substeps: the schemes, in the order in which they run.
        constants: the constants declared for the result, with their defaults. The result also has
            the constants of the substeps that are given no value; they come after these.
    """
    line_count = sum(len(substep.scheme.updates) for substep in substeps)
    if line_count > MOST_LINES:
        raise CompositionError(f"a step of {line_count} lines is too long: at most {MOST_LINES}")
    first = substeps[0].scheme
    writer = SchemeWriter.of(first)
    renamed = [_with_names_of(first, substep) for substep in substeps]
    for substep in renamed:
        _add_constants(writer, substep, constants)
    writer.constants = {**constants, **writer.constants}
    writer.taken_names |= {*writer.constants}
    writer.aux = list(first.aux)
    writer.starts = _substep_starts(renamed[0])
    for substep in renamed[1:]:
        if (substep.scheme.aux, substep.scheme.starts) != (first.aux, first.starts):
            message = f"{first.name} and {substep.scheme.name} have other unknowns of their own"
            raise CompositionError(message)
    values: dict[str, Slot | Stage] = {u: Slot(u, 0) for u in first.unknowns}
    for index, substep in enumerate(renamed):
        values = _add_substep(writer, substep, values, last=index == len(renamed) - 1)
    return writer.write(name)


def _substep_starts(substep: Substep) -> list[tuple[Slot, Node]]:
    """The values before the first step, with the step size and the constants of the substep."""
    replacements = {"h": substep.step_size, **substep.values}
    return [(s, substitute(v, replacements, lambda _: None)) for s, v in substep.scheme.starts]


def _with_names_of(first: Scheme, substep: Substep) -> Substep:
    """A substep whose unknowns, right-hand sides and decays have the names of the first scheme."""
    scheme = substep.scheme
    for unknown in scheme.unknowns:
        if scheme.stored_offsets(unknown) != (0,):
            reason = "looks back to values of earlier steps, which a part of a step has not"
            raise CompositionError(f"{scheme.name} {reason}")
    names = dict(zip(scheme.equations, first.equations, strict=False))
    names |= {p.function: q.function for p, q in zip(scheme.patterns, first.patterns, strict=False)}
    equations = [  # as `first` would name them
        (names.get(p.unknown), p.order, tuple(map(names.get, p.reads)), p.summand, bool(p.decay))
        for p in scheme.patterns
    ]
    expected = [(p.unknown, p.order, p.reads, p.summand, bool(p.decay)) for p in first.patterns]
    if equations != expected:
        lines = [Notation(OdeDialect(s.spellings)).for_line(s) for s in (first, scheme)]
        message = f"{first.name} takes {lines[0]}, and {scheme.name} takes {lines[1]}"
        raise CompositionError(message)
    names |= dict(zip(scheme.aux, first.aux, strict=False))
    decays = dict(zip(scheme.decays, first.decays, strict=True))
    if all(a == b for a, b in [*names.items(), *decays.items()]):
        return substep
    return Substep(_with_new_names(scheme, first, names, decays), substep.step_size, substep.values)


def _with_new_names(
    scheme: Scheme, first: Scheme, names: Mapping[str, str], decays: Mapping[str, str]
) -> Scheme:
    """A scheme with other names; its stages and lets get new names where these collide.

    Args:
        scheme: the scheme.
        first: the scheme whose names it takes over.
        names: old name -> new name, of unknowns and right-hand sides.
        decays: old name -> new name, of the decay constants.
    """
    taken_names = {*names.values(), *decays.values()}
    local_names = {*scheme.aux, *(u.target.name for u in scheme.updates), *dict(scheme.lets)}
    colliding = {n for n in local_names if n in taken_names and n not in names}
    renaming = {n: f"{n}_" for n in colliding} | dict(names)
    constants: dict[str, Node] = {n: expr.Constant(m) for n, m in decays.items()}
    constants |= {n: expr.Constant(renaming[n]) for n in dict(scheme.lets) if n in renaming}

    def rename(old: SlotOrStage) -> SlotOrStage:
        return replace(old, name=renaming.get(old.name, old.name))

    def replace_field(node: Node) -> Node:
        match node:
            case Slot() | Stage():
                return rename(node)
            case expr.Rate():
                return expr.Rate(names.get(node.function, node.function), node.arguments)
            case _:
                return node

    def rewrite(node: Node) -> Node:
        return substitute(node, constants, replace_field)

    return Scheme(
        name=scheme.name,
        constants=tuple((decays.get(n, n), v) for n, v in scheme.constants),
        lets=tuple((renaming.get(n, n), rewrite(v)) for n, v in scheme.lets),
        patterns=first.patterns,
        aux=tuple(renaming.get(n, n) for n in scheme.aux),
        starts=tuple((rename(s), rewrite(v)) for s, v in scheme.starts),
        updates=tuple(Update(rename(u.target), rewrite(u.value), u.span) for u in scheme.updates),
        spellings={**scheme.spellings, **first.spellings},
        span=scheme.span,
        text=scheme.text,
    )


def _add_constants(writer: SchemeWriter, substep: Substep, declared: Defaults) -> None:
    """Add the constants of a substep that have no value in it to those of the composition."""
    for name, default in substep.scheme.constants:
        if name in {*substep.values, *substep.scheme.implied_constants, *declared}:
            continue
        if writer.constants.get(name, default) != default:
            spelling = substep.scheme.spellings.get(name, name)
            raise CompositionError(
                f"`{spelling}` has one default in {substep.scheme.name} and another before: "
                f"write `{substep.scheme.name}(h, {spelling} = …)`"
            )
        writer.constants.setdefault(name, default)
        writer.spellings.setdefault(name, substep.scheme.spellings.get(name, name))


def _add_substep(
    writer: SchemeWriter, substep: Substep, initial: Mapping[str, Slot | Stage], last: bool
) -> dict[str, Slot | Stage]:
    """Add the lines of a substep.

    Args:
        writer: the composition, to which they are added.
        substep: the scheme, with the names of the composition.
        initial: the values of the unknowns before the substep, by name.
        last: whether its results are those of the whole step.

    Returns:
        The values of the unknowns after the substep, by name.
    """
    scheme, replacements = substep.scheme, _add_lets(writer, substep)
    new_values: dict[Node, Slot | Stage] = {Slot(u, 0): value for u, value in initial.items()}
    for update in scheme.updates:
        value = substitute_values(update.value, replacements, new_values)
        target = update.target
        result = target if last and isinstance(target, Slot) else new_stage(writer, scheme, target)
        new_values[target] = result
        writer.lines.append((result, value))
    return {u: new_values[Slot(u, 1)] for u in initial}


def _add_lets(writer: SchemeWriter, substep: Substep) -> dict[str, Node]:
    """Add the lets of a substep; return what its step size, constants and lets are replaced by."""
    replacements: dict[str, Node] = {"h": substep.step_size, **substep.values}
    for name, value in substep.scheme.lets:
        new_value = substitute_values(value, replacements, {})
        equal_let = next((n for n, v in writer.lets.items() if v == new_value), None)
        new_name = equal_let or writer.fresh_name(name)
        writer.lets[new_name] = new_value
        writer.spellings.setdefault(new_name, derived_spelling(substep.scheme, name, new_name))
        replacements[name] = expr.Constant(new_name)
    return replacements


def adjoint_text(name: str, scheme: Scheme, inverse: Sequence[Update]) -> str:
    """The source text of the adjoint scheme: its step is the inverse of the scheme's step with -h.

    Hairer, Lubich & Wanner, Geometric Numerical Integration, II.3. In a multistep scheme, time
    reversal exchanges the newest and the oldest value of an unknown.

    Args:
        name: the name of the result.
        scheme: the scheme.
        inverse: the lines of its inverse step.
    """
    for unknown in scheme.aux:
        if scheme.stored_offsets(unknown) != (0,):
            raise CompositionError(f"{scheme.name} has an unknown of its own that looks back")
    writer = SchemeWriter.of(scheme)
    writer.constants = {n: v for n, v in scheme.constants if n not in scheme.implied_constants}
    writer.aux = list(scheme.aux)
    odd_names: set[str] = set()
    for let_name, value in scheme.lets:
        let_parity = parity(value, odd_names)
        writer.lets[let_name] = negate_step(value, odd_names) if let_parity is None else value
        odd_names |= {let_name} if let_parity == -1 else set()
    writer.starts = [
        (slot, negate_step(value, odd_names) if slot.name in scheme.aux else value)
        for slot, value in scheme.starts
    ]
    oldest_offset = {unknown: min(scheme.stored_offsets(unknown)) for unknown in scheme.unknowns}

    def mirror(node: Node) -> Node | None:
        """A slot with its offset mirrored: the newest for the oldest; None for other nodes."""
        if isinstance(node, Slot):
            return Slot(node.name, oldest_offset[node.name] + 1 - node.offset)
        return None

    for line in inverse:
        target = mirror(line.target) or line.target
        assert isinstance(target, Slot | Stage)
        value = negate_step(substitute(line.value, {}, mirror), odd_names)
        writer.lines.append((target, value))
    return writer.write(name)
