"""How much autograd stores of an evaluation, read off its graph."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch._C._autograd import SavedTensor
from torch.utils._pytree import tree_leaves

from odenet.runtime.repetition.refusals import graph


class SavedTensors:
    """What autograd stores of some evaluations, each tensor counted once.

    The graph is looked at afterwards, since hooks around the evaluation would forbid `torch.func`
    within, and be seen by other such hooks.

    Args:
        parameters: are there anyway.
    """

    def __init__(self, parameters: Iterable[Tensor]):
        # Storages by identity: without values none has an address.
        self._own = {p.untyped_storage()._cdata for p in parameters}
        self._found: dict[int, Tensor] = {}  # which keeps them, so that no identity is met twice

    def add(
        self, values: Iterable[Tensor], given: Iterable[Tensor], reads: Iterable[Tensor] = ()
    ) -> None:
        """Looks at an evaluation.

        Args:
            values: what it gave.
            given: tensors of which the graph is not its own.
            reads: its inputs, which a checkpoint within keeps in the place of all else.
        """
        for node in graph(values, (tensor.grad_fn for tensor in given)):
            names = (name for name in dir(node) if name.startswith("_raw_saved_"))
            for saved in tree_leaves([getattr(node, name) for name in names]):
                if isinstance(saved, SavedTensor) and not self._seen(saved):
                    for tensor in reads:
                        self._add(tensor)

    def _seen(self, saved: Any) -> bool:
        """Whether it is not held by hooks; to ask those of a checkpoint would evaluate it again."""

        def note(tensor: Tensor) -> Tensor:
            self._add(tensor)
            return tensor

        try:
            saved.register_hooks(note, lambda tensor: tensor)
        except RuntimeError as error:
            return "already been set" not in str(error)  # but that nothing is saved
        return True

    def _add(self, tensor: Tensor) -> None:
        place = tensor.untyped_storage()._cdata
        before = self._found.get(place)
        if place not in self._own and (before is None or before.nbytes < tensor.nbytes):
            self._found[place] = tensor

    @property
    def bytes(self) -> int:
        """How much it is."""
        return sum(tensor.nbytes for tensor in self._found.values())
