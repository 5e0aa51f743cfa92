"""The settings of torch around an evaluation, which both passes have to find the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._C import _autograd
from torch.nn.utils import parametrize

from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.shear import like

# torch.compile of torch 2.11 breaks its graph where it is asked.
_WITH_AUTOCAST = frozenset(k for k in ("cpu", "cuda", "xpu") if torch.amp.is_autocast_available(k))


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
    def current(cls, device: torch.device) -> Autocast:
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


def single_under_autocast(state: State) -> State:
    """A state in single precision at least, where autocast would round it: errors add up."""
    low = Autocast.current(state[0].device).enabled
    return like(state, [t.float() if low and t.itemsize < 4 else t for t in state])


_SWITCHES: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
)


@dataclass(frozen=True)
class TorchSettings:
    """The settings of torch that an evaluation may read, as they were for the first one.

    Attributes:
        autocasts: that of the state's device, and that of the host.
        switches: the values of ``_SWITCHES``.
    """

    autocasts: tuple[Autocast, ...]
    switches: tuple[Any, ...]

    @classmethod
    def current(cls, device: torch.device) -> TorchSettings:
        """Those that hold now."""
        devices = {device.type: device, "cpu": torch.device("cpu")}
        autocasts = tuple(map(Autocast.current, devices.values()))
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
            stack.enter_context(_no_cached_weights())
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


@contextmanager
def _no_cached_weights() -> Iterator[None]:
    """An outer `parametrize.cached()` keeps weights computed from parameters that stay outside."""
    around = parametrize._cache_enabled  # a count, of which other threads have their own part
    parametrize._cache_enabled -= around
    try:
        yield
    finally:
        parametrize._cache_enabled += around


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
