"""Why a step has no explicit inverse, in the words of its text."""

from dataclasses import dataclass, field

from odenet.derive.linear_forms import Form, Step, express
from odenet.derive.solve_backwards import NoInverse
from odenet.derive.text import SchemeNotation
from odenet.diagnostics import Span
from odenet.model.expressions.expr import ElementwiseExp, Node, Slot, Stage


@dataclass(frozen=True)
class Obstacle:
    """What prevents an explicit inverse.

    Args:
        message: a sentence.
        unknown: the value that cannot be solved for.
        span: where it is.
    """

    message: str
    unknown: Slot | Stage
    span: Span | None = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.message


def find_obstacle(step: Step, stuck: NoInverse, notation: SchemeNotation) -> Obstacle:
    """The obstacle nearest to the end of the text, where solving backwards stops first."""
    if any(not step.algebra.scalars.is_number(c) for r in stuck.rows.values() for c in r.values()):
        return _multiplied(step, notation)
    blocked = [key for row in stuck.rows.values() for key in row if isinstance(key, int)]
    if blocked:
        return _inside(step, stuck, max(blocked), notation)
    return _forgotten(step, stuck, notation)


def _multiplied(step: Step, notation: SchemeNotation) -> Obstacle:
    """An exponential cannot be divided out, or something is read with one before it."""
    line, factor = next(
        (line.update, node)
        for line in step.lines
        for node in line.update.value.walk()
        if isinstance(node, ElementwiseExp)
    )
    shown, target = notation.show(factor), notation.show(line.target)
    message = (
        f"{shown} cannot be divided out of {target}: it has to multiply one value that it does "
        "not read, and what it reads has to be known after the step"
    )
    return Obstacle(message, line.target, factor.span)


def _inside(step: Step, stuck: NoInverse, index: int, notation: SchemeNotation) -> Obstacle:
    """An unknown is inside a right-hand side."""
    rate = step.algebra.atoms[index].node
    values: dict[Node, Form] = {slot: step.algebra.register(slot) for slot in step.registers}
    values |= {line.target: line.form for line in step.lines}
    unknown = next(
        node
        for node in rate.walk()
        if isinstance(node, Slot | Stage) and not _known(values[node], stuck)
    )
    name, shown = notation.show(unknown), notation.show(rate)
    carrier = next(row for row in stuck.rows.values() if index in row)
    if not set(values[unknown]) & set().union(*stuck.rows.values()):
        message = f"{name} appears only inside {shown}: no line gives it back"
    elif _occurs_in(values[unknown], carrier):
        message = f"{name} also appears inside {shown}, in the line that would have to give it"
    else:
        need = _needed(stuck, values[unknown], index, carrier)
        message = f"{name} appears inside {shown}, but solving for {name} needs {shown} first"
        if need is not None:
            message = (
                f"{name} appears inside {shown}, and the line that would give {name} "
                f"needs {notation.show(step.algebra.atoms[need].node)}, which is not known either"
            )
    return Obstacle(message, unknown, unknown.span)


def _needed(stuck: NoInverse, unknown: Form, index: int, carrier: Form) -> int | None:
    """Another right-hand side in the way of an unknown."""
    for row in (*(r for r in stuck.rows.values() if _occurs_in(unknown, r)), carrier):
        atoms = [key for key in row if isinstance(key, int) and key != index]
        if atoms:
            return max(atoms)
    return None


def _occurs_in(value: Form, row: Form) -> bool:
    """Whether a value is a linear part of what a register holds."""
    return any(isinstance(key, Slot) and key in row for key in value)


def _known(value: Form, stuck: NoInverse) -> bool:
    bare = {slot: _bare(row, stuck.known) for slot, row in stuck.rows.items()}
    return express(_bare(value, stuck.known), bare) is not None


def _bare(form: Form, known: set[int]) -> Form:
    return {key: value for key, value in form.items() if key not in known}


def _forgotten(step: Step, stuck: NoInverse, notation: SchemeNotation) -> Obstacle:
    """All right-hand sides are known, but the stored values do not follow."""
    lost = [slot for slot in step.registers if not _known(step.algebra.register(slot), stuck)]
    gone = [slot for slot in lost if not any(slot in row for row in stuck.rows.values())]
    slot = (gone or lost)[0]
    name = notation.show(slot)
    line = next(u for u in step.lines if u.target == Slot(slot.name, 1)).update
    if gone:
        message = f"{name} is forgotten: after the step nothing depends on it"
    else:
        names = " and ".join(notation.show(other) for other in lost)
        message = f"{names} cannot be told apart after the step: it keeps only some sums of them"
    return Obstacle(message, slot, line.span)
