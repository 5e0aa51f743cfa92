"""Relative errors of the laws that a flow and its operators obey: adjoints, inverse, gradients.

`odenet check` (odenet/laws.py) compares them with rounding errors; `odenet.testing` asserts them.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from odenet.runtime import Flow
from odenet.runtime.memory import Memory

LinearMap = Callable[[Tensor], Tensor]


def norm(tensors: Iterable[Tensor]) -> float:
    """The Euclidean norm of all entries of all tensors together."""
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def relative_error(computed: Iterable[Tensor], expected: Iterable[Tensor]) -> float:
    """The norm of the differences, divided by the norm of the expected values if that is not 0."""
    expected = tuple(expected)
    error = norm(a - b for a, b in zip(computed, expected, strict=True))
    return error / (norm(expected) or 1.0)


def adjoint_gap(operator: LinearMap, adjoint: LinearMap, x: Tensor, y: Tensor) -> float:
    """|⟨K x, y⟩ - ⟨x, Kᵀ y⟩|, relative to |K x| |y| + |x| |Kᵀ y|; infinite if shapes do not fit.

    Args:
        operator: x -> K x.
        adjoint: y -> Kᵀ y.
        x: a vector in the domain of K.
        y: a vector in its range.
    """
    image, adjoint_image = operator(x), adjoint(y)
    if image.shape != y.shape or adjoint_image.shape != x.shape:
        return math.inf
    gap = float(((image * y).sum() - (x * adjoint_image).sum()).abs())
    return gap / (float(image.norm() * y.norm() + x.norm() * adjoint_image.norm()) or 1.0)


def output_and_gradients(flow: Flow, u: Tensor, memory: Memory) -> dict[str, Tensor]:
    """The output, and gradients with respect to the input and the parameters.

    They are the gradients of a random linear function of the output.

    Args:
        flow: the flow, in training or evaluation mode; its memory mode is restored afterwards.
        u: an input.
        memory: the memory mode of the flow meanwhile; random numbers do not depend on it.
    """
    u = u.detach().clone().requires_grad_()
    original_mode, flow.memory = flow.memory, memory
    try:
        with torch.random.fork_rng(devices=[]):
            out = flow(u)
        generator = torch.Generator().manual_seed(0)
        factors = torch.randn(out.shape, dtype=out.dtype, generator=generator).to(out.device)
        leaves = {"the input's gradient": u}
        leaves |= {name: p for name, p in flow.named_parameters() if p.requires_grad}
        loss = (out * factors).sum()
        grads = torch.autograd.grad(loss, tuple(leaves.values()), materialize_grads=True)
    finally:
        flow.memory = original_mode
    return {"the output": out.detach(), **dict(zip(leaves, grads, strict=True))}
