"""The order of a map's values in memory: the one that its layers read as it lies, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_ONEDNN = torch.backends.mkldnn.is_available()


def channels_innermost(x: Tensor) -> Tensor:
    """The map with the channels of a cell side by side, on a CPU, where oneDNN computes it.

    Its convolutions then read and write the map as it lies; otherwise each reorders both. On other
    devices the order is the caller's affair.
    """
    if _reordered(x):
        return x.contiguous(memory_format=_FORMATS[x.ndim])
    return x


def tokens_apart(x: Tensor) -> Tensor:
    """The map with the channels of a place side by side, as layers of sequences read it."""
    if x.ndim < 3 or x.stride(1) == 1:
        return x
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def as_before(y: Tensor, x: Tensor, ordered: Tensor) -> Tensor:
    """A map made from ``ordered``, in the order of the x that this was made from."""
    return y if ordered is x or x.stride(1) == 1 else y.contiguous()


def in_order_of(y: Tensor, x: Tensor) -> Tensor:
    """A map of the shape of x in the order of x, so that passes over both run side by side."""
    return y if y.stride() == x.stride() else torch.empty_like(x, dtype=y.dtype).copy_(y)


def _reordered(x: Tensor) -> bool:
    if not torch.compiler.is_compiling() and _functorch.peek_interpreter_stack():
        return False  # within torch.func, where vmap knows no memory formats
    on_cpu = x.device.type == "cpu" and _ONEDNN
    return on_cpu and x.ndim in _FORMATS and x.dtype in (torch.float32, torch.bfloat16)
