"""What surrounds an evaluation of a right-hand side, and has to surround its repetition.

A right-hand side is evaluated again to undo a step. The second evaluation has to be the first one
over: the same precision, the same random numbers, the same modules in the same modes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from odenet.runtime.replica import Replica, Snapshot


@dataclass(frozen=True)
class Autocast:
    """An autocast setting, to be entered as often as needed.

    Its cache of cast weights stays off: each weight is used once per evaluation, and casts cached
    without a graph must not reach an evaluation that needs one.
    """

    kind: str
    enabled: bool
    dtype: torch.dtype | None

    @classmethod
    def here(cls, device: torch.device) -> Autocast:
        """The setting that holds now for a device."""
        if not torch.amp.is_autocast_available(device.type):
            return cls(device.type, False, None)
        kind = device.type
        return cls(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))

    def entered(self) -> AbstractContextManager:
        """A context in which the setting holds."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.kind, self.dtype, self.enabled, cache_enabled=False)


class Streams(NamedTuple):
    """The states of the global random streams: torch's, Python's and numpy's."""

    cpu: Tensor
    accelerator: Tensor | None
    python: Any
    numpy: Any

    @classmethod
    def read(cls, device: torch.device) -> Streams:
        """Where they are now."""
        accelerator = None
        # Without one, tensors that say they are on it have no values, and nothing draws.
        if device.type not in ("cpu", "meta") and torch.get_device_module(device).is_available():
            accelerator = torch.get_device_module(device).get_rng_state(device)
        return cls(torch.get_rng_state(), accelerator, random.getstate(), np.random.get_state())

    def restore(self, device: torch.device) -> None:
        """Puts them back."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            torch.get_device_module(device).set_rng_state(self.accelerator, device)
        random.setstate(self.python)
        np.random.set_state(self.numpy)

    def same(self, other: Streams) -> bool:
        """Whether nothing was drawn between two readings."""
        kind, keys, *rest = self.numpy
        other_kind, other_keys, *other_rest = other.numpy
        return (
            _equal(self.cpu, other.cpu)
            and _equal(self.accelerator, other.accelerator)
            and self.python == other.python
            and (kind, rest) == (other_kind, other_rest)
            and np.array_equal(keys, other_keys)
        )


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    # Where operations are only followed, without values, the states may have moved.
    return not torch._C._len_torch_dispatch_stack() and torch.equal(one, other)


@contextmanager
def streams_preserved(device: torch.device) -> Iterator[Streams]:
    """Leaves the global random streams as if nothing had been drawn within."""
    before = Streams.read(device)
    try:
        yield before
    finally:
        before.restore(device)


@dataclass(slots=True)
class Evaluation:
    """What one evaluation of a right-hand side found, besides the state and the parameters.

    Attributes:
        modules: snapshots of the modules it called, in their order.
        streams: the random streams before it, if it drew from them.
    """

    modules: tuple[Snapshot, ...]
    streams: Streams | None

    def replicas(self) -> tuple[Replica, ...]:
        """Fresh copies of the modules, as they were before."""
        return tuple(snapshot.replayed() for snapshot in self.modules)


class Recorder:
    """Records the evaluations of a forward pass in their order.

    Args:
        device: of the state.
        stochastic: whether evaluations may draw random numbers.
    """

    def __init__(self, device: torch.device, stochastic: bool):
        self.device = device
        self.evaluations: list[Evaluation] = []
        self._stochastic = stochastic
        self._streams: Streams | None = None  # after the last evaluation

    @contextmanager
    def recording(self, modules: list[nn.Module]) -> Iterator[None]:
        """Around an evaluation that calls these modules."""
        evaluation = Evaluation(tuple(map(Snapshot, modules)), None)
        if self._stochastic and self._streams is None:
            self._streams = Streams.read(self.device)
        yield
        if self._streams is not None:
            # Nothing draws between two evaluations, so that one reading serves both.
            before, self._streams = self._streams, Streams.read(self.device)
            if not before.same(self._streams):
                evaluation.streams = before
        for snapshot in evaluation.modules:
            snapshot.settle()
        self.evaluations.append(evaluation)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module and all within in evaluation mode."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True
