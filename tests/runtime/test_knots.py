"""Parameters that are piecewise linear in time between learned knots.

The oracle is the steps and the interpolation written out in torch.
"""

import copy
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import odenet
from odenet.testing import assert_gradients, assert_invertible

TWO_UNKNOWNS = """
state Y, Z
param K : dense(knots = 4)
param L : dense
param b : bias(knots = 2, init = normal(0.5))
param s : scalar(positive, knots = 3, init = 0.5)
param d : diag(knots = 3, init = normal(1))
Y' = K^T tanh(K Z + t b) - d Z
Z' = -s L^T tanh(L Y)
discretise {}(T = 2)
"""
CONVOLUTIONS = """
state Y
param K : conv(3, knots = 5)
param D : depthwise(3, knots = 2)
param P : pointwise(knots = 2)
Y' = tanh((K - K^T) Y + D P Y)
discretise {}(T = 1)
"""


@cache
def flow_class(text, space=0):
    return odenet.loads(text).module(space=space).ModelFlow


def build_flow(text, steps, seed=0, space=0):
    torch.manual_seed(seed)
    flow = flow_class(text, space)(4, steps).double()
    return flow, torch.randn(2, 4, *(5,) * space, dtype=torch.float64)


def interpolate(knots, time):
    """The oracle: piecewise linear interpolation between equidistant knots on [0, 1]."""
    for j in range(len(knots) - 1):
        left, right = j / (len(knots) - 1), (j + 1) / (len(knots) - 1)
        if left <= time <= right:
            fraction = (time - left) / (right - left)
            return knots[j] + fraction * (knots[j + 1] - knots[j])
    raise AssertionError(time)


@settings(max_examples=15)
@given(steps=st.integers(1, 9), seed=st.integers(0, 1000))
def test_values_and_gradients_are_those_of_the_steps_written_out(steps, seed):
    flow, u = build_flow(TWO_UNKNOWNS.format("verlet"), steps, seed)
    u.requires_grad_()
    Y, Z = u.chunk(2, 1)
    h = 2 / steps
    for n in range(steps):
        middle = (n + 0.5) / steps
        K, b, d = (interpolate(getattr(flow, name).knots, middle) for name in "Kbd")
        s = torch.nn.functional.softplus(interpolate(flow.s.knots, middle))
        L = flow.L[n]
        Y = Y + h * (torch.tanh(Z @ K.T + n * h * b) @ K - d * Z)
        Z = Z - h * s * torch.tanh(Y @ L.T) @ L
    out, expected = flow(u), torch.cat((Y, Z), 1)
    torch.testing.assert_close(out, expected, rtol=1e-11, atol=1e-12)
    inputs = (u, *flow.parameters())
    actual_gradients = torch.autograd.grad(out.square().sum(), inputs)
    expected_gradients = torch.autograd.grad(expected.square().sum(), inputs)
    torch.testing.assert_close(actual_gradients, expected_gradients, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("scheme", ["verlet", "stormer_verlet", "rk4"])
def test_every_mode_gives_the_same_gradients(scheme):
    flow, u = build_flow(TWO_UNKNOWNS.format(scheme), 6)
    if flow.reversible:
        assert_invertible(flow.eval(), u, tolerance=1e-10)
        assert_gradients(flow, u, tolerance=1e-9)
        return
    gradients = {}
    for mode in ("stored", "checkpoint"):
        flow.memory = mode
        gradients[mode] = torch.autograd.grad(flow(u).square().sum(), list(flow.parameters()))
    torch.testing.assert_close(*gradients.values(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scheme", ["midpoint", "heun"])
def test_convolutions_and_sums_of_them_may_have_knots(scheme):
    flow, u = build_flow(CONVOLUTIONS.format(scheme), 6, space=2)
    assert flow.K.knots.shape == (5, 4, 4, 3, 3) and len(flow.K) == 6
    gradients = []
    for mode in ("checkpoint", "stored"):
        flow.memory = mode
        gradients.append(torch.autograd.grad(flow(u).square().sum(), list(flow.parameters())))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-11)
    if flow.reversible:
        flow.memory = "reversible"
        assert_gradients(flow, u, tolerance=1e-9)


def test_exact_arithmetic_undoes_the_steps_bit_for_bit():
    flow, u = build_flow(TWO_UNKNOWNS.format("verlet").rstrip() + " exact\n", 20)
    state = flow.encode(u)
    assert flow.inverse_exactly(flow.evolve_exactly(state)).equal(state)


def test_the_state_dict_holds_the_four_knots_and_not_the_values_in_five_steps():
    flow, _ = build_flow(TWO_UNKNOWNS.format("verlet"), 5)
    other, _ = build_flow(TWO_UNKNOWNS.format("verlet"), 5, seed=1)
    assert flow.state_dict()["K.knots"].shape == (4, 2, 2)
    other.load_state_dict(flow.state_dict())
    assert torch.equal(other.K[3], flow.K[3])


def test_refining_keeps_the_knots_and_samples_the_same_function():
    flow, u = build_flow(
        TWO_UNKNOWNS.format("stormer_verlet").replace("dense\n", "dense(knots = 2)\n"), 16
    )
    finer = flow.refine()
    assert torch.equal(finer.K.knots, flow.K.knots) and len(finer.K) == 32
    torch.testing.assert_close(finer.K[31], interpolate(flow.K.knots, 31.5 / 32))
    flows = [flow, finer, finer.refine(), finer.refine().refine().refine()]
    ends = [f(u) for f in flows]
    errors = [(end - ends[-1]).norm().item() for end in ends[:-1]]
    # The order is 2, since K(t) is taken at the middle of steps.
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


def test_smoothness_is_the_integral_of_the_squared_slope():
    text = "state Y\nparam K : dense(knots = 3)\nY' = K Y\ndiscretise euler(T = 2)\n"
    for steps in (3, 50):
        flow, _ = build_flow(text, steps)
        K = flow.K.knots
        slopes = (K[1] - K[0]) / 1.0, (K[2] - K[1]) / 1.0  # a knot at t = 0, 1 and 2
        torch.testing.assert_close(flow.smoothness(), sum(s.square().sum() for s in slopes))


def test_adaptive_steps_interpolate_between_knots():
    text = TWO_UNKNOWNS.format("rk4").replace("dense\n", "dense(knots = 2)\n")
    flow, u = build_flow(text, 16)
    adaptive, _ = build_flow(text.replace("rk4(T = 2)", "dopri5(T = 2, rtol = 1e-7)"), 16)
    adaptive.load_state_dict(flow.state_dict())
    torch.testing.assert_close(adaptive(u), flow(u), rtol=1e-4, atol=1e-4)
    gradients = [torch.autograd.grad(f(u).sum(), list(f.parameters())) for f in (flow, adaptive)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def test_compiled_steps_interpolate_between_knots():
    flow, u = build_flow(TWO_UNKNOWNS.format("verlet"), 5)
    expected = torch.autograd.grad(flow(u).square().sum(), list(flow.parameters()))
    compiled = copy.deepcopy(flow)
    compiled.compile(backend="eager")
    actual = torch.autograd.grad(compiled(u).square().sum(), list(compiled.parameters()))
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


def test_the_state_of_the_optimizer_stays_with_the_knots_when_a_flow_is_refined():
    from odenet.training.callbacks.multilevel import _origins

    flow, _ = build_flow(TWO_UNKNOWNS.format("verlet"), 3)
    finer = flow.refine()
    origins = _origins(flow, finer)
    assert origins[finer.K.knots] is flow.K.knots and origins[finer.L] is flow.L
    assert set(origins) == set(finer.parameters())
