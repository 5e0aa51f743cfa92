"""How much autograd stores of an evaluation, read off its graph."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.utils._pytree import tree_leaves

from odenet.runtime.watch import graph


class Saved:
    """What autograd stores of some evaluations, each tensor counted once.

    The graph is read, since hooks on saved tensors would forbid `torch.func` within, and be seen by
    other such hooks.

    Args:
        parameters: are there anyway.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        # Storages by identity: without values none has an address.
        self._own = {p.untyped_storage()._cdata for p in parameters}
        self._found: dict[int, Tensor] = {}  # which keeps them, so that no identity is met twice

    def add(self, values: Iterable[Tensor], given: Iterable[Tensor]) -> None:
        """Looks at an evaluation.

        Args:
            values: what it gave.
            given: tensors of which the graph is not its own.
        """
        for node in graph(values, (tensor.grad_fn for tensor in given)):
            names = (name for name in dir(node) if name.startswith("_saved_"))
            held = [getattr(node, name) for name in names]
            for tensor in tree_leaves((held, getattr(node, "saved_tensors", ()))):
                if isinstance(tensor, Tensor):
                    self._add(tensor)

    def _add(self, tensor: Tensor) -> None:
        place = tensor.untyped_storage()._cdata
        before = self._found.get(place)
        if place not in self._own and (before is None or before.nbytes < tensor.nbytes):
            self._found[place] = tensor

    @property
    def bytes(self) -> int:
        """How much it is."""
        return sum(tensor.nbytes for tensor in self._found.values())
