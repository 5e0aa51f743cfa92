"""A momentum network written out, for plain autograd to differentiate: a reference for flows."""

from __future__ import annotations

import torch
from torch import nn

from odenet import reversible

MODES = ("reversible", "checkpoint", 500, "exact")
GAMMA = 0.9


class Plain(nn.Module):
    """v = γ v + (1 - γ) f(x), x = x + v."""

    def __init__(self, blocks):
        super().__init__()
        self.f = nn.ModuleList(blocks)

    def forward(self, x, *context):
        v = torch.zeros_like(x)
        for block in self.f:
            v = GAMMA * v + (1 - GAMMA) * block(x, *context)
            x = x + v
        return x


def network(mode, make, steps=4):
    torch.manual_seed(0)
    blocks = [make().double() for _ in range(steps)]
    if mode == "plain":
        return Plain(blocks)
    flow = reversible(blocks, gamma=GAMMA)
    if mode == "exact":
        flow.exact = True
    else:
        flow.memory = mode
    return flow


def state():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(3, 6, dtype=torch.float64, generator=generator).requires_grad_()


def assert_as_plain(make, use, mode, steps=4):
    """What a use of a network gives, its gradients and its buffers are those of plain autograd."""
    found = {}
    for each in ("plain", mode):
        net, x = network(each, make, steps), state()
        learned = list(net.parameters())
        given = use(net, x) or ()
        found[each] = [*given, x.grad, *(p.grad for p in learned), *net.buffers()]
    near = 1e-5 if mode == "exact" else 1e-8  # the grid of exact arithmetic
    for a, b in zip(found[mode], found["plain"], strict=True):
        if a is None or b is None:
            assert a is b
        else:
            torch.testing.assert_close(a, b, rtol=near, atol=near)


def twice(net, x):
    """Two passes before the first backward."""
    first = net(x)
    (first.square().sum() + net(2 * x).sum()).backward()
