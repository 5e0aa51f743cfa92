"""Gradients of a flow in each memory mode, against plain autograd (memory "stored") in float64."""

from __future__ import annotations

import copy
import random

import numpy as np
import torch
from torch import Tensor

MODES = ("reversible", "checkpoint", 500)  # 500: a budget of bytes

# Reversible schemes with a single right-hand side, whose blocks can be any modules.
SCHEMES = ("momentum", "midpoint", "leapfrog")


def trainable_parameters(flow):
    return [p for p in flow.parameters() if p.requires_grad]


def gradients_in_mode(flow, mode, u, *context, between=None, loss=None, **kwargs):
    """Gradients of a copy of the flow in a memory mode, and the copy.

    Args:
        flow: the flow.
        mode: the memory mode of the copy.
        u: the input.
        *context: further inputs.
        between: called with the copy between its forward and its backward pass.
        loss: gives the loss for the copy and its output; by default the sum of squares.
        **kwargs: further inputs by name.

    Returns:
        The gradients by the input, the trainable parameters and the context, in this order.
    """
    flow_copy = copy.deepcopy(flow)
    flow_copy.memory = mode
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    u = u.detach().clone().requires_grad_()
    out = flow_copy(u, *context, **kwargs)
    if between:
        between(flow_copy)
    total = (loss or (lambda flow, out: out.square().sum()))(flow_copy, out)
    inputs = [
        u,
        *trainable_parameters(flow_copy),
        *(c for c in context if isinstance(c, Tensor) and c.requires_grad),
    ]
    return torch.autograd.grad(total, inputs, allow_unused=True), flow_copy


def assert_same_as_stored(flow, u, *context, modes=MODES, **options):
    """Gradients and buffers in every mode are those with stored activations."""
    expected, reference = gradients_in_mode(flow, "stored", u, *context, **options)
    for mode in modes:
        actual, flow_copy = gradients_in_mode(flow, mode, u, *context, **options)
        for a, b in zip(actual, expected, strict=True):
            if a is not None or b is not None:  # None is a gradient of zeros
                a, b = (torch.zeros_like(g) if x is None else x for x, g in ((a, b), (b, a)))
                torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=f"memory={mode!r}")
        for (name, a), b in zip(flow_copy.named_buffers(), reference.buffers(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=name)


def make_blocks(make_block, count=4):
    torch.manual_seed(0)
    return [make_block().double() for _ in range(count)]


def make_input():
    torch.manual_seed(2)
    return torch.randn(3, 6, dtype=torch.float64)
