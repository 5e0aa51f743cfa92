"""Equations that read the time `t`.

There are two references: the same equations with the time as one more state of slope one, and the
steps written out in torch.
"""

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import odenet
from odenet.testing import assert_gradients, assert_invertible
from tests.derive.numeric import USER_SCHEMES

ONE_UNKNOWN = """
state Y
param K : dense
param b : bias(init = normal(0.5))
Y' = {rate}
discretise {scheme}(h = 0.2)
"""
RIGHT_HAND_SIDE = "K^T tanh(K Y + t b)"
TWO_UNKNOWNS = """
state Y, Z
param K, L : dense
param b, d : bias(init = normal(0.5))
Y' = K^T tanh(K Z + t b)
Z' = -L^T tanh(L Y + t^2 d)
discretise {scheme}(h = 0.2)
"""
# The same with the time as a state: S' = e, where e is a bias of 1 with as many channels as the
# other states. With two unknowns two such states are needed: Y' reads Z, and S is updated together
# with Z; Z' reads Y, and R is updated together with Y.
ONE_UNKNOWN_AUGMENTED = """
state Y, S
param K : dense
param b : diag(init = normal(0.5))
shared param e : bias(init = ones)
Y' = K^T tanh(K Y + b S)
S' = e
Y(0) = u
S(0) = 0
output Y
discretise {scheme}(h = 0.2)
"""
TWO_UNKNOWNS_AUGMENTED = """
state Y, Z, S, R
param K, L : dense
param b, d : diag(init = normal(0.5))
shared param e : bias(init = ones)
Y' = K^T tanh(K Z + b S)
Z' = -L^T tanh(L Y + d (R * R))
S' = e
R' = e
S(0) = 0
R(0) = 0
output concat(Y, Z)
discretise {scheme}(h = 0.2)
"""
REVERSIBLE_SCHEMES = (
    "asynchronous_leapfrog", "reversible_heun", "coupled_euler", "coupled_heun", "coupled_rk4",
)  # fmt: skip
ONE_UNKNOWN_SCHEMES = ("euler", "heun", "rk4", "bosh3", "dopri5", *REVERSIBLE_SCHEMES)
TWO_UNKNOWNS_SCHEMES = ("verlet", "stormer_verlet", "yoshida4")
# A user may not define a scheme under the name of one that ships with odenet.
USER_SCHEME_TEXT = USER_SCHEMES.replace("scheme asynchronous_leapfrog {", "scheme own_leapfrog {")
USER_SCHEME_TEXT = USER_SCHEME_TEXT.replace("scheme coupled {", "scheme own_coupled {")


@cache
def flow_class(text):
    return odenet.loads(text).module(space=0).ModelFlow


def build_flow(text, channels=3, steps=5, seed=0):
    torch.manual_seed(seed)
    flow = flow_class(text)(channels, steps).double()
    return flow, torch.randn(2, channels, dtype=torch.float64)


def copy_weights(flow, augmented):
    """Gives the augmented flow the weights of the flow, where both have them."""
    weights = dict(flow.named_parameters())
    for name, parameter in augmented.named_parameters():
        if name in weights:
            parameter.data.copy_(weights[name].data.view_as(parameter))


@pytest.mark.parametrize("scheme", ONE_UNKNOWN_SCHEMES)
def test_the_time_is_one_more_state_with_slope_one(scheme):
    flow, u = build_flow(ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme=scheme))
    augmented, _ = build_flow(ONE_UNKNOWN_AUGMENTED.format(scheme=scheme))
    copy_weights(flow, augmented)
    torch.testing.assert_close(flow(u), augmented(u), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("memory", ["stored", "checkpoint", 1, 2000])  # 1, 2000: budgets in bytes
def test_every_memory_mode_reads_the_times_of_steps_of_different_sizes(memory):
    text = TWO_UNKNOWNS.format(scheme="verlet").replace("h = 0.2", "h = [0.3, 0.2, 0.1, 0.4, 0.5]")
    flow, u = build_flow(text, channels=4)
    results = []
    for mode in ("reversible", memory):
        flow.memory = mode
        out = flow(u)
        results.append([out, *torch.autograd.grad(out.square().sum(), [*flow.parameters()])])
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scheme", TWO_UNKNOWNS_SCHEMES)
def test_the_time_is_one_more_state_for_each_unknown_of_the_scheme(scheme):
    flow, u = build_flow(TWO_UNKNOWNS.format(scheme=scheme), channels=4)
    augmented, _ = build_flow(TWO_UNKNOWNS_AUGMENTED.format(scheme=scheme), channels=4)
    copy_weights(flow, augmented)
    torch.testing.assert_close(flow(u), augmented(u), rtol=1e-12, atol=1e-12)


def verlet(flow, u):
    Y, Z = u.chunk(2, 1)
    for n in range(flow.steps):
        t, h = n * 0.2, 0.2
        K, L, b, d = (getattr(flow, name)[n] for name in "KLbd")
        Y = Y + h * torch.tanh(Z @ K.T + t * b) @ K
        t = t + h
        Z = Z - h * torch.tanh(Y @ L.T + t**2 * d) @ L
    return torch.cat((Y, Z), 1)


def midpoint(flow, u):
    h, Y_prev, Y = 0.2, torch.zeros_like(u), u
    for n in range(flow.steps):
        K, b = flow.K[n], flow.b[n]
        rate = torch.tanh(Y @ K.T + n * h * b) @ K
        Y_prev, Y = Y, Y_prev + 2 * h * rate
    return Y


def asynchronous_leapfrog(flow, u):
    h, Y = 0.2, u
    V = torch.tanh(Y @ flow.K[0].T) @ flow.K[0]
    for n in range(flow.steps):
        K, b = flow.K[n], flow.b[n]
        Y_half = Y + h / 2 * V
        V = 2 * torch.tanh(Y_half @ K.T + (n * h + h / 2) * b) @ K - V
        Y = Y_half + h / 2 * V
    return Y


BY_HAND = {  # text, channels, the steps written out
    "verlet": (TWO_UNKNOWNS.format(scheme="verlet"), 4, verlet),
    "midpoint": (ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme="midpoint"), 3, midpoint),
    "asynchronous_leapfrog": (
        ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme="asynchronous_leapfrog"), 3, asynchronous_leapfrog,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
@settings(max_examples=20)
@given(steps=st.integers(1, 7), seed=st.integers(0, 1000))
def test_values_and_gradients_are_those_of_the_steps_written_out(name, steps, seed):
    text, channels, by_hand = BY_HAND[name]
    flow, u = build_flow(text, channels, steps, seed)
    u.requires_grad_()
    out, expected = flow(u), by_hand(flow, u)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    inputs = (u, *flow.parameters())
    actual_gradients = torch.autograd.grad(out.square().sum(), inputs)
    expected_gradients = torch.autograd.grad(expected.square().sum(), inputs)
    torch.testing.assert_close(actual_gradients, expected_gradients, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "text", [*(TWO_UNKNOWNS.format(scheme=s) for s in TWO_UNKNOWNS_SCHEMES), *(
        ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme=s) for s in REVERSIBLE_SCHEMES)],
)  # fmt: skip
def test_steps_are_undone_and_every_mode_gives_the_same_gradients(text):
    flow, u = build_flow(text, channels=4, steps=8)
    assert_invertible(flow.eval(), u, tolerance=1e-10)
    assert_gradients(flow, u, tolerance=1e-9)


@pytest.mark.parametrize("scheme", ["verlet", "stormer_verlet"])
def test_exact_arithmetic_undoes_steps_that_read_the_time_bit_for_bit(scheme):
    flow, u = build_flow(
        TWO_UNKNOWNS.format(scheme=scheme).rstrip() + " exact\n", channels=4, steps=30
    )
    state = flow.encode(u)
    assert flow.inverse_exactly(flow.evolve_exactly(state)).equal(state)
    assert_gradients(flow, u, tolerance=1e-6)


# For rk4 the right-hand side is quadratic in t.
@pytest.mark.parametrize(
    ("text", "order"),
    [(ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE.replace("t b", "t t b"), scheme="rk4"), 4), (TWO_UNKNOWNS.format(scheme="verlet"), 1),
     (TWO_UNKNOWNS.format(scheme="stormer_verlet"), 2), (TWO_UNKNOWNS.format(scheme="yoshida4"), 4),
     (ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme="own") + USER_SCHEME_TEXT.replace("kutta3", "own"), 3)],
    ids=["rk4", "verlet", "stormer_verlet", "yoshida4", "kutta3"],
)  # fmt: skip
def test_a_scheme_keeps_its_order_where_the_equations_read_the_time(text, order):
    shared = text.replace("param", "shared param").replace("h = 0.2", "T = 1.5")
    ends = []
    for steps in (10, 20, 2000 // order):  # the last for the reference
        flow, u = build_flow(shared, channels=4, steps=steps)
        with torch.no_grad():
            ends.append(flow(u))
    errors = [(end - ends[2]).norm().item() for end in ends[:2]]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.4)


def test_adaptive_steps_read_the_time_at_each_stage():
    text = ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme="rk4").replace("param", "shared param")
    flow, u = build_flow(text.replace("h = 0.2", "T = 1"), steps=200)
    adaptive, _ = build_flow(text.replace("rk4(h = 0.2)", "dopri5(T = 1, rtol = 1e-8)"), steps=2)
    torch.testing.assert_close(adaptive(u), flow(u), rtol=1e-6, atol=1e-7)
    gradients = [torch.autograd.grad(f(u).sum(), list(f.parameters())) for f in (flow, adaptive)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)


def test_refining_halves_the_steps_and_keeps_their_times():
    flow, u = build_flow(
        ONE_UNKNOWN.format(rate=RIGHT_HAND_SIDE, scheme="rk4").replace("param", "shared param")
    )
    finer = flow.refine()
    assert torch.equal(finer.times[::2], flow.times)
    torch.testing.assert_close(finer(u), flow(u), rtol=2e-2, atol=2e-2)


def test_a_file_that_declares_t_itself_reads_no_time():
    text = "state Y\nparam b : bias\n{}Y' = tanh(Y + t b)\ndiscretise euler(h = 0.1)\n"
    assert "t = step" in odenet.loads(text.format("")).source()
    for declaration in ("let t = 0.5\n", "param t : scalar\n"):
        program = odenet.loads(text.format(declaration))
        assert program.model.first_time_node is None and "t = step" not in program.source()
