"""The global settings of torch during an evaluation, which have to be the same in both passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._C import _autograd
from torch.nn.utils import parametrize

from odenet.runtime.passes.protocol import State
from odenet.runtime.passes.shear import state_like

# Computed at import: torch.compile of torch 2.11 breaks its graph at `is_autocast_available`.
_AUTOCAST_TYPES = frozenset(k for k in ("cpu", "cuda", "xpu") if torch.amp.is_autocast_available(k))


@dataclass(frozen=True)
class Autocast:
    """An autocast setting, which can be activated again.

    Its cache of cast weights stays off: each weight is used once per evaluation, and casts cached
    without a graph must not reach an evaluation that needs one.

    Attributes:
        device_type: the type of device that it is for.
        enabled: whether autocast is on.
        dtype: the type that it casts to; None if autocast does not exist for the device.
    """

    device_type: str
    enabled: bool
    dtype: torch.dtype | None

    @classmethod
    def current(cls, device: torch.device) -> Autocast:
        """The present setting for a device."""
        name = device.type
        if name not in _AUTOCAST_TYPES and not torch.amp.is_autocast_available(name):
            return cls(name, enabled=False, dtype=None)
        return cls(name, torch.is_autocast_enabled(name), torch.get_autocast_dtype(name))

    def activate(self) -> AbstractContextManager:
        """A context manager that activates the setting."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device_type, self.dtype, self.enabled, cache_enabled=False)


def float32_under_autocast(state: State) -> State:
    """The state, in float32 under autocast: rounding errors of 16 bits would add up over steps."""
    enabled = Autocast.current(state[0].device).enabled
    return state_like(state, [t.float() if enabled and t.itemsize < 4 else t for t in state])


_GLOBAL_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
)


@dataclass(frozen=True)
class TorchSettings:
    """The settings of torch that an evaluation may read.

    Attributes:
        autocasts: those of the state's device and of the host.
        global_values: the values of ``_GLOBAL_SETTINGS``.
    """

    autocasts: tuple[Autocast, ...]
    global_values: tuple[Any, ...]

    @classmethod
    def current(cls, device: torch.device) -> TorchSettings:
        """The present settings."""
        devices = {device.type: device, "cpu": torch.device("cpu")}
        autocasts = tuple(map(Autocast.current, devices.values()))
        return cls(autocasts, tuple(read() for read, _ in _GLOBAL_SETTINGS))

    @contextmanager
    def activate(self) -> Iterator[None]:
        """A context manager that activates the settings, without hooks on saved tensors."""
        with ExitStack() as stack:
            for autocast in self.autocasts:
                stack.enter_context(autocast.activate())
            for (read, write), value in zip(_GLOBAL_SETTINGS, self.global_values, strict=True):
                if (current := read()) != value:
                    stack.callback(write, current)
                    write(value)
            stack.enter_context(_no_saved_tensors_hooks())
            stack.enter_context(_no_cached_weights())
            yield


def has_saved_tensors_hooks() -> bool:
    """Whether `saved_tensors_hooks` are active, as within `save_on_cpu` and `checkpoint`."""
    # True: also while torch traces.
    return _autograd._top_saved_tensors_default_hooks(True) is not None


@contextmanager
def _no_saved_tensors_hooks() -> Iterator[None]:
    """Outer `saved_tensors_hooks`, such as `save_on_cpu`, are not called within."""
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
    """Turns an outer `parametrize.cached()` off: its weights have no graph to the leaves here."""
    depth = parametrize._cache_enabled  # a count of nested contexts, also of other threads
    parametrize._cache_enabled -= depth
    try:
        yield
    finally:
        parametrize._cache_enabled += depth


@contextmanager
def deterministic() -> Iterator[None]:
    """Convolutions on a GPU give the same bits each time, as both passes of exact steps need.

    Otherwise cuDNN may add up in any order, and choose another algorithm when memory is short.
    """
    cudnn = torch.backends.cudnn
    outer_settings = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = outer_settings
