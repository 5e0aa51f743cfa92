"""The time `t` and knots, combined with a step size for each step, splitting and composed schemes.

The reference is the steps written out in torch, differentiated by autograd.
"""

import math

import pytest
import torch

import odenet
from odenet.runtime import Learned
from odenet.testing import assert_gradients, assert_invertible

STEP_SIZES = (0.1, 0.3, 0.2, 0.05)
START_TIMES = (0.0, 0.1, 0.4, 0.6)  # the sums of the sizes before
ONE_UNKNOWN = (
    "state Y\nparam K : dense\nparam b : bias(init = normal(0.5))\nY' = K^T tanh(K Y + t b)\n"
)
TWO_UNKNOWNS = """
state Y, Z
param K, L : dense
param b, d : bias(init = normal(0.5))
Y' =  K^T tanh(K Z + t b)
Z' = -L^T tanh(L Y + t^2 d)
"""


def build_flow(text, channels=4, seed=0, **constants):
    torch.manual_seed(seed)
    flow = odenet.loads(text).flow(channels, len(STEP_SIZES), space=0, **constants).double()
    return flow, torch.randn(3, channels, dtype=torch.float64, requires_grad=True)


def assert_matches_steps_by_hand(flow, u, by_hand):
    """Values, and gradients by the input and every weight, are those of the steps by hand."""
    weights = [u, *flow.parameters()]
    actual, expected = flow(u), by_hand(flow, u)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
    cotangent = torch.randn_like(actual)
    actual_gradients = torch.autograd.grad(actual, weights, cotangent)
    expected_gradients = torch.autograd.grad(expected, weights, cotangent)
    torch.testing.assert_close(actual_gradients, expected_gradients, rtol=1e-10, atol=1e-12)


def verlet(flow, u, sizes=STEP_SIZES, starts=START_TIMES):
    Y, Z = u.chunk(2, 1)
    for n, (h, t) in enumerate(zip(sizes, starts, strict=True)):
        K, L, b, d = (getattr(flow, name)[n] for name in "KLbd")
        Y = Y + h * torch.tanh(Z @ K.T + t * b) @ K
        Z = Z - h * torch.tanh(Y @ L.T + (t + h) ** 2 * d) @ L
    return torch.cat((Y, Z), 1)


def stormer_verlet(flow, u):
    Y, Z = u.chunk(2, 1)
    for n, (h, t) in enumerate(zip(STEP_SIZES, START_TIMES, strict=True)):
        K, L, b, d = (getattr(flow, name)[n] for name in "KLbd")
        Z = Z - h / 2 * torch.tanh(Y @ L.T + t**2 * d) @ L
        Y = Y + h * torch.tanh(Z @ K.T + (t + h / 2) * b) @ K
        Z = Z - h / 2 * torch.tanh(Y @ L.T + (t + h) ** 2 * d) @ L
    return torch.cat((Y, Z), 1)


def heun(flow, u):
    Y = u
    for n, (h, t) in enumerate(zip(STEP_SIZES, START_TIMES, strict=True)):
        K, b = flow.K[n], flow.b[n]
        k1 = torch.tanh(Y @ K.T + t * b) @ K
        k2 = torch.tanh((Y + h * k1) @ K.T + (t + h) * b) @ K
        Y = Y + h / 2 * (k1 + k2)
    return Y


# --- a step size for each step ---------------------------------------------------------------------

STEP_SIZE_LIST = f"[{', '.join(map(str, STEP_SIZES))}]"


def test_the_time_is_the_sum_of_the_step_sizes_before():
    flow, u = build_flow(f"{TWO_UNKNOWNS}discretise verlet(h = {STEP_SIZE_LIST})")
    assert flow.times.tolist() == [math.fsum(STEP_SIZES[:n]) for n in range(4)]
    assert_matches_steps_by_hand(flow, u, verlet)
    assert_invertible(flow, u.detach())


def test_a_stage_inside_a_step_has_the_step_size_of_that_step():
    assert_matches_steps_by_hand(
        *build_flow(f"{TWO_UNKNOWNS}discretise stormer_verlet(h = {STEP_SIZE_LIST})"),
        stormer_verlet,
    )


def test_a_scheme_without_an_inverse_reads_the_same_times():
    assert_matches_steps_by_hand(
        *build_flow(f"{ONE_UNKNOWN}discretise heun(h = {STEP_SIZE_LIST})"), heun
    )


def test_exact_steps_are_undone_bit_for_bit():
    flow, u = build_flow(f"{TWO_UNKNOWNS}discretise verlet(h = {STEP_SIZE_LIST}) exact")
    assert_gradients(flow, u.detach())
    start = flow.encode(u.detach())
    recovered = flow.inverse_exactly(flow.evolve_exactly(flow.encode(u.detach())))
    for expected, actual in zip(start.tensors(), recovered.tensors(), strict=True):
        assert torch.equal(expected, actual)


@pytest.mark.parametrize("h", ["geometric(0.2, ratio = 0.5)", "uniform(0.1, 0.3, seed = 2)"])
def test_drawn_and_geometric_sizes_add_up(h):
    flow, u = build_flow(f"{TWO_UNKNOWNS}discretise verlet(h = {h})")
    sizes = [flow.h[n] for n in range(4)]
    assert_matches_steps_by_hand(
        flow, u, lambda f, x: verlet(f, x, sizes, [sum(sizes[:n]) for n in range(4)])
    )


def test_a_ramp_moves_the_time():
    flow, u = build_flow(f"{TWO_UNKNOWNS}discretise verlet(h = ramp(0.1, 0.3, steps = 10))")
    flow.h.move_to(0.5)
    assert_matches_steps_by_hand(
        flow, u, lambda f, x: verlet(f, x, [0.2] * 4, [0.0, 0.2, 0.4, 0.6])
    )


def test_refined_steps_start_at_the_start_and_the_middle_of_each_step():
    flow, u = build_flow(f"{TWO_UNKNOWNS}discretise verlet(h = {STEP_SIZE_LIST})")
    finer = flow.refine()
    assert finer.times.tolist()[::2] == pytest.approx(START_TIMES)
    sizes = [h / 2 for h in STEP_SIZES for _ in range(2)]
    starts = [sum(sizes[:n]) for n in range(8)]
    assert_matches_steps_by_hand(finer, u, lambda f, x: verlet(f, x, sizes, starts))


def test_learned_step_sizes_are_refused_where_the_time_is_read():
    flow, u = build_flow(f"{TWO_UNKNOWNS}discretise verlet(h = {STEP_SIZE_LIST})", h=Learned(0.1))
    with pytest.raises(ValueError, match="step sizes are learned"):
        flow(u)


# --- knots ---------------------------------------------------------------------------------------

WITH_KNOTS = """
state Y, Z
param K : dense(knots = 3)
param b : bias(init = normal(0.5), knots = 2)
Y' =  tanh(K Z + b)
Z' = -tanh(K Y)
"""


def verlet_with_knots(flow, u, sizes=STEP_SIZES):
    Y, Z = u.chunk(2, 1)
    K, b = flow.K.knots, flow.b.knots
    total, start = sum(sizes), 0.0
    for h in sizes:
        position = (start + h / 2) / total  # in [0, 1]
        W = (  # K there, interpolated between its three knots
            (1 - 2 * position) * K[0] + 2 * position * K[1]
            if position < 0.5
            else (2 - 2 * position) * K[1] + (2 * position - 1) * K[2]
        )
        Y = Y + h * torch.tanh(Z @ W.T + (1 - position) * b[0] + position * b[1])
        Z = Z - h * torch.tanh(Y @ W.T)
        start += h
    return torch.cat((Y, Z), 1)


def test_knots_are_sampled_in_the_middle_of_steps_of_different_sizes():
    flow, u = build_flow(f"{WITH_KNOTS}discretise verlet(h = {STEP_SIZE_LIST})")
    assert_matches_steps_by_hand(flow, u, verlet_with_knots)
    assert "K.knots" in flow.state_dict()
    knot_distance = sum(STEP_SIZES) / 2
    smoothness = flow.K.knots.diff(dim=0).square().sum() / knot_distance
    torch.testing.assert_close(flow.smoothness(), smoothness)


def test_refining_keeps_the_knots():
    flow, u = build_flow(f"{WITH_KNOTS}discretise verlet(h = {STEP_SIZE_LIST})")
    finer = flow.refine()
    torch.testing.assert_close(finer.K.knots, flow.K.knots)
    sizes = [h / 2 for h in STEP_SIZES for _ in range(2)]
    assert_matches_steps_by_hand(finer, u, lambda f, x: verlet_with_knots(f, x, sizes))


def test_loading_drawn_step_sizes_moves_the_times_at_which_knots_are_sampled():
    text = f"{WITH_KNOTS}discretise verlet(h = uniform(0.1, 0.3))"
    flow, _ = build_flow(text)
    loaded, u = build_flow(text, h=odenet.runtime.Uniform(0.1, 0.3, seed=5))
    loaded.load_state_dict(flow.state_dict())
    assert_matches_steps_by_hand(
        loaded, u, lambda f, x: verlet_with_knots(f, x, [flow.h[n] for n in range(4)])
    )


def test_learned_step_sizes_are_refused_where_there_are_knots():
    with pytest.raises(ValueError, match="step sizes are learned"):
        build_flow(f"{WITH_KNOTS}discretise verlet(h = {STEP_SIZE_LIST})", h=Learned(0.1))


# --- splitting and composing ---------------------------------------------------------------------

STRANG_SCHEME = """
scheme strang {
    for Y' = F(Y) + G(Y)
    k1     = F(Y[n])
    k2     = F(Y[n] + h/2 k1)
    Y1     = Y[n] + h/4 (k1 + k2)
    l1     = G(Y1)
    l2     = G(Y1 + h l1)
    Y2     = Y1 + h/2 (l1 + l2)
    k3     = F(Y2)
    k4     = F(Y2 + h/2 k3)
    Y[n+1] = Y2 + h/4 (k3 + k4)
}
"""
SPLIT_EQUATION = """
state Y
param K, A : dense
param b, d : bias(init = normal(0.5))
Y' = tanh(K Y + t b) + tanh((A - A^T) Y + t^2 d)
discretise strang(h = {h})
"""


def strang(sizes, starts):
    """Strang splitting written out: each part has its own time, which advances while it acts."""

    def by_hand(flow, u):
        Y = u
        for n, (h, t) in enumerate(zip(sizes, starts, strict=True)):
            K, A, b, d = (getattr(flow, name)[n] for name in "KAbd")

            def f(Y, t, K=K, b=b):
                return torch.tanh(Y @ K.T + t * b)

            def g(Y, t, A=A, d=d):
                return torch.tanh(Y @ (A - A.T).T + t**2 * d)

            Y = heun_step(f, Y, t, h / 2)
            Y = heun_step(g, Y, t, h)
            Y = heun_step(f, Y, t + h / 2, h / 2)
        return Y

    def heun_step(f, Y, t, h):
        k = f(Y, t)
        return Y + h / 2 * (k + f(Y + h * k, t + h))

    return by_hand


def test_each_part_of_a_splitting_has_its_own_time():
    flow, u = build_flow(SPLIT_EQUATION.format(h=0.2) + STRANG_SCHEME)
    assert_matches_steps_by_hand(flow, u, strang([0.2] * 4, [0.0, 0.2, 0.4, 0.6]))


def test_a_splitting_takes_a_step_size_for_each_step():
    flow, u = build_flow(SPLIT_EQUATION.format(h=STEP_SIZE_LIST) + STRANG_SCHEME)
    assert_matches_steps_by_hand(flow, u, strang(STEP_SIZES, START_TIMES))


def test_a_splitting_keeps_its_order_where_the_parts_read_the_time():
    def end_state(steps):
        text = SPLIT_EQUATION.replace("param", "shared param").format(h=1 / steps) + STRANG_SCHEME
        torch.manual_seed(1)
        flow = odenet.loads(text).flow(4, steps, space=0).double()
        return flow(torch.ones(1, 4, dtype=torch.float64))

    with torch.no_grad():
        reference = end_state(320)
        coarse, fine = (float((end_state(n) - reference).norm()) for n in (10, 20))
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.2)


def test_the_second_part_of_a_composed_scheme_starts_when_the_first_ends():
    def composed(flow, u):
        Y = u
        for n, (h, t) in enumerate(zip(STEP_SIZES, START_TIMES, strict=True)):
            K, b = flow.K[n], flow.b[n]

            def f(Y, t, K=K, b=b):
                return torch.tanh(Y @ K.T + t * b) @ K

            Y = Y + h / 3 * f(Y, t)
            t, h = t + h / 3, 2 * h / 3
            k1 = f(Y, t)
            Y = Y + h / 2 * (k1 + f(Y + h * k1, t + h))
        return Y

    scheme = "scheme both = compose(euler(h/3), heun(2 h/3))\n"
    assert_matches_steps_by_hand(
        *build_flow(f"{ONE_UNKNOWN}discretise both(h = {STEP_SIZE_LIST})\n{scheme}"), composed
    )


def test_the_adjoint_of_verlet_updates_z_first_and_reads_the_times_accordingly():
    def adjoint(flow, u):
        Y, Z = u.chunk(2, 1)
        for n, (h, t) in enumerate(zip(STEP_SIZES, START_TIMES, strict=True)):
            K, L, b, d = (getattr(flow, name)[n] for name in "KLbd")
            Z = Z - h * torch.tanh(Y @ L.T + t**2 * d) @ L
            Y = Y + h * torch.tanh(Z @ K.T + (t + h) * b) @ K
        return torch.cat((Y, Z), 1)

    scheme = "scheme back = adjoint(verlet)\n"
    assert_matches_steps_by_hand(
        *build_flow(f"{TWO_UNKNOWNS}discretise back(h = {STEP_SIZE_LIST})\n{scheme}"), adjoint
    )


def test_coupled_copies_have_the_times_of_their_half_steps():
    flow, u = build_flow(
        f"{ONE_UNKNOWN}discretise pair(h = {STEP_SIZE_LIST})\nscheme pair(λ = 0.99) = coupled(heun)\n"
    )
    plain, _ = build_flow(f"{ONE_UNKNOWN}discretise heun(h = {STEP_SIZE_LIST})")
    assert_gradients(flow, u.detach())
    # The two schemes differ by their discretisation errors alone.
    assert float((flow(u) - plain(u)).detach().abs().max()) < 0.02
