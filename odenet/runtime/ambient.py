"""What surrounds a forward pass and must surround its repetition in the backward.

A right-hand side is evaluated again to undo a step. The second evaluation has to be the first one
over: the same autocast, the same random numbers, and no second update of batch statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


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


class RandomTape:
    """The random streams before each evaluation of a pass, so that it can be repeated."""

    def __init__(self, device: torch.device):
        self._device = device
        self._accelerator = None if device.type == "cpu" else torch.get_device_module(device)
        self._states: list[tuple[Tensor, Tensor | None]] = []

    def record(self) -> None:
        """Notes where the streams stand."""
        self._states.append(self._read())

    def replay(self) -> Iterator[None]:
        """Puts the streams where they stood, last note first; one note per ``next``."""
        for state in reversed(self._states):
            self._write(state)
            yield

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Leaves the global streams as if nothing had been drawn within."""
        before = self._read()
        try:
            yield
        finally:
            self._write(before)

    def _read(self) -> tuple[Tensor, Tensor | None]:
        module = self._accelerator
        return torch.get_rng_state(), module and module.get_rng_state(self._device)

    def _write(self, state: tuple[Tensor, Tensor | None]) -> None:
        torch.set_rng_state(state[0])
        if self._accelerator:
            self._accelerator.set_rng_state(state[1], self._device)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Norms in training go on normalising by the batch, but leave their running statistics.

    The first evaluation has counted the batch; repeating it must not count it twice.
    """
    norms = [m for m in module.modules() if isinstance(m, _NormBase)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms if norm.training]
    for norm, _, _ in before:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count


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
