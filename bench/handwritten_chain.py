"""A reversible chain of additive couplings as one would write it by hand for a single network.

It supports what this network needs and no more: no random numbers and no buffers, autocast around
the whole call only, one input, and gradients that are added to the parameters directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class HandwrittenChain(nn.Module):
    """Computes y1 = x1 + f(x2), y2 = x2 + g(y1) for each pair (f, g) of modules in turn.

    Args:
        couplings: the pairs (f, g).
        axis: the axis along which the input is split into x1 and x2.
    """

    def __init__(self, couplings: Sequence[tuple[nn.Module, nn.Module]], axis: int):
        super().__init__()
        self.couplings = nn.ModuleList(nn.ModuleList(pair) for pair in couplings)
        self.axis = axis

    def forward(self, u: Tensor) -> Tensor:
        """The output of the last coupling, both halves joined."""
        device = u.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        halves = _Couplings.apply(self.couplings, dtype, *u.chunk(2, self.axis))
        return torch.cat(halves, self.axis)


class _Couplings(torch.autograd.Function):
    """All couplings, with nothing saved but the last state."""

    @staticmethod
    def forward(
        ctx: Any,
        couplings: nn.ModuleList,
        autocast_dtype: torch.dtype | None,
        x1: Tensor,
        x2: Tensor,
    ):
        ctx.couplings, ctx.autocast_dtype = couplings, autocast_dtype
        for f, g in couplings:
            x1 = x1 + f(x2)
            x2 = x2 + g(x1)
        ctx.save_for_backward(x1, x2)
        return x1, x2

    @staticmethod
    def backward(ctx: Any, grad1: Tensor, grad2: Tensor):
        x1, x2 = ctx.saved_tensors
        dtype = ctx.autocast_dtype
        with torch.autocast(x1.device.type, dtype, dtype is not None, cache_enabled=False):
            for f, g in reversed(ctx.couplings):
                x2, grad1 = _undo(g, x1, x2, grad1, grad2)
                x1, grad2 = _undo(f, x2, x1, grad2, grad1)
        return None, None, grad1, grad2


def _undo(f: nn.Module, x: Tensor, y: Tensor, grad_x: Tensor, grad_y: Tensor):
    """Undoes y += f(x) and backpropagates through it; gives the old y and the gradient by x."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        value = f(leaf)
    torch.autograd.backward(value, grad_y.to(value.dtype))
    assert leaf.grad is not None
    return y - value.detach(), grad_x + leaf.grad
