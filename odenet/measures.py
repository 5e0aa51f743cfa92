"""How far a flow and its operators are from the laws they obey: one relative error for each law.

`odenet check` compares them with what rounding may come to, and `odenet.testing` asserts them.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from odenet.runtime import Flow
from odenet.runtime.memory import Memory

LinearMap = Callable[[Tensor], Tensor]


def length(tensors: Iterable[Tensor]) -> float:
    """The Euclidean length of all of them together; NaN where they are not numbers."""
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def relative_error(found: Iterable[Tensor], true: Iterable[Tensor]) -> float:
    """The length of all differences, relative to that of the true values if they are not 0."""
    true = tuple(true)
    error = length(a - b for a, b in zip(found, true, strict=True))
    return error / (length(true) or 1.0)


def adjoint_gap(operator: LinearMap, adjoint: LinearMap, x: Tensor, y: Tensor) -> float:
    """|⟨K x, y⟩ - ⟨x, Kᵀ y⟩|, relative to |K x| |y| + |x| |Kᵀ y|; infinite for other shapes.

    Args:
        operator: x -> K x.
        adjoint: y -> Kᵀ y.
        x: in the domain.
        y: in the range.
    """
    image, back = operator(x), adjoint(y)
    if image.shape != y.shape or back.shape != x.shape:
        return math.inf
    gap = float(((image * y).sum() - (x * back).sum()).abs())
    return gap / (float(image.norm() * y.norm() + x.norm() * back.norm()) or 1.0)


def gradients(flow: Flow, u: Tensor, memory: Memory) -> dict[str, Tensor]:
    """The output, and the gradients of a random sum of it by the input and by every weight.

    Args:
        flow: in training or evaluation, as it is; its own memory mode is left as it is.
        u: an input.
        memory: the mode in which they are computed. The random numbers of all modes are the same.
    """
    u = u.detach().clone().requires_grad_()
    own, flow.memory = flow.memory, memory
    try:
        with torch.random.fork_rng(devices=[]):
            out = flow(u)
        weights = torch.randn(
            out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(0)
        ).to(out.device)
        inputs = {"the input's gradient": u}
        inputs |= {name: p for name, p in flow.named_parameters() if p.requires_grad}
        found = torch.autograd.grad(
            (out * weights).sum(), tuple(inputs.values()), materialize_grads=True
        )
    finally:
        flow.memory = own
    return {"the output": out.detach(), **dict(zip(inputs, found, strict=True))}
