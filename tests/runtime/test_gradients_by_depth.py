"""Gradients of reversible flows against plain autograd, by depth, scheme, precision and variant.

A variant is what blocks contain, such as batch norms, or how they are trained, as in autocast.

The tolerances are predicted, not fitted. To first order a gradient is linear in the states at which
it is evaluated, so its error is that of the rebuilt states, which the round-trip error of the scheme
estimates, plus eps for every step, by which plain autograd rounds as well.
"""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import odenet
from odenet.runtime.flow import Flow

BLOCKS = {  # by variant; the other variants, "accumulation" and "autocast", have the first
    "": "conv(3) -> tanh -> conv(3)",
    "batch norm": "conv(3) -> bn -> tanh -> conv(3)",
    "dropout": "conv(3) -> tanh -> dropout(0.3) -> conv(3)",
}
SCHEMES = ("verlet", "leapfrog", "midpoint", "momentum", "stormer_verlet")
TIME = 1.0  # the time that all steps take together


@cache
def load_program(scheme: str, variant: str, steps: int) -> odenet.Program:
    """A program with maps as right-hand sides, over a time that does not depend on the depth."""
    block = BLOCKS.get(variant, BLOCKS[""])
    if scheme in ("verlet", "stormer_verlet"):
        system = f"state Y, Z\nmap f = {block}\nmap g = {block}\nY' = f(Z)\nZ' = g(Y)"
    elif scheme == "leapfrog":
        system = f"state Y\nmap f = {block}\nY'' = f(Y)"
    else:
        system = f"state Y\nmap f = {block}\nY' = f(Y)"
    gamma = math.exp(-TIME / steps)
    constant = f"γ = {gamma}" if scheme == "momentum" else f"h = {TIME / steps}"
    return odenet.loads(f"{system}\ndiscretise {scheme}({constant})\n")


def build_flow(scheme: str, variant: str, steps: int, dtype: torch.dtype) -> tuple[Flow, Tensor]:
    torch.manual_seed(0)
    flow = load_program(scheme, variant, steps).flow(channels=4, steps=steps).to(dtype)
    for module in flow.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.1)
    return flow, torch.randn(4, 4, 3, 3).to(dtype)


def gradients(flow: Flow, u: Tensor, memory: str, variant: str) -> Tensor:
    """All gradients as one vector; the random numbers are the same for all modes."""
    flow.memory = memory
    flow.zero_grad()
    u = u.clone().requires_grad_()
    torch.manual_seed(1)
    for part in u.chunk(2) if variant == "accumulation" else (u,):
        with torch.autocast("cpu", torch.bfloat16, enabled=variant == "autocast"):
            out = flow(part)
        out.square().sum().backward()
    return torch.cat([u.grad.flatten(), *(p.grad.flatten() for p in flow.parameters())])


def predicted_error(scheme: str, steps: int, dtype: torch.dtype, variant: str = "") -> float:
    """The relative error of the gradients in memory mode "reversible", from the round-trip error."""
    eps = torch.finfo(dtype).eps
    roundtrip = load_program(scheme, variant, steps).derivation.roundtrip_error(
        steps, TIME / steps, eps, frequency=1.0
    )
    return 4 * roundtrip.estimate + steps * eps  # the estimate may be too small by a factor of 4


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("scheme", "steps"),
    [(scheme, steps) for steps in (10, 100) for scheme in SCHEMES]
    + [("verlet", 1000), ("leapfrog", 1000)],
)
def test_gradients_differ_by_no_more_than_rebuilt_states(scheme, steps, dtype):
    flow, u = build_flow(scheme, "", steps, dtype)
    expected, actual = (gradients(flow, u, memory, "") for memory in ("stored", "reversible"))
    assert relative_error(actual, expected) <= predicted_error(scheme, steps, dtype)


@pytest.mark.parametrize("variant", ["batch norm", "dropout", "accumulation"])
@pytest.mark.parametrize("scheme", ["verlet", "leapfrog", "momentum"])
@pytest.mark.parametrize("steps", [10, 100])
def test_gradients_differ_by_no_more_with_norms_dropout_or_accumulation(scheme, steps, variant):
    flow, u = build_flow(scheme, variant, steps, torch.float32)
    expected, actual = (gradients(flow, u, memory, variant) for memory in ("stored", "reversible"))
    assert relative_error(actual, expected) <= predicted_error(
        scheme, steps, torch.float32, variant
    )


@pytest.mark.parametrize("scheme", ["verlet", "leapfrog", "momentum"])
@pytest.mark.parametrize("steps", [10, 100])
def test_gradients_under_autocast_are_as_accurate_as_those_of_plain_autograd(scheme, steps):
    flow, u = build_flow(scheme, "autocast", steps, torch.float32)
    expected = gradients(flow, u, "stored", "")
    stored, actual = (gradients(flow, u, mode, "autocast") for mode in ("stored", "reversible"))
    assert 0 < relative_error(actual, expected) <= 1.5 * relative_error(stored, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_after_200_steps_the_angle_between_both_gradients_is_below_a_degree(scheme):
    # The measure that the code of Gomez et al. 2017 logs, asserted.
    flow, u = build_flow(scheme, "batch norm", 200, torch.float32)
    expected, actual = (gradients(flow, u, mode, "").double() for mode in ("stored", "reversible"))
    cosine = torch.dot(actual, expected) / (actual.norm() * expected.norm())
    assert torch.rad2deg(torch.arccos(cosine.clamp(max=1))) < 1
