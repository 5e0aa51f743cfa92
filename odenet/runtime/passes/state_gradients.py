"""The gradients by the slots of a state, while a backward pass goes over the steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from odenet.runtime.passes.shear import Coefficient, Registers, is_number


class StateGradients(Registers):
    """Registers of which some are empty: nothing that is differentiated depends on those slots.

    An empty one costs nothing, and what only such slots lead to gets no gradient, as in autograd.

    Args:
        slots: names.
        gradients: by the slots; None where there is none.
    """

    def __init__(self, slots: tuple[str, ...], gradients: Sequence[Tensor | None]):
        self._names = slots
        super().__init__((), ())
        self.put_all(gradients)

    def put_all(self, gradients: Sequence[Tensor | None]) -> None:
        """Other gradients for all slots, in their order."""
        pairs = zip(self._names, gradients, strict=True)
        self._values = {slot: gradient for slot, gradient in pairs if gradient is not None}
        self._owned.clear()

    def find(self, slot: str) -> Tensor | None:
        """The gradient by a slot, if there is one."""
        return self._values.get(slot)

    def found(self) -> tuple[Tensor | None, ...]:
        """The gradients by all slots."""
        return tuple(map(self.find, self._names))

    def filled(self, state: Registers) -> tuple[Tensor, ...]:
        """The same with zeros where there is none."""
        pairs = zip(self.found(), state.tensors(), strict=True)
        return tuple(torch.zeros_like(value) if g is None else g for g, value in pairs)

    def increase(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        """Does slot += factor * amount."""
        if slot in self._values:
            super().increase(slot, amount, factor)
        else:  # a tensor of its own: the amount may be the gradient by another slot
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
