"""The error of a rebuilt state, where the true state was kept."""

import torch
from torch import Tensor

from odenet.runtime.passes.shear import Registers


class DriftMeter:
    """Compares a rebuilt state with the true one, which replaces it slot by slot.

    The comparison is on the first sample. Because of the replacement, a slot that was exactly 0 is
    differentiated at 0, where `relu` has a kink, and not at a rounding error beside it.
    """

    def __init__(self, rebuilt_state: Registers, true_state: Registers):
        self._rebuilt = rebuilt_state
        self._true = true_state
        self._errors: list[Tensor] = []

    def compare_slot(self, slot: str) -> None:
        """Compares a slot that has been rebuilt, and puts the true value in its place."""
        true = self._true.read(slot)
        error = _first_sample(self._rebuilt.read(slot)) - _first_sample(true)
        self._errors.append(torch.linalg.vector_norm(error))
        self._rebuilt.write(slot, true)

    def relative_error(self) -> Tensor:
        """The error relative to the norm of the whole state, since single slots may be zero."""
        if not self._errors:  # in fixed point no slot was compared before
            for slot in self._true.slots:
                self.compare_slot(slot)
        sizes = [torch.linalg.vector_norm(_first_sample(t)) for t in self._true.tensors()]
        size = torch.linalg.vector_norm(torch.stack(sizes))
        error = torch.linalg.vector_norm(torch.stack(self._errors))
        return error / size.clamp_min(torch.finfo(size.dtype).tiny)


def _first_sample(tensor: Tensor) -> Tensor:
    return tensor[:1] if tensor.ndim else tensor
