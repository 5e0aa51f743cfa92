"""Counts the memory that the tensors of a computation hold, one by one.

The tensors may be fake: with sizes but without values, so that a network of any size can be
simulated. They are counted as the real ones would be; only workspaces inside operations are missed.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from odenet.footprint.kernels import kernel_call
from odenet.training.flows import flows

NEARLY_ZERO = 1e-9  # returned for a number that is read from a fake tensor


@contextmanager
def fake_tensors(**options: Any) -> Iterator[FakeTensorMode]:
    """A context in which new tensors have no values; `options` are those of FakeTensorMode.

    The log of FakeTensorMode is turned off, since failures raise errors anyway.
    """
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was_disabled, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(**options) as mode:
            yield mode
    finally:
        log.disabled = was_disabled


class MemoryLedger(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, as long as they live.

    Args:
        network: its weights and buffers, and views of them, are not counted.
        excluded: further tensors that are not counted.

    Attributes:
        held: the bytes that are held now.
        highest: the most that were held at once.
        by_flow: the bytes that are held now and were made in the call of a flow, by its name.
        held_at_kernels: the most bytes that were held when a kernel with a workspace was called, by
            its `kernel_call` (`odenet.footprint.kernels`).
    """

    def __init__(self, network: nn.Module, excluded: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._network = network
        self.held = self.highest = 0
        self.by_flow = dict.fromkeys(flows(network), 0)
        self.held_at_kernels: dict[str, int] = {}
        self._current_flow = ""
        self._counted_storages = WeakIdKeyDictionary()
        for tensor in (*network.parameters(), *network.buffers(), *excluded):
            self._counted_storages[tensor.untyped_storage()] = True

    @property
    def held_by_flows(self) -> int:
        """The bytes that are held now and were made in calls of flows."""
        return sum(self.by_flow.values())

    def __torch_dispatch__(self, func: Callable, types: tuple, args=(), kwargs=None) -> Any:
        """Run an operation, and count its results."""
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            # Numbers are read by exact arithmetic (the range of a state), by the warning about
            # drift, and by Adam (its step count, by which it divides). Fake tensors have none: give
            # a small one.
            return False if args[0].dtype == torch.bool else NEARLY_ZERO
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf)
        if call := kernel_call(func, args):
            self.held_at_kernels[call] = max(self.held, self.held_at_kernels.get(call, 0))
        return result

    def _count(self, tensor: Tensor) -> None:
        """Count the memory of a tensor until it is freed, unless it is counted already."""
        storage = tensor.untyped_storage()
        if storage in self._counted_storages:
            return
        self._counted_storages[storage] = True
        weakref.finalize(storage, self._add, -storage.nbytes(), self._current_flow)
        self._add(storage.nbytes(), self._current_flow)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """A context in which tensors are counted, also by the flow that makes them."""
        hooks = []
        for name, flow in flows(self._network).items():
            hooks.append(flow.register_forward_pre_hook(lambda *_, n=name: self._set_flow(n)))
            hooks.append(flow.register_forward_hook(lambda *_: self._set_flow("")))
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _set_flow(self, name: str) -> None:
        self._current_flow = name

    def _add(self, size: int, flow: str) -> None:
        self.held += size
        if flow:
            self.by_flow[flow] += size
        self.highest = max(self.highest, self.held)
