"""Measures how much memory autograd stores for an evaluation, from its graph."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch._C._autograd import SavedTensor
from torch.utils._pytree import tree_leaves

from odenet.runtime.repetition.refusals import graph_nodes


class SavedTensors:
    """The tensors that autograd stores for some evaluations, each counted once.

    The graph is examined afterwards: `saved_tensors_hooks` around the evaluation would forbid
    `torch.func` within it, and interfere with other such hooks.

    Args:
        parameters: tensors that are not counted, since they are in memory anyway.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        # By identity, since storages of fake tensors have no addresses.
        self._excluded = {p.untyped_storage()._cdata for p in parameters}
        self._largest_by_storage: dict[int, Tensor] = {}  # alive, so that no identity is reused

    def add(
        self, values: Iterable[Tensor], graph_inputs: Iterable[Tensor], reads: Iterable[Tensor] = ()
    ) -> None:
        """Counts what autograd stores for an evaluation.

        Args:
            values: its results.
            graph_inputs: tensors whose own graph belongs to other evaluations.
            reads: its inputs, which a checkpoint within it stores instead of all else.
        """
        for node in graph_nodes(values, (tensor.grad_fn for tensor in graph_inputs)):
            names = (name for name in dir(node) if name.startswith("_raw_saved_"))
            for saved in tree_leaves([getattr(node, name) for name in names]):
                if isinstance(saved, SavedTensor) and not self._add_saved(saved):
                    for tensor in reads:
                        self._add(tensor)

    def _add_saved(self, saved: Any) -> bool:
        """Counts a saved tensor; False if a hook has packed it.

        It is not unpacked: the hooks of a checkpoint would evaluate the checkpoint again.
        """

        def record(tensor: Tensor) -> Tensor:
            self._add(tensor)
            return tensor

        try:
            saved.register_hooks(record, lambda tensor: tensor)
        except RuntimeError as error:
            return "already been set" not in str(error)  # else nothing is saved there
        return True

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()._cdata
        previous = self._largest_by_storage.get(storage)
        if storage not in self._excluded and (previous is None or previous.nbytes < tensor.nbytes):
            self._largest_by_storage[storage] = tensor

    @property
    def bytes(self) -> int:
        """The number of bytes of these tensors."""
        return sum(tensor.nbytes for tensor in self._largest_by_storage.values())
