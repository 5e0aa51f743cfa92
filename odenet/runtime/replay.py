"""What surrounds an evaluation of a right-hand side, and has to surround its repetition.

A right-hand side is evaluated again to undo a step. The second evaluation has to be the first one
over: the same precision, the same random numbers, the same modules in the same modes.
"""

from __future__ import annotations

import _random
import ctypes
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch._C import _autograd

from odenet.runtime.snapshot import Likenesses, Loan, Snapshot

_OBJECT = object.__basicsize__  # bytes that every object of CPython begins with
# torch.compile of torch 2.11 breaks its graph where it is asked.
_WITH_AUTOCAST = frozenset(k for k in ("cpu", "cuda", "xpu") if torch.amp.is_autocast_available(k))
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
        kind = device.type
        if kind not in _WITH_AUTOCAST and not torch.amp.is_autocast_available(kind):
            return cls(kind, False, None)
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
    """The states of the global random streams: torch's, Python's and numpy's.

    Attributes:
        cpu: of torch's generator.
        accelerator: of that of the device, if it is another.
        python: as `random` gives it.
        numpy: as `numpy.random` gives it.
        memory: of the generators; None where that cannot be read, or does not tell the whole.
    """

    cpu: Tensor
    accelerator: Tensor | None
    python: Any
    numpy: Any
    memory: tuple | None

    @classmethod
    def read(cls, device: torch.device, before: Streams | None = None) -> Streams:
        """Where they are now.

        Args:
            device: of the accelerator's stream.
            before: an earlier reading, which is given again where nothing was drawn since.

        Raises:
            RuntimeError: while a CUDA graph is captured.
        """
        cpu, accelerator = torch.default_generator.get_state(), None
        # Without one, tensors that say they are on it have no values, and nothing draws.
        if device.type not in ("cpu", "meta") and torch.get_device_module(device).is_available():
            if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
                raise RuntimeError(
                    "steps that may draw random numbers cannot be captured in a CUDA graph: its "
                    "replays would not go back to where the forward pass drew. Capture the flow "
                    'with flow.memory = "stored", or do not capture it'
                )
            accelerator = torch.get_device_module(device).get_rng_state(device)
        memory = _memory(cpu, accelerator)
        if before is not None and memory is not None and memory == before.memory:
            return before
        numpy: Any = np.random.get_state()
        put_aside = numpy[3]  # a normal number, for the next draw, which memory does not show
        memory = None if put_aside else memory
        return cls(cpu, accelerator, random.getstate(), numpy, memory)

    def restore(self, device: torch.device) -> None:
        """Puts them back."""
        torch.set_rng_state(self.cpu)
        if self.accelerator is not None:
            torch.get_device_module(device).set_rng_state(self.accelerator, device)
        random.setstate(self.python)
        np.random.set_state(self.numpy)

    def same(self, other: Streams) -> bool:
        """Whether nothing was drawn between two readings."""
        return self is other or (
            _equal(self.cpu, other.cpu)
            and _equal(self.accelerator, other.accelerator)
            and self.python == other.python
            and all(map(np.array_equal, self.numpy, other.numpy))
        )


def _memory(cpu: Tensor, accelerator: Tensor | None) -> tuple | None:
    """What the generators of all streams hold, to see whether they have moved.

    To look there takes a tenth of the time of reading the states of Python's and numpy's.
    """
    python = random.getstate.__self__
    numpy = np.random.get_bit_generator()  # pyright: ignore[reportAttributeAccessIssue]
    followed = torch._C._len_torch_dispatch_stack()  # operations without values: all may have moved
    known = type(python) is random.Random and type(numpy) is np.random.MT19937
    if followed or not known or sys.implementation.name != "cpython":
        return None
    return (
        cpu.numpy().tobytes(),
        None if accelerator is None else accelerator.numpy().tobytes(),
        ctypes.string_at(id(python) + _OBJECT, _random.Random.__basicsize__ - _OBJECT),
        python.gauss_next,  # pyright: ignore[reportAttributeAccessIssue]
        ctypes.string_at(numpy.ctypes.state_address, _MT19937),
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


@contextmanager
def same_bits() -> Iterator[None]:
    """Around both passes of exact steps: a convolution on a GPU gives the same bits again.

    cuDNN may otherwise add up in any order, and choose another algorithm where memory is short.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


@dataclass(slots=True)
class Evaluation:
    """What one evaluation of a right-hand side found, besides the state and the parameters.

    Attributes:
        modules: snapshots of the modules it called, in their order.
        streams: the random streams before it, if it drew from them.
    """

    modules: tuple[Snapshot, ...]
    streams: Streams | None

    def replicas(self) -> tuple[Loan, ...]:
        """Copies of the modules, as they were before."""
        return tuple(snapshot.replayed() for snapshot in self.modules)


_latest: dict[str, Streams] = {}  # readings that the first one of a pass is compared with


class Recorder:
    """Records the evaluations of a forward pass in their order.

    Args:
        device: of the state.
        stochastic: whether evaluations may draw random numbers.
        likenesses: of the modules that are called.
    """

    def __init__(self, device: torch.device, stochastic: bool, likenesses: Likenesses):
        self.device = device
        self.evaluations: list[Evaluation] = []
        self._stochastic = stochastic
        self._likenesses = likenesses
        self._streams: Streams | None = None  # after the last evaluation

    def before(self, modules: list[nn.Module]) -> Evaluation:
        """To be called before an evaluation that calls these modules."""
        if self._stochastic and self._streams is None:
            self._streams = Streams.read(self.device, _latest.get(self.device.type))
            _latest[self.device.type] = self._streams
        return Evaluation(tuple(Snapshot(self._likenesses.of(m)) for m in modules), None)

    def after(self, evaluation: Evaluation) -> None:
        """To be called after it."""
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
