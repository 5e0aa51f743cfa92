"""A snapshot is what one evaluation found in a module, to repeat the evaluation from."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from odenet.runtime.repetition.refusals import let_go
from odenet.runtime.repetition.replica_pool import PooledReplica, ReplicaPool

_SMALL = 4096  # entries of a tensor that is copied rather than watched

# Submodule -> (large buffer or tensor attribute, mode) -> whether evaluations change it.
_changing: WeakKeyDictionary[nn.Module, dict[tuple[str, bool], bool]] = WeakKeyDictionary()


class Snapshot:
    """A module as an evaluation finds it, to be taken before the evaluation.

    Small tensors that are not parameters are copied; large ones are copied until an evaluation has
    shown that it does not change them, and watched from then on.

    Args:
        pool: of the module as it is now.
    """

    def __init__(self, pool: ReplicaPool):
        self._pool = pool
        self._watched: list[tuple[int, int]] = []  # index of a tensor, and its version
        held = pool.pristine.tensors
        self._kept = [self._keep(index) for index in range(len(held))] if held else []
        graphs = ((one.tensor, one.tensor.grad_fn) for one in held)
        self._graphs = {id(tensor): graph for tensor, graph in graphs if graph is not None}

    def settle(self) -> None:
        """To be called after the evaluation: lets go of its results, and of copies of what it left.

        Raises:
            RuntimeError: if it changed a large tensor that it left alone before.
        """
        for index, version in self._watched:
            module, _, _, tensor, name = self._pool.pristine.tensors[index]
            known, key = _changing.setdefault(module, {}), (name, module.training)
            changed = tensor._version != version
            if key not in known:  # `tensor.data.add_` and numpy change it past its version
                changed = changed or not _equal(self._kept[index], tensor)
            if not changed and not known.get(key):
                self._kept[index] = tensor
            elif changed and known.get(key) is False:
                raise RuntimeError(
                    f"{type(module).__name__} changed its tensor {name!r}, which it left alone in "
                    'earlier evaluations, so that no copy was kept; set flow.memory = "stored"'
                )
            known[key] = known.get(key, False) or changed
        let_go(self._pool.pristine.custom, self._graphs)

    def replica(self) -> PooledReplica:
        """A copy as the evaluation found the module, for one repetition of it.

        Raises:
            RuntimeError: if a tensor that was watched has changed since.
        """
        shared = set()
        for index, version in self._watched:
            module, _, _, tensor, name = self._pool.pristine.tensors[index]
            if self._kept[index] is not tensor:
                continue
            if tensor._version != version:
                raise RuntimeError(
                    f"the tensor {name!r} of {type(module).__name__} was changed between the "
                    "forward and the backward pass of rebuilt steps, which read it in both"
                )
            shared.add(index)
        pooled = self._pool.acquire()
        with torch.enable_grad():  # so that a tensor that needs a gradient is found to be read
            for index, held in enumerate(pooled.replica.tensors):
                kept = self._kept[index]
                held.holder[held.key] = kept if index in shared else kept.clone()
        return pooled

    def _keep(self, index: int) -> Tensor:
        module, _, _, tensor, name = self._pool.pristine.tensors[index]
        if tensor.numel() > _SMALL and not tensor.is_inference():
            self._watched.append((index, tensor._version))
            if _changing.get(module, {}).get((name, module.training)) is False:
                return tensor
        if not tensor.requires_grad:
            return tensor.clone()
        return tensor.detach().clone().requires_grad_()


def _equal(copy: Tensor, tensor: Tensor) -> bool:
    """Whether values are the same, as far as they can be read."""
    if copy.is_meta or torch._C._len_torch_dispatch_stack():
        return True
    return torch.equal(copy, tensor)
