"""Why a step has no explicit inverse, in words that refer to its text."""

from dataclasses import dataclass, field

from odenet.derive.linear_forms import Form, Step, express
from odenet.derive.scheme_notation import SchemeNotation
from odenet.derive.solve_backwards import NoInverse, without_atoms
from odenet.diagnostics import Span
from odenet.model.expressions.expr import ElementwiseExp, Node, Slot, Stage


@dataclass(frozen=True)
class Obstacle:
    """What prevents an explicit inverse.

    Args:
        message: the reason, as a sentence.
        unsolved: the value that cannot be solved for.
        span: where the reason is in the text.
    """

    message: str
    unsolved: Slot | Stage
    span: Span | None = field(compare=False, repr=False)

    def __str__(self) -> str:
        return self.message


def find_obstacle(step: Step, failure: NoInverse, notation: SchemeNotation) -> Obstacle:
    """The obstacle nearest to the end of the text, where solving backwards stops first.

    Args:
        step: the step.
        failure: what solving backwards (`solve_backwards.py`) had reached when it stopped.
        notation: prints expressions as the author of the scheme writes them.
    """
    rows = failure.rows.values()
    if any(not step.algebra.coeff_field.is_constant(c) for row in rows for c in row.values()):
        return _exponential_obstacle(step, notation)
    unresolved_atoms = [key for row in rows for key in row if isinstance(key, int)]
    if unresolved_atoms:
        return _argument_obstacle(step, failure, max(unresolved_atoms), notation)
    return _lost_value_obstacle(step, failure, notation)


def _exponential_obstacle(step: Step, notation: SchemeNotation) -> Obstacle:
    """The obstacle for a factor `exp(…)` that cannot be divided out."""
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


def _argument_obstacle(
    step: Step, failure: NoInverse, index: int, notation: SchemeNotation
) -> Obstacle:
    """The obstacle for a value inside an argument of a right-hand side, the atom `index`."""
    rate = step.algebra.atoms[index].node
    values: dict[Node, Form] = {slot: step.algebra.form_of(slot) for slot in step.registers}
    values |= {line.target: line.form for line in step.lines}
    read = (node for node in rate.walk() if isinstance(node, Slot | Stage))
    unsolved = next(node for node in read if not _is_known(values[node], failure))
    name, shown = notation.show(unsolved), notation.show(rate)
    carrier = next(row for row in failure.rows.values() if index in row)
    if not set(values[unsolved]) & set().union(*failure.rows.values()):
        message = f"{name} appears only inside {shown}: no line gives it back"
    elif _occurs_in(values[unsolved], carrier):
        message = f"{name} also appears inside {shown}, in the line that would have to give it"
    else:
        other = _other_unknown_atom(failure, values[unsolved], index, carrier)
        message = f"{name} appears inside {shown}, but solving for {name} needs {shown} first"
        if other is not None:
            message = (
                f"{name} appears inside {shown}, and the line that would give {name} "
                f"needs {notation.show(step.algebra.atoms[other].node)}, which is not known either"
            )
    return Obstacle(message, unsolved, unsolved.span)


def _other_unknown_atom(failure: NoInverse, value: Form, index: int, carrier: Form) -> int | None:
    """Another right-hand side that is not known, in a register with the value to solve for.

    Otherwise one in the `carrier`, the register that contains the atom `index`.
    """
    for row in (*(r for r in failure.rows.values() if _occurs_in(value, r)), carrier):
        atoms = [key for key in row if isinstance(key, int) and key != index]
        if atoms:
            return max(atoms)
    return None


def _occurs_in(value: Form, row: Form) -> bool:
    """Whether a value occurs linearly, outside of right-hand sides, in what a register holds."""
    return any(isinstance(key, Slot) and key in row for key in value)


def _is_known(value: Form, failure: NoInverse) -> bool:
    """Whether a value follows from the registers and the known right-hand sides."""
    rows = {slot: without_atoms(row, failure.known_atoms) for slot, row in failure.rows.items()}
    return express(without_atoms(value, failure.known_atoms), rows) is not None


def _lost_value_obstacle(step: Step, failure: NoInverse, notation: SchemeNotation) -> Obstacle:
    """The obstacle if all right-hand sides are known, but the stored values do not follow."""
    undetermined = [s for s in step.registers if not _is_known(step.algebra.form_of(s), failure)]
    forgotten = [s for s in undetermined if not any(s in row for row in failure.rows.values())]
    slot = (forgotten or undetermined)[0]
    name = notation.show(slot)
    line = next(u for u in step.lines if u.target == Slot(slot.name, 1)).update
    if forgotten:
        message = f"{name} is forgotten: after the step nothing depends on it"
    else:
        names = " and ".join(notation.show(other) for other in undetermined)
        message = f"{names} cannot be told apart after the step: it keeps only some sums of them"
    return Obstacle(message, slot, line.span)
