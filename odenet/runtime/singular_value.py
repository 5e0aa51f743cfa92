"""How much a whole flow stretches what goes in: its finite-time Lyapunov exponent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from odenet.runtime.passes.shear import like
from odenet.runtime.repetition.recorder import evaluating

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow
    from odenet.runtime.passes.equations import State


def largest_singular_value(flow: Flow, u: Tensor | State, iterations: int = 30) -> float:
    """The largest singular value of the Jacobian of a flow's last state by its first.

    By power iteration on JᵀJ, each product through the plain steps; approached from below.

    Args:
        flow: as in evaluation.
        u: what goes into the flow.
        iterations: two products each.
    """
    # Only the plain attention can be differentiated twice.
    with evaluating(flow), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        start = flow.begin(u)
        first = like(start, [t.detach().requires_grad_() for t in start])
        last = flow.trajectory(first)[-1]
        moved = [t + 0 * s for t, s in zip(last, first, strict=True)]
        cotangents = [torch.zeros_like(t, requires_grad=True) for t in moved]
        pulled = torch.autograd.grad(moved, tuple(first), cotangents, create_graph=True)
    directions = [
        torch.randn(t.shape, generator=torch.Generator().manual_seed(0)).to(t) for t in first
    ]
    stretch = 0.0
    for _ in range(iterations):
        images = torch.autograd.grad(pulled, cotangents, directions, retain_graph=True)
        stretch = _length(images) / _length(directions)
        directions = torch.autograd.grad(
            moved, tuple(first), [t / _length(images) for t in images], retain_graph=True
        )
    return stretch


def _length(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt())
