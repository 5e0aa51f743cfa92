"""The gradients of a flow's tensors, summed over its steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from odenet.runtime.knots import Between
from odenet.runtime.weights import Address, Part


class GradientSums:
    """The gradients of some tensors, filled slice by slice.

    Args:
        tensors: those of ``FlowWeights``, then those of the context.
        cotangents: of the whole pass. No value shares its memory with these, nor with the tensors.
        apart: places of stacks of which each slice has a sum of its own.
    """

    def __init__(
        self,
        tensors: Sequence[Tensor],
        cotangents: Iterable[Tensor | None],
        apart: Collection[int] = (),
    ):
        self.tensors = tensors
        self._apart = apart
        self._slices: dict[Part, Tensor] = {}
        self.values: list[Tensor | None] = [None] * len(tensors)
        self._storages = storages((*tensors, *cotangents))  # and those of values

    def add(
        self, address: Address, gradient: Tensor, others: Collection[StorageWeakRef] = ()
    ) -> None:
        """Adds a gradient to a tensor's, or to its slice of a stack's.

        Args:
            address: where.
            gradient: what.
            others: storages that it may lie in, and that the value is not to share.
        """
        place, index = address
        total = self.values[place]
        if index is not None:
            parts = index.parts if isinstance(index, Between) else ((index, 1),)
            if place in self._apart:
                for own, factor in parts:
                    self._add_slice(Part(place, own), gradient, factor, others)
                return
            if total is None:
                total = self.values[place] = torch.zeros_like(self.tensors[place])
            for own, factor in parts:
                total[own].add_(gradient, alpha=factor)
        elif total is None:
            self.values[place] = self._own(gradient, others)
        else:
            total.add_(gradient)

    def take(self, part: Part) -> Tensor | None:
        """The sum of a tensor or a slice, which is not kept any longer."""
        if part.slice is not None:
            found = self._slices.pop(part, None)
        else:
            found, self.values[part.place] = self.values[part.place], None
        if found is not None:
            self._storages.discard(StorageWeakRef(found.untyped_storage()))
        return found

    def _add_slice(
        self, part: Part, gradient: Tensor, factor: float, others: Collection[StorageWeakRef]
    ) -> None:
        total = self._slices.get(part)
        if total is not None:
            total.add_(gradient, alpha=factor)
        elif factor == 1:
            self._slices[part] = self._own(gradient, others)
        else:
            self._slices[part] = gradient * factor

    def _own(self, gradient: Tensor, others: Collection[StorageWeakRef]) -> Tensor:
        """A gradient to add to and to hand out.

        Autograd may give the cotangent itself, the same tensor twice, or a part of another one.
        """
        storage = gradient.untyped_storage()
        place = StorageWeakRef(storage)
        if place in self._storages or place in others or storage.nbytes() != gradient.nbytes:
            return gradient.clone()
        self._storages.add(place)
        return gradient


def storages(tensors: Iterable[Tensor | None]) -> set[StorageWeakRef]:
    """Where tensors lie.

    A place keeps no memory, and is not taken for that of a tensor that is made when the first has
    been freed, as its address would be.
    """
    return {StorageWeakRef(t.untyped_storage()) for t in tensors if t is not None}
