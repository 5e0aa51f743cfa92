"""Whether a step is its own inverse when time runs backwards."""

from odenet.derive.coefficients import Scalars
from odenet.derive.inverse import Undo
from odenet.derive.linear_forms import Algebra, Form, read_step
from odenet.model.expr import Node, Slot
from odenet.model.scheme import Scheme


def is_symmetric(scheme: Scheme, undone: tuple[Undo, ...]) -> bool:
    """Whether the inverse is the same step with -h, for every right-hand side.

    Both are written in the values after the step and compared term by term. Backwards in time the
    newest value is the oldest: Y[n+1], Y[n] of a two-step scheme take the places of Y[n-1], Y[n].

    Args:
        scheme: its text.
        undone: its inverse. A scheme without an explicit inverse is not symmetric, since the step
            with -h is explicit.
    """
    scalars = Scalars(scheme, expand=True)
    if scalars.powers_of_h:
        return False
    algebra = Algebra(scalars)
    mirror = {slot: _mirrored(scheme, slot) for slot in scheme.slots}
    values: dict[Node, Form] = {
        Slot(slot.name, slot.offset + 1): algebra.register(mirror[slot]) for slot in scheme.slots
    }
    algebra.run((undo.backward for undo in undone), values)
    reversed_step = read_step(scheme, algebra.in_scalars(scalars.backwards()))
    return all(values[slot] == reversed_step.after[mirror[slot]] for slot in scheme.slots)


def _mirrored(scheme: Scheme, slot: Slot) -> Slot:
    """The slot that takes a slot's place when time runs backwards."""
    oldest = min(scheme.history(slot.name))
    return Slot(slot.name, oldest - slot.offset)
