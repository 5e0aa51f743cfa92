"""The memory that the tensors of a computation hold, counted one by one.

Fake tensors have sizes and no values, so that a network of any size can be walked through. What
they allocate is what the real ones would, except inside single operations.
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

NEARLY_ZERO = 1e-9  # a number of a tensor without values


@contextmanager
def valueless(**options: Any) -> Iterator[FakeTensorMode]:
    """Tensors within have sizes and no values; what fails is said by its error, not by a log."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with FakeTensorMode(**options) as mode:
            yield mode
    finally:
        log.disabled = before


class MemoryLedger(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, as long as they live.

    Args:
        network: its weights and buffers, and views of them, are not counted; what its flows make
            while they are called is counted as theirs.
        known: further tensors that are not counted.

    Attributes:
        held: the bytes that are held.
        highest: the most that were held at once.
        at_kernels: the most that were held at once while a kernel ran whose own memory is
            measured (`odenet.footprint.kernels`), by its call.
    """

    def __init__(self, network: nn.Module, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self._network = network
        self.held = self.highest = 0
        self.by_flow = dict.fromkeys(flows(network), 0)
        self.at_kernels: dict[str, int] = {}
        self._flow = ""
        self._seen = WeakIdKeyDictionary()
        for tensor in (*network.parameters(), *network.buffers(), *known):
            self._seen[tensor.untyped_storage()] = True

    @property
    def chain(self) -> int:
        """What flows made, of that which is held."""
        return sum(self.by_flow.values())

    def __torch_dispatch__(self, func: Callable, types: tuple, args=(), kwargs=None) -> Any:
        """Counts what an operation gives."""
        if func is torch.ops.aten._local_scalar_dense.default and isinstance(args[0], FakeTensor):
            # Exact arithmetic asks for the range of a state, the guard for a drift, and Adam for
            # its step, by which it divides. Without values each is nearly zero.
            return False if args[0].dtype == torch.bool else NEARLY_ZERO
        given = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(given):
            if isinstance(leaf, Tensor):
                self.note(leaf)
        if call := kernel_call(func, args):
            self.at_kernels[call] = max(self.held, self.at_kernels.get(call, 0))
        return given

    def note(self, tensor: Tensor) -> None:
        """Counts the memory of a tensor, unless it is counted already."""
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen[storage] = True
        weakref.finalize(storage, self._change, -storage.nbytes(), self._flow)
        self._change(storage.nbytes(), self._flow)

    @contextmanager
    def following(self) -> Iterator[None]:
        """Counting, and noting which flow is being called."""
        hooks = []
        for name, flow in flows(self._network).items():
            hooks.append(flow.register_forward_pre_hook(lambda *_, n=name: self._enter(n)))
            hooks.append(flow.register_forward_hook(lambda *_: self._enter("")))
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, flow: str) -> None:
        self._flow = flow

    def _change(self, size: int, flow: str) -> None:
        self.held += size
        if flow:
            self.by_flow[flow] += size
        self.highest = max(self.highest, self.held)
