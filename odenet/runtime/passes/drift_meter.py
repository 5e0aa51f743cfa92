"""How far a rebuilt state is from the true one."""

import torch
from torch import Tensor

from odenet.runtime.passes.shear import Registers


class DriftMeter:
    """Compares a rebuilt state, on one sample, with the true one, which takes its place.

    A slot that was exactly 0 is then differentiated at 0, where `relu` has a kink, and not at a
    rounding error beside it.
    """

    def __init__(self, rebuilt: Registers, true: Registers):
        self._rebuilt = rebuilt
        self._true = true
        self._errors: list[Tensor] = []

    def settle(self, slot: str) -> None:
        """A slot has been rebuilt."""
        true = self._true.read(slot)
        error = _sample(self._rebuilt.read(slot)) - _sample(true)
        self._errors.append(torch.linalg.vector_norm(error))
        self._rebuilt.put(slot, true)

    def relative(self) -> Tensor:
        """The error relative to the whole state, of which single slots may be zero."""
        if not self._errors:  # fixed point, which was left as it was rebuilt
            for slot in self._true.slots:
                self.settle(slot)
        sizes = [torch.linalg.vector_norm(_sample(t)) for t in self._true.tensors()]
        size = torch.linalg.vector_norm(torch.stack(sizes))
        error = torch.linalg.vector_norm(torch.stack(self._errors))
        return error / size.clamp_min(torch.finfo(size.dtype).tiny)


def _sample(tensor: Tensor) -> Tensor:
    return tensor[:1] if tensor.ndim else tensor
