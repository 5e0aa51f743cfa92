"""The gradients of a flow's weights and further inputs, summed over its steps."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from odenet.runtime.learned.knots import Interpolation
from odenet.runtime.passes.flow_weights import Address, WeightPart


class GradientSums:
    """The gradients of a list of tensors, to which each step adds its part.

    Args:
        tensors: those of ``FlowWeights``, then those of the context.
        cotangents: the incoming gradients of the whole pass. No sum shares memory with these, nor
            with the tensors.
        sliced: positions of the stacked tensors of which each slice has a sum of its own.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor],
        cotangents: Iterable[Tensor | None],
        sliced: Collection[int] = (),
    ):
        self._tensors = tensors
        self._sliced = sliced
        self._sums: dict[WeightPart, Tensor] = {}
        self._storages = storages((*tensors, *cotangents))  # none of which a new sum may share

    @property
    def values(self) -> list[Tensor | None]:
        """The sums of whole tensors, None where nothing was added."""
        return [self._sums.get(WeightPart(i, slice=None)) for i in range(len(self._tensors))]

    def add(
        self, address: Address, gradient: Tensor, other_storages: Collection[StorageWeakRef] = ()
    ) -> None:
        """Adds a gradient to the sum of a tensor, or of a slice of it.

        Args:
            address: where the weight is found.
            gradient: the gradient with respect to that weight.
            other_storages: further storages that the sum may not share with the gradient.
        """
        position, index = address
        for i, factor in index.terms if isinstance(index, Interpolation) else ((index, 1),):
            part = WeightPart(position, i if position in self._sliced else None)
            total = self._sums.get(part)
            if part.slice != i:  # a slice whose stack has one sum
                if total is None:
                    total = self._sums[part] = torch.zeros_like(self._tensors[position])
                total[i].add_(gradient, alpha=factor)
            elif total is not None:
                total.add_(gradient, alpha=factor)
            else:
                new = self._unshared(gradient, other_storages) if factor == 1 else gradient * factor
                self._sums[part] = new

    def take(self, part: WeightPart) -> Tensor | None:
        """Removes the sum of a tensor or a slice, and returns it."""
        total = self._sums.pop(part, None)
        if total is not None:
            self._storages.discard(StorageWeakRef(total.untyped_storage()))
        return total

    def _unshared(self, gradient: Tensor, other_storages: Collection[StorageWeakRef]) -> Tensor:
        """The gradient, copied if its memory may be in use elsewhere.

        Autograd may give the cotangent itself, the same tensor twice, or a part of another one.
        """
        storage = gradient.untyped_storage()
        ref = StorageWeakRef(storage)
        if ref in self._storages or ref in other_storages or storage.nbytes() != gradient.nbytes:
            return gradient.clone()
        self._storages.add(ref)
        return gradient


def storages(tensors: Iterable[Tensor | None]) -> set[StorageWeakRef]:
    """Weak references to the storages of tensors.

    They keep no memory, and unlike addresses they are not reused when a storage is freed.
    """
    return {StorageWeakRef(t.untyped_storage()) for t in tensors if t is not None}
