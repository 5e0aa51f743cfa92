"""What surrounds an evaluation of a right-hand side, and has to surround its repetition.

A right-hand side is evaluated again to undo a step. The second evaluation has to be the first one
over: the same precision, the same random numbers, the same modules in the same modes.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch._C import _autograd

from odenet.runtime.replica import Replica, Snapshot

_MT19937 = 4 * (624 + 1)  # bytes: Matsumoto & Nishimura 1998, and the place within them


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


_SWITCHES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
)


@dataclass(frozen=True)
class Setting:
    """The settings of torch that an evaluation may read, as they were for the first one.

    Attributes:
        autocasts: that of the state's device, and that of the host.
        switches: the values of ``_SWITCHES``.
    """

    autocasts: tuple[Autocast, ...]
    switches: tuple[Any, ...]

    @classmethod
    def here(cls, device: torch.device) -> Setting:
        """Those that hold now."""
        devices = {device.type: device, "cpu": torch.device("cpu")}
        autocasts = tuple(map(Autocast.here, devices.values()))
        return cls(autocasts, tuple(read() for read, _ in _SWITCHES))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """They hold, and hooks on saved tensors do not: those are for what autograd keeps."""
        with ExitStack() as stack:
            for autocast in self.autocasts:
                stack.enter_context(autocast.entered())
            for (read, write), value in zip(_SWITCHES, self.switches, strict=True):
                if (now := read()) != value:
                    stack.callback(write, now)
                    write(value)
            stack.enter_context(_no_saved_tensors_hooks())
            yield


def saved_tensors_hooked() -> bool:
    """Whether hooks say where tensors that autograd saves go, as in `save_on_cpu`, `checkpoint`."""
    return _autograd._top_saved_tensors_default_hooks(True) is not None


@contextmanager
def _no_saved_tensors_hooks() -> Iterator[None]:
    """Outer `saved_tensors_hooks`, such as `save_on_cpu`, see nothing of what is saved within."""
    hooks = []
    while (top := _autograd._top_saved_tensors_default_hooks(True)) is not None:
        hooks.append(top)
        _autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pack, unpack in reversed(hooks):
            _autograd._push_saved_tensors_default_hooks(pack, unpack)


class Streams(NamedTuple):
    """The states of the global random streams: torch's, Python's and numpy's."""

    cpu: Tensor
    accelerator: Tensor | None
    python: Any
    numpy: _Numpy

    @classmethod
    def read(cls, device: torch.device, before: Streams | None = None) -> Streams:
        """Where they are now.

        Args:
            device: of the accelerator's stream.
            before: an earlier reading, which saves time where nothing was drawn since.
        """
        accelerator = None
        # Without one, tensors that say they are on it have no values, and nothing draws.
        if device.type not in ("cpu", "meta") and torch.get_device_module(device).is_available():
            accelerator = torch.get_device_module(device).get_rng_state(device)
        numpy = _Numpy.read(None if before is None else before.numpy)
        return cls(torch.get_rng_state(), accelerator, random.getstate(), numpy)

    def restore(self, device: torch.device) -> None:
        """Puts them back."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            torch.get_device_module(device).set_rng_state(self.accelerator, device)
        random.setstate(self.python)
        np.random.set_state(self.numpy.state)

    def same(self, other: Streams) -> bool:
        """Whether nothing was drawn between two readings."""
        return (
            _equal(self.cpu, other.cpu)
            and _equal(self.accelerator, other.accelerator)
            and self.python == other.python
            and self.numpy.same(other.numpy)
        )


class _Numpy(NamedTuple):
    """The state of numpy's global stream, and the memory of its generator.

    Reading a state takes as long as a small layer; looking at the memory does not. Whatever is
    drawn changes it, but for a normal number that was drawn with the one before and put aside.
    """

    state: Any
    memory: bytes | None

    @classmethod
    def read(cls, before: _Numpy | None) -> _Numpy:
        generator = np.random.get_bit_generator()  # pyright: ignore[reportAttributeAccessIssue]
        memory = _memory_of(generator)
        if before is not None and memory is not None and memory == before.memory:
            put_aside = before.state[3]
            if not put_aside:
                return before
        return cls(np.random.get_state(), memory)

    def same(self, other: _Numpy) -> bool:
        if self is other:
            return True
        kind, keys, *rest = self.state
        other_kind, other_keys, *other_rest = other.state
        return (kind, rest) == (other_kind, other_rest) and np.array_equal(keys, other_keys)


def _memory_of(generator: Any) -> bytes | None:
    """The words of numpy's default generator and how many are used; None for another one."""
    if type(generator) is not np.random.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, _MT19937)


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
            before = self._streams
            self._streams = Streams.read(self.device, before)
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
