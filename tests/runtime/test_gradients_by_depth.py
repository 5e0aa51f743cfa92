"""Memory-free gradients against plain autograd, by depth, scheme, precision and surroundings.

The tolerances are predicted, not fitted: to first order a gradient is linear in the states that it
is evaluated at, so that it is off by as much as rebuilt states are, for which the scheme's
round-trip error is estimated, and by what rounding costs plain autograd as well, eps for every step.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import odenet
from odenet.runtime.flow import Flow

BLOCKS = {
    "": "conv(3) -> tanh -> conv(3)",
    "batch norm": "conv(3) -> bn -> tanh -> conv(3)",
    "dropout": "conv(3) -> tanh -> dropout(0.3) -> conv(3)",
}
SCHEMES = ("verlet", "leapfrog", "midpoint", "momentum", "stormer_verlet")
TIME = 1.0


@cache
def program(scheme: str, around: str, steps: int) -> odenet.Program:
    """Opaque maps as right-hand sides, over a time that does not depend on depth."""
    block = BLOCKS.get(around, BLOCKS[""])
    if scheme in ("verlet", "stormer_verlet"):
        system = f"state Y, Z\nmap f = {block}\nmap g = {block}\nY' = f(Z)\nZ' = g(Y)"
    elif scheme == "leapfrog":
        system = f"state Y\nmap f = {block}\nY'' = f(Y)"
    else:
        system = f"state Y\nmap f = {block}\nY' = f(Y)"
    gamma = math.exp(-TIME / steps)
    given = f"γ = {gamma}" if scheme == "momentum" else f"h = {TIME / steps}"
    return odenet.loads(f"{system}\ndiscretise {scheme}({given})\n")


def build(scheme: str, around: str, steps: int, dtype: torch.dtype) -> tuple[Flow, Tensor]:
    torch.manual_seed(0)
    flow = program(scheme, around, steps).flow(channels=4, steps=steps).to(dtype)
    for module in flow.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
    return flow, torch.randn(4, 4, 3, 3).to(dtype)


def gradients(flow: Flow, u: Tensor, memory: str, around: str) -> Tensor:
    """All gradients as one vector, with the same random numbers for all modes."""
    flow.memory = memory
    flow.zero_grad()
    u = u.clone().requires_grad_()
    torch.manual_seed(1)
    for part in u.chunk(2) if around == "accumulation" else (u,):
        with torch.autocast("cpu", torch.bfloat16, enabled=around == "autocast"):
            out = flow(part)
        out.square().sum().backward()
    return torch.cat([u.grad.flatten(), *(p.grad.flatten() for p in flow.parameters())])


def predicted_error(scheme: str, steps: int, dtype: torch.dtype, around: str = "") -> float:
    """Of the memory-free gradients, relative."""
    eps = torch.finfo(dtype).eps
    found = program(scheme, around, steps).derivation.roundtrip_error(
        steps, TIME / steps, eps, frequency=1.0
    )
    return 4 * found.estimate + steps * eps


def distance(found: Tensor, true: Tensor) -> float:
    return ((found - true).norm() / true.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("scheme", "steps"),
    [(scheme, steps) for steps in (10, 100) for scheme in SCHEMES]
    + [("verlet", 1000), ("leapfrog", 1000)],
)
def test_gradients_differ_by_no_more_than_rebuilt_states(scheme, steps, dtype):
    flow, u = build(scheme, "", steps, dtype)
    true, found = (gradients(flow, u, memory, "") for memory in ("stored", "reversible"))
    assert distance(found, true) <= predicted_error(scheme, steps, dtype)


@pytest.mark.parametrize("around", ["batch norm", "dropout", "accumulation"])
@pytest.mark.parametrize("scheme", ["verlet", "leapfrog", "momentum"])
@pytest.mark.parametrize("steps", [10, 100])
def test_they_do_so_with_norms_dropout_and_accumulation(scheme, steps, around):
    flow, u = build(scheme, around, steps, torch.float32)
    true, found = (gradients(flow, u, memory, around) for memory in ("stored", "reversible"))
    assert distance(found, true) <= predicted_error(scheme, steps, torch.float32, around)


@pytest.mark.parametrize("scheme", ["verlet", "leapfrog", "momentum"])
@pytest.mark.parametrize("steps", [10, 100])
def test_under_autocast_they_are_as_good_as_those_of_plain_autograd(scheme, steps):
    flow, u = build(scheme, "autocast", steps, torch.float32)
    true = gradients(flow, u, "stored", "")
    plain, found = (gradients(flow, u, mode, "autocast") for mode in ("stored", "reversible"))
    assert 0 < distance(found, true) <= 1.5 * distance(plain, true)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_angle_between_both_gradients_is_below_a_degree_at_depth(scheme):
    # The measure that the code of Gomez et al. 2017 logs, asserted.
    flow, u = build(scheme, "batch norm", 200, torch.float32)
    true, found = (gradients(flow, u, mode, "").double() for mode in ("stored", "reversible"))
    cosine = torch.dot(found, true) / (found.norm() * true.norm())
    assert torch.rad2deg(torch.arccos(cosine.clamp(max=1))) < 1
