"""A reversible chain of additive couplings as one writes it by hand for one network.

It knows its network: no random numbers, no buffers, no autocast but the one around the call, no
further inputs, and gradients that go straight to the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ByHand(nn.Module):
    """y1 = x1 + f(x2), y2 = x2 + g(y1), pair by pair.

    Args:
        pairs: of modules f and g.
        axis: which the input is split along.
    """

    def __init__(self, pairs: Sequence[tuple[nn.Module, nn.Module]], axis: int):
        super().__init__()
        self.pairs = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)
        self.axis = axis

    def forward(self, u: Tensor) -> Tensor:
        """All steps."""
        kind = u.device.type
        low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        ends = _Couplings.apply(self.pairs, low, *u.chunk(2, self.axis))
        return torch.cat(ends, self.axis)


class _Couplings(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pairs: nn.ModuleList, low: torch.dtype | None, x1: Tensor, x2: Tensor):
        ctx.pairs, ctx.low = pairs, low
        for f, g in pairs:
            x1 = x1 + f(x2)
            x2 = x2 + g(x1)
        ctx.save_for_backward(x1, x2)
        return x1, x2

    @staticmethod
    def backward(ctx: Any, d1: Tensor, d2: Tensor):
        x1, x2 = ctx.saved_tensors
        with torch.autocast(x1.device.type, ctx.low, ctx.low is not None, cache_enabled=False):
            for f, g in reversed(ctx.pairs):
                x2, d1 = _back(g, x1, x2, d1, d2)
                x1, d2 = _back(f, x2, x1, d2, d1)
        return None, None, d1, d2


def _back(f: nn.Module, read: Tensor, moved: Tensor, d_read: Tensor, d_moved: Tensor):
    """Undoes moved += f(read), and pulls the gradient of what moved back to what was read."""
    leaf = read.detach().requires_grad_()
    with torch.enable_grad():
        value = f(leaf)
    torch.autograd.backward(value, d_moved.to(value.dtype))
    assert leaf.grad is not None
    return moved - value.detach(), d_read + leaf.grad
