"""Gradients in every memory mode, beside those of plain autograd (memory "stored") in double precision."""

from __future__ import annotations

import copy
import random

import numpy as np
import torch
from torch import Tensor

MODES = ("reversible", "checkpoint", 500)

SCHEMES = ("momentum", "midpoint", "leapfrog")


def learned(flow):
    return [p for p in flow.parameters() if p.requires_grad]


def gradients(flow, mode, u, *context, between=None, loss=None, **kwargs):
    """Gradients of a fresh copy in a memory mode, and the copy."""
    twin = copy.deepcopy(flow)
    twin.memory = mode
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    u = u.detach().clone().requires_grad_()
    out = twin(u, *context, **kwargs)
    if between:
        between(twin)
    total = (loss or (lambda flow, out: out.square().sum()))(twin, out)
    wanted = [u, *learned(twin), *(c for c in context if isinstance(c, Tensor) and c.requires_grad)]
    return torch.autograd.grad(total, wanted, allow_unused=True), twin


def assert_as_stored(flow, u, *context, modes=MODES, **options):
    expected, reference = gradients(flow, "stored", u, *context, **options)
    for mode in modes:
        found, twin = gradients(flow, mode, u, *context, **options)
        for a, b in zip(found, expected, strict=True):
            if a is not None or b is not None:  # None is a gradient of zeros
                a, b = (torch.zeros_like(g) if x is None else x for x, g in ((a, b), (b, a)))
                torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=f"memory={mode!r}")
        for (name, a), b in zip(twin.named_buffers(), reference.buffers(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10, msg=name)


def blocks(make, count=4):
    torch.manual_seed(0)
    return [make().double() for _ in range(count)]


def u():
    torch.manual_seed(2)
    return torch.randn(3, 6, dtype=torch.float64)
