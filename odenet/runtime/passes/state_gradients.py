"""The gradients with respect to the slots of a state, while a backward pass runs over the steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from odenet.runtime.passes.shear import Coefficient, Registers, is_number


class StateGradients(Registers):
    """One gradient for each slot, or none where the loss does not depend on the slot.

    A slot without a gradient costs nothing, and passes none on, as None in autograd.

    Args:
        slots: their names.
        gradients: the gradients with respect to the slots, in their order; None for none.
    """

    def __init__(self, slots: tuple[str, ...], gradients: Sequence[Tensor | None]):
        self._all_slots = slots
        super().__init__((), ())
        self.set_all(gradients)

    def set_all(self, gradients: Sequence[Tensor | None]) -> None:
        """Puts other gradients into all slots, given in their order."""
        pairs = zip(self._all_slots, gradients, strict=True)
        self._values = {slot: gradient for slot, gradient in pairs if gradient is not None}
        self._owned.clear()

    def read_or_none(self, slot: str) -> Tensor | None:
        """The gradient with respect to a slot, if there is one."""
        return self._values.get(slot)

    def gradients(self) -> tuple[Tensor | None, ...]:
        """The gradients with respect to all slots, None for none."""
        return tuple(map(self.read_or_none, self._all_slots))

    def gradients_or_zeros(self, state: Registers) -> tuple[Tensor, ...]:
        """The gradients with respect to all slots, zeros for none.

        Args:
            state: the state of the same slots, which gives the shapes of the zeros.
        """
        pairs = zip(self.gradients(), state.tensors(), strict=True)
        return tuple(torch.zeros_like(value) if g is None else g for g, value in pairs)

    def increase(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        """Does slot += factor * amount."""
        if slot in self._values:
            super().increase(slot, amount, factor)
        else:  # a copy, since the amount may also be the gradient of another slot
            self._set(slot, amount.clone() if is_number(factor, 1) else amount * factor)

    def mix(self, slot: str, weight: Coefficient, other: str) -> None:
        """Does slot += weight * other slot."""
        if other in self._values:
            self.increase(slot, self._values[other], weight)

    def multiply(self, slot: str, factor: Coefficient) -> None:
        """Does slot *= factor."""
        if slot in self._values:
            super().multiply(slot, factor)

    def stretch(self, slot: str, exponent: Tensor) -> None:
        """Does slot *= exp(exponent), element by element."""
        if slot in self._values:
            super().stretch(slot, exponent)
