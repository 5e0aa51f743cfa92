"""The coupling of a one-step scheme with itself, a reversible scheme, as source text."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

from odenet.model.elaboration.rewriting import negate, negate_step, parity, substitute, terms_of
from odenet.model.elaboration.scheme_text import (
    CompositionError,
    SchemeWriter,
    derived_spelling,
    new_stage,
    substitute_values,
)
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot, Stage
from odenet.model.expressions.fold import sum_of
from odenet.model.typed.scheme import Scheme

LAMBDA = "lambda"  # the constant λ that couples the two copies


class StepResult(NamedTuple):
    """The result of a step for one unknown.

    Attributes:
        is_increment: whether `value` is the increment Ψ of a step y + Ψ.
        value: the increment, or else the whole value after the step.
    """

    is_increment: bool
    value: Node


def coupling_text(name: str, scheme: Scheme, weight: Node | None = None) -> str:
    """The source text of a one-step scheme made reversible by a second copy Z of its unknowns Y.

    McCallum & Foster 2024, arXiv 2410.11648, Eq. 5: with the step y + Ψ(h, y),
    Y[n+1] = λ Y[n] + (1 - λ) Z[n] + Ψ(h, Z[n]) and Z[n+1] = Z[n] - Ψ(-h, Y[n+1]).

    Args:
        name: the name of the result.
        scheme: the one-step scheme.
        weight: the default of λ; 0.99 if None.
    """
    _require_one_step(scheme)
    writer = SchemeWriter.of(scheme)
    writer.constants = {n: v for n, v in scheme.constants if n not in scheme.implied_constants}
    if LAMBDA in {*writer.constants, *dict(scheme.lets), *scheme.decays}:
        raise CompositionError(f"{scheme.name} has a number λ of its own")
    writer.constants[LAMBDA] = weight or expr.Number(Fraction(99, 100), "0.99")
    writer.spellings[LAMBDA] = "λ"
    writer.taken_names |= {*writer.constants, *(u.target.name for u in scheme.updates)}
    is_only = len(scheme.equations) == 1
    copies = {u: _name_second_copy(writer, u, is_only) for u in scheme.equations}
    # the names of stages are free again, for the stages that `_add_step` adds
    writer.taken_names -= {u.target.name for u in scheme.updates if isinstance(u.target, Stage)}
    writer.aux = list(copies.values())
    writer.starts = [(Slot(z, 0), Slot(y, 0)) for y, z in copies.items()]
    reversed_lets, odd_names = _add_reversed_lets(writer, scheme)
    forward = _add_step(writer, scheme, {y: Slot(z, 0) for y, z in copies.items()})
    for y, z in copies.items():
        y_old, z_old = Slot(y, 0), Slot(z, 0)
        writer.lines.append((Slot(y, 1), _coupled_value(y_old, z_old, forward[y])))
    new_values = {y: Slot(y, 1) for y in copies}
    backward = _add_step(writer, _reversed_scheme(scheme, reversed_lets, odd_names), new_values)
    for y, z in copies.items():
        increment = terms_of(negate(backward[y].value))
        rest: list[tuple[int, Node]] = [] if backward[y].is_increment else [(1, Slot(y, 1))]
        writer.lines.append((Slot(z, 1), sum_of([(1, Slot(z, 0)), *rest, *increment])))
    return writer.write(name)


def _require_one_step(scheme: Scheme) -> None:
    """Raise CompositionError if the scheme is not a one-step scheme for Y' = F(Y)."""
    problem = ""
    if scheme.aux:
        problem = "has unknowns of its own"
    elif any(scheme.stored_offsets(unknown) != (0,) for unknown in scheme.unknowns):
        problem = "looks back to values of earlier steps"
    elif any(p.order != 1 for p in scheme.patterns):
        problem = "is for equations of second order"
    elif not scheme.uses_step_size:
        problem = "has no step size"
    if problem:
        requirement = "a coupling is of one-step schemes for Y' = F(Y)"
        raise CompositionError(f"{scheme.name} {problem}: {requirement}")


def _name_second_copy(writer: SchemeWriter, unknown: str, is_only_unknown: bool) -> str:
    """Choose the name of the second copy of an unknown: `Z` for a single `Y`, else `Y2`."""
    capital = unknown[:1].isupper()
    preferred_name = ("Z" if capital else "z") if is_only_unknown else f"{unknown}2"
    name = writer.fresh_name(preferred_name)
    writer.spellings[name] = name
    return name


def _coupled_value(y: Slot, z: Slot, step_result: StepResult) -> Node:
    """The new value of y: λ y + (1 - λ) z + Ψ.

    Where the step from z gives the whole value z + Ψ, that is λ y - λ z + the value.
    """
    number_one, weight = expr.Number(Fraction(1), "1"), expr.Constant(LAMBDA)
    weighted_y: list[tuple[int, Node]] = [(1, expr.Product(weight, y))]
    terms = terms_of(step_result.value)
    if step_result.is_increment:
        other_weight = expr.Sum(((1, number_one), (-1, weight)))
        return sum_of([*weighted_y, (1, expr.Product(other_weight, z)), *terms])
    return sum_of([*weighted_y, (-1, expr.Product(weight, z)), *terms])


def _add_reversed_lets(writer: SchemeWriter, scheme: Scheme) -> tuple[dict[str, Node], set[str]]:
    """Add the lets, and for each that is neither odd nor even in h one more with -h for h.

    Returns:
        Name of a let -> the one with -h, and the names of the lets that are odd in h.
    """
    reversed_lets: dict[str, Node] = {}
    odd_names: set[str] = set()
    writer.lets |= dict(scheme.lets)
    writer.taken_names |= {*writer.lets}
    for name, value in scheme.lets:
        formula = substitute(value, reversed_lets, lambda _: None)
        let_parity = parity(formula, odd_names)
        if let_parity is None:
            new_name = writer.fresh_name(name)
            writer.spellings[new_name] = derived_spelling(scheme, name, new_name)
            writer.lets[new_name] = negate_step(formula, odd_names)
            reversed_lets[name] = expr.Constant(new_name)
        elif let_parity < 0:
            odd_names.add(name)
    return reversed_lets, odd_names


def _reversed_scheme(scheme: Scheme, reversed_lets: dict[str, Node], odd_names: set[str]) -> Scheme:
    """A scheme with -h for h in its lines, and the lets that this changes replaced."""
    updates = tuple(
        replace(u, value=negate_step(substitute_values(u.value, reversed_lets, {}), odd_names))
        for u in scheme.updates
    )
    return replace(scheme, updates=updates)


def _add_step(
    writer: SchemeWriter, scheme: Scheme, initial_values: Mapping[str, Slot]
) -> dict[str, StepResult]:
    """Add the lines of a step from other initial values; return its result for each unknown."""
    new_values: dict[Node, Node] = {Slot(u, 0): value for u, value in initial_values.items()}
    slots_read = {node for node in scheme.nodes() if isinstance(node, Slot)}
    results: dict[str, StepResult] = {}
    for update in scheme.updates:
        value = substitute_values(update.value, {}, new_values)
        target = update.target
        if isinstance(target, Slot):
            results[target.name] = _split_increment(value, initial_values[target.name])
            if target not in slots_read:
                continue
        stage = new_stage(writer, scheme, target)
        new_values[target] = stage
        writer.lines.append((stage, value))
        if isinstance(target, Slot):
            results[target.name] = StepResult(is_increment=False, value=stage)
    return results


def _split_increment(value: Node, initial_value: Slot) -> StepResult:
    """Split a value y + Ψ into y, the initial value, and Ψ; a value of another form stays whole."""
    terms = terms_of(value)
    if (1, initial_value) in terms and len(terms) > 1:
        terms.remove((1, initial_value))
        return StepResult(is_increment=True, value=sum_of(terms))
    return StepResult(is_increment=False, value=value)
