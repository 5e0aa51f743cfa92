"""The largest singular value of a flow's Jacobian: how much it stretches a small perturbation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from odenet.runtime.passes.shear import state_like
from odenet.runtime.repetition.recorder import evaluation_mode

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow
    from odenet.runtime.passes.equations import State


def largest_singular_value(flow: Flow, u: Tensor | State, iterations: int = 30) -> float:
    """The largest singular value of the Jacobian J of the last state with respect to the first.

    By power iteration on JᵀJ, with products by automatic differentiation; approached from below.

    Args:
        flow: the flow, which is taken in evaluation mode.
        u: an input or a first state.
        iterations: number of iterations, of one product with J and one with Jᵀ each.
    """
    # Only the plain attention can be differentiated twice.
    with evaluation_mode(flow), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        start = flow.first_state(u)
        first = state_like(start, [t.detach().requires_grad_() for t in start])
        # The sum makes the graph reach every input; autograd refuses those that it does not reach.
        outputs = [t + 0 * s for t, s in zip(flow.trajectory(first)[-1], first, strict=True)]
        cotangents = [torch.zeros_like(t, requires_grad=True) for t in outputs]
        # Jᵀ v, linear in the cotangents v: its gradient with respect to v, given w, is J w.
        pullback = torch.autograd.grad(outputs, tuple(first), cotangents, create_graph=True)
    directions = [
        torch.randn(t.shape, generator=torch.Generator().manual_seed(0)).to(t) for t in first
    ]
    singular_value = 0.0
    for _ in range(iterations):
        images = torch.autograd.grad(pullback, cotangents, directions, retain_graph=True)
        singular_value = _norm(images) / _norm(directions)
        directions = torch.autograd.grad(
            outputs, tuple(first), [t / _norm(images) for t in images], retain_graph=True
        )
    return singular_value


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([t.double().square().sum() for t in tensors]).sum().sqrt())
