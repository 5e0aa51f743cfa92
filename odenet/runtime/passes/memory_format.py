"""The memory order of feature maps: the one that layers read without a copy, and back.

In convolution order the channels of a pixel are adjacent (torch's ``channels_last``), and in token
order those of a token.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
_ONEDNN = torch.backends.mkldnn.is_available()


def in_convolution_order(x: Tensor) -> Tensor:
    """The map in ``channels_last`` order, if convolutions are faster that way.

    Those of oneDNN on a CPU and those on the tensor cores of a GPU are faster: in any other order
    they would reorder their input and output each time. Elsewhere the map is returned as it is.
    """
    return x.contiguous(memory_format=_FORMATS[x.ndim]) if _is_faster_reordered(x) else x


def kernel_reordering(x: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that reorders a stack of kernels, once for all steps, for maps like ``x``.

    cuDNN reads kernels in the order of the map, and would reorder one in every evaluation. oneDNN
    has an order of its own for kernels, so that there the function changes nothing.
    """
    if x.device.type != "cuda" or x.ndim not in _FORMATS or x.stride(1) != 1:
        return lambda stack: stack
    axes = 1 + x.ndim  # of a stack of kernels: step, channels out, channels in, the kernel's own
    return lambda s: s.movedim(2, -1).contiguous().movedim(-1, 2) if s.ndim == axes else s


def in_token_order(x: Tensor) -> Tensor:
    """The map with the channels of a token adjacent, as layers of sequences read it."""
    if x.ndim < 3 or x.stride(1) == 1:
        return x
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def restore_order(y: Tensor, x: Tensor, ordered_x: Tensor) -> Tensor:
    """The result ``y`` in the order of ``x``, where y was computed from ``ordered_x``."""
    return y if ordered_x is x or x.stride(1) == 1 else y.contiguous()


def in_order_of(y: Tensor, x: Tensor) -> Tensor:
    """``y`` in the memory order of ``x``, so that elementwise operations on both are fast."""
    return y if y.stride() == x.stride() else torch.empty_like(x, dtype=y.dtype).copy_(y)


def _is_faster_reordered(x: Tensor) -> bool:
    if not torch.compiler.is_compiling() and _functorch.peek_interpreter_stack():
        return False  # within torch.func, where vmap knows no memory formats
    if x.ndim not in _FORMATS:
        return False
    if x.device.type == "cuda":
        return _uses_tensor_cores(x.dtype)
    uses_onednn = x.device.type == "cpu" and _ONEDNN
    return uses_onednn and x.dtype in (torch.float32, torch.bfloat16)


def _uses_tensor_cores(dtype: torch.dtype) -> bool:
    """Whether convolutions of this type run on tensor cores."""
    if torch.compiler.is_compiling():
        return False  # the compiler chooses the order itself
    if dtype != torch.float32:
        return dtype in (torch.float16, torch.bfloat16)
    # torch refuses to read the older `cudnn.allow_tf32` if the user has set this newer one.
    convolutions: Any = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    return torch.is_autocast_enabled("cuda") or convolutions.fp32_precision == "tf32"
