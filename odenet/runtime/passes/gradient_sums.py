"""The gradients of a flow's tensors, summed over its steps."""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from odenet.runtime.learned.knots import Between
from odenet.runtime.passes.flow_weights import Address, Part


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
        self._tensors = tensors
        self._apart = apart
        self._found: dict[Part, Tensor] = {}
        self._storages = storages((*tensors, *cotangents))  # and those of what is found

    @property
    def values(self) -> list[Tensor | None]:
        """The sums of whole tensors, None where nothing was added."""
        return [self._found.get(Part(place, None)) for place in range(len(self._tensors))]

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
        for own, factor in index.parts if isinstance(index, Between) else ((index, 1),):
            part = Part(place, own if place in self._apart else None)
            total = self._found.get(part)
            if part.slice != own:
                if total is None:
                    total = self._found[part] = torch.zeros_like(self._tensors[place])
                total[own].add_(gradient, alpha=factor)
            elif total is not None:
                total.add_(gradient, alpha=factor)
            else:
                first = self._own(gradient, others) if factor == 1 else gradient * factor
                self._found[part] = first

    def take(self, part: Part) -> Tensor | None:
        """The sum of a tensor or a slice, which is not kept any longer."""
        found = self._found.pop(part, None)
        if found is not None:
            self._storages.discard(StorageWeakRef(found.untyped_storage()))
        return found

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
