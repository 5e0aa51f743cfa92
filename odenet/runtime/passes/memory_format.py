"""The order of a map's values in memory: the one that its layers read as it lies, and back."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_ONEDNN = torch.backends.mkldnn.is_available()


def channels_innermost(x: Tensor) -> Tensor:
    """The map with the channels of a cell side by side, where convolutions read it so.

    On a CPU those of oneDNN do, and on a GPU those of tensor cores; otherwise each reorders what
    it reads and writes. On other devices the order is the caller's affair.
    """
    if _reordered(x):
        return x.contiguous(memory_format=_FORMATS[x.ndim])
    return x


def kernel_order(x: Tensor) -> Callable[[Tensor], Tensor]:
    """What to do to stacks of kernels, once for all steps, that are to be applied to a map.

    cuDNN reads kernels in the order of the map, and would reorder one in every evaluation. oneDNN
    has an order of its own, so that there they are left alone.
    """
    if x.device.type != "cuda" or x.ndim not in _FORMATS or x.stride(1) != 1:
        return lambda stack: stack
    axes = 1 + x.ndim  # the step, channels out and in, the kernel's own
    return lambda stack: (
        stack.movedim(2, -1).contiguous().movedim(-1, 2) if stack.ndim == axes else stack
    )


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
    if x.ndim not in _FORMATS:
        return False
    if x.device.type == "cuda":
        return _on_tensor_cores(x.dtype)
    on_cpu = x.device.type == "cpu" and _ONEDNN
    return on_cpu and x.dtype in (torch.float32, torch.bfloat16)


def _on_tensor_cores(dtype: torch.dtype) -> bool:
    """Whether convolutions of such maps are multiplied there."""
    if torch.compiler.is_compiling():
        return False  # whole networks, whose compiler orders maps itself
    if dtype != torch.float32:
        return dtype in (torch.float16, torch.bfloat16)
    # By this name alone it can be read whichever way it was set.
    convolutions: Any = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    return torch.is_autocast_enabled("cuda") or convolutions.fp32_precision == "tf32"
