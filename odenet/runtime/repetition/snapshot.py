"""Snapshots: the state of a module before an evaluation, from which it can be repeated."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from odenet.runtime.repetition.refusals import detach_kept_results
from odenet.runtime.repetition.replica_pool import PooledReplica, ReplicaPool

_MAX_ALWAYS_COPIED = 4096  # largest number of entries of a tensor that is copied in any case

# Submodule -> (path of a large tensor, training mode) -> whether evaluations change the tensor.
_seen_changes: WeakKeyDictionary[nn.Module, dict[tuple[str, bool], bool]] = WeakKeyDictionary()


class Snapshot:
    """The state of a module before an evaluation.

    Small tensors that are not parameters are copied. Large ones are copied until an evaluation has
    shown that it does not change them; from then on only their version is compared.

    Args:
        pool: the pool of replicas of the module, made from it as it is now.
    """

    def __init__(self, pool: ReplicaPool):
        self._pool = pool
        self._watched: list[tuple[int, int]] = []  # index of a tensor, and its version
        places = pool.pristine.tensors
        self._values = [self._kept_value(index) for index in range(len(places))] if places else []
        graphs = ((place.tensor, place.tensor.grad_fn) for place in places)
        self._graphs = {id(tensor): graph for tensor, graph in graphs if graph is not None}

    def finish(self) -> None:
        """Drops copies of tensors that the evaluation did not change; to be called after it.

        Results that the modules keep in attributes are detached.

        Raises:
            RuntimeError: if the evaluation changed a large tensor that earlier ones did not change.
        """
        for index, version in self._watched:
            module, _, _, tensor, path = self._pool.pristine.tensors[index]
            changes_of_module, key = _seen_changes.setdefault(module, {}), (path, module.training)
            changed = tensor._version != version
            if key not in changes_of_module:  # `tensor.data.add_` does not change its version
                changed = changed or not _equal(self._values[index], tensor)
            if not changed and not changes_of_module.get(key):
                self._values[index] = tensor
            elif changed and changes_of_module.get(key) is False:
                raise RuntimeError(
                    f"{type(module).__name__} changed its tensor {path!r}, which it left alone in "
                    'earlier evaluations, so that no copy was kept; set flow.memory = "stored"'
                )
            changes_of_module[key] = changes_of_module.get(key, False) or changed
        detach_kept_results(self._pool.pristine.custom_originals, self._graphs)

    def replica(self) -> PooledReplica:
        """A replica in the state of the snapshot, for one repetition of the evaluation.

        Raises:
            RuntimeError: if a tensor of which no copy was kept has changed since.
        """
        shared_indices = set()
        for index, version in self._watched:
            module, _, _, tensor, path = self._pool.pristine.tensors[index]
            if self._values[index] is not tensor:
                continue
            if tensor._version != version:
                raise RuntimeError(
                    f"the tensor {path!r} of {type(module).__name__} was changed between the "
                    "forward and the backward pass of rebuilt steps, which read it in both"
                )
            shared_indices.add(index)
        pooled = self._pool.acquire()
        with torch.enable_grad():  # so that `refusals` sees tensors that require gradients
            for index, place in enumerate(pooled.replica.tensors):
                value = self._values[index]
                place.holder[place.key] = value if index in shared_indices else value.clone()
        return pooled

    def _kept_value(self, index: int) -> Tensor:
        """A copy of a tensor; the tensor itself if it is large and evaluations do not change it."""
        module, _, _, tensor, path = self._pool.pristine.tensors[index]
        if tensor.numel() > _MAX_ALWAYS_COPIED and not tensor.is_inference():
            self._watched.append((index, tensor._version))
            if _seen_changes.get(module, {}).get((path, module.training)) is False:
                return tensor
        if not tensor.requires_grad:
            return tensor.clone()
        return tensor.detach().clone().requires_grad_()


def _equal(copy: Tensor, tensor: Tensor) -> bool:
    """Whether two tensors are equal; True if they have no values, as on device "meta".

    Nor have they under a dispatch mode, as of fake tensors.
    """
    if copy.is_meta or torch._C._len_torch_dispatch_stack():
        return True
    return torch.equal(copy, tensor)
