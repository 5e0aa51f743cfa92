"""A momentum network as an ordinary module: plain autograd on it is the reference for flows."""

from __future__ import annotations

import torch
from torch import nn

from odenet import reversible

# 500: a budget in bytes; "exact": memory "reversible" in exact arithmetic.
MODES = ("reversible", "checkpoint", 500, "exact")
GAMMA = 0.9


class PlainMomentum(nn.Module):
    """Each step takes v to γ v + (1 - γ) f(x), then x to x + v."""

    def __init__(self, blocks):
        super().__init__()
        self.f = nn.ModuleList(blocks)

    def forward(self, x, *context):
        v = torch.zeros_like(x)
        for block in self.f:
            v = GAMMA * v + (1 - GAMMA) * block(x, *context)
            x = x + v
        return x


def build_network(mode, make_block, steps=4):
    """The ordinary module for the mode "plain", a flow on the same blocks for any other mode."""
    torch.manual_seed(0)
    blocks = [make_block().double() for _ in range(steps)]
    if mode == "plain":
        return PlainMomentum(blocks)
    flow = reversible(blocks, gamma=GAMMA)
    if mode == "exact":
        flow.exact = True
    else:
        flow.memory = mode
    return flow


def make_input():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 6, dtype=torch.float64, generator=generator).requires_grad_()


def assert_matches_plain_autograd(make_block, use, mode, steps=4):
    """The function `use` has the same effect on a flow as on the ordinary module.

    It takes a network and an input, calls backward, and may return tensors. These, the gradients
    by the input and the weights, and the buffers are compared.
    """
    results = {}
    for kind in ("plain", mode):
        network, x = build_network(kind, make_block, steps), make_input()
        parameters = list(network.parameters())
        outputs = use(network, x) or ()
        results[kind] = [*outputs, x.grad, *(p.grad for p in parameters), *network.buffers()]
    tolerance = 1e-5 if mode == "exact" else 1e-8  # exact arithmetic rounds to a grid
    for a, b in zip(results[mode], results["plain"], strict=True):
        if a is None or b is None:
            assert a is b
        else:
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def backward_after_two_passes(network, x):
    """Two forward passes before one backward pass over both."""
    first = network(x)
    (first.square().sum() + network(2 * x).sum()).backward()
