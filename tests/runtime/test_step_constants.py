"""Constants of schemes that differ from step to step, against steps written out in torch."""

import copy
import io
import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import odenet
from odenet.runtime import Geometric, Learned, Ramp, Uniform
from odenet.runtime.learned.constants import MARGIN, LearnedConstant

SPEC = """
state  Y
param  K : dense
param  b : bias
Y' = tanh(K Y + b)
discretise %s
scheme two_step(a = 1) {
    for Y' = F(Y)
    start Y[-1] = Y[0]
    let c = 1 + a
    Y[n+1] = a Y[n-1] + (1 - a) Y[n] + c h F(Y[n])
}
"""
PAIR_SPEC = """
state  Y, Z
param  K1, K2 : dense
Y' = K1^T tanh(K1 Z)
Z' = -K2^T tanh(K2 Y)
discretise verlet(%s)
"""
STEPS = 4
KINDS = {  # of constants
    "given": (0.9, 1.2, 0.7, -0.6),
    "drawn": Uniform(0.5, 1.5, seed=1),
    "geometric": Geometric(0.5, 0.9),
    "learned": Learned(0.9, low=0),
    "shared": Learned(0.9, shared=True, low=0),
    "ramp": Ramp(0.2, 0.9, epochs=1),
}
STEP_SIZES = {
    "given": (0.1, 0.3, 0.2, 0.4),
    "geometric": Geometric(0.3, 0.9),
    "learned": Learned(0.2),
}
SCHEMES = {  # text, name of the constant that a test varies, other constants
    "momentum": (SPEC % "momentum(γ = [0.9])", "gamma", {}),
    "two_step": (SPEC % "two_step(a = [0.9], h = [0.1])", "a", {"h": Geometric(0.3, 0.9)}),
    "coupled": (SPEC % "coupled_heun(λ = [0.9], h = [0.1])", "lambda_", {"h": Learned(0.2, low=0)}),
}
RAMPED = SPEC % "momentum(γ = ramp(0, 0.9, steps = 10))"
load = cache(odenet.loads)


def build_flow(text, steps=STEPS, **constants):
    torch.manual_seed(0)
    flow = load(text).flow(6, steps, space=0, **constants).double()
    for name, parameter in flow.named_parameters():
        if name == "b":  # biases begin with 0
            torch.nn.init.normal_(parameter)
    return flow, torch.randn(3, 6, dtype=torch.float64, requires_grad=True)


def build_with_constant(scheme, kind):
    """A flow of a scheme above whose constant is of a kind above, and an input for it."""
    text, name, others = SCHEMES[scheme]
    return build_flow(text, **{name: KINDS[kind]}, **others)


def step_values(flow, name):
    """The value of a constant in each step; a learned one by the formula of its range."""
    constant = getattr(flow, name)
    if not isinstance(constant, LearnedConstant):
        return [constant[step] for step in range(flow.steps)]
    low, first = constant.options.low, constant.options.value
    values = constant.raw
    if low > float("-inf"):
        values = low + MARGIN * (first - low) + torch.log1p(torch.exp(constant.raw))
    return [values[step if len(values) > 1 else 0] for step in range(flow.steps)]


def rate(flow, Y, step):
    return torch.tanh(Y @ flow.K[step].T + flow.b[step])


def by_hand(flow, u, scheme):
    """The steps of a scheme written out: the reference."""
    if scheme == "momentum":
        Y, v = u, torch.zeros_like(u)
        for step, a in enumerate(step_values(flow, "gamma")):
            v = a * v + (1 - a) * rate(flow, Y, step)
            Y = Y + v
        return Y
    if scheme == "two_step":
        Y_prev, Y = u, u
        for step, (a, h) in enumerate(
            zip(step_values(flow, "a"), step_values(flow, "h"), strict=True)
        ):
            Y_prev, Y = Y, a * Y_prev + (1 - a) * Y + (1 + a) * h * rate(flow, Y, step)
        return Y
    Y = Z = u  # the coupled copies of the state
    for step, (a, h) in enumerate(
        zip(step_values(flow, "lambda_"), step_values(flow, "h"), strict=True)
    ):
        k1 = rate(flow, Z, step)
        k2 = rate(flow, Z + h * k1, step)
        Y = a * Y + (1 - a) * Z + h / 2 * (k1 + k2)
        l1 = rate(flow, Y, step)
        Z = Z + h / 2 * (l1 + rate(flow, Y - h * l1, step))
    return Y


def gradients(flow, u, out):
    weights = [*flow.parameters(), u]
    return torch.autograd.grad((out**3).sum(), weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_values_and_gradients_are_those_of_steps_written_out(scheme, kind):
    flow, u = build_with_constant(scheme, kind)
    assert flow.reversible
    expected = by_hand(flow, u, scheme)
    reference = gradients(flow, u, expected)
    assert all(gradient.abs().max() > 0 for gradient in reference)
    for memory in ("reversible", "stored", "checkpoint", 400):  # 400: a budget in bytes
        flow.memory = memory
        out = flow(u)
        torch.testing.assert_close(out, expected, rtol=1e-13, atol=1e-13)
        actual = gradients(flow, u, out)
        torch.testing.assert_close(actual, reference, rtol=1e-11, atol=1e-11)
    if kind not in ("given", "learned"):  # two of the kinds are compiled, to save time
        return
    flow.memory = "reversible"
    flow.compile(backend="eager")
    actual = gradients(flow, u, flow(u))
    torch.testing.assert_close(actual, reference, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("h", STEP_SIZES)
def test_verlet_with_different_step_sizes_is_the_steps_written_out(h):
    flow, u = build_flow(PAIR_SPEC % "h = [0.1]", h=STEP_SIZES[h])
    K1, K2 = flow.K1, flow.K2
    Y, Z = u.chunk(2, dim=1)
    for step, size in enumerate(step_values(flow, "h")):
        Y = Y + size * torch.tanh(Z @ K1[step].T) @ K1[step]
        Z = Z - size * torch.tanh(Y @ K2[step].T) @ K2[step]
    expected = torch.cat((Y, Z), dim=1)
    reference = gradients(flow, u, expected)
    out = flow(u)
    torch.testing.assert_close(out, expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(gradients(flow, u, out), reference, rtol=1e-11, atol=1e-11)
    # Squared differences of the weights of neighbouring steps, by the size of the first of the two.
    smoothness = sum(((K[1:] - K[:-1]).square().flatten(1).sum(1) / torch.stack(
        [torch.as_tensor(size) for size in step_values(flow, "h")][:-1])).sum() for K in (K1, K2))  # fmt: skip
    torch.testing.assert_close(flow.smoothness(), smoothness)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_steps_are_undone(scheme, kind):
    flow, u = build_with_constant(scheme, kind)
    start = flow.initial(u.detach())
    with torch.no_grad():
        end = flow.evolve(start)
        for initial_state in (flow.inverse(end), retreat_all_steps(flow, end)):
            torch.testing.assert_close(initial_state, start, rtol=1e-11, atol=1e-11)


def retreat_all_steps(flow, state):
    for step in reversed(range(flow.steps)):
        state = flow.retreat(state, step)
    return state


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(0.05, 3).map(lambda a: round(a, 3)), min_size=1, max_size=40),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_exact_arithmetic_undoes_steps_with_any_list_of_constants_bit_for_bit(constants, dtype):
    flow, u = build_flow(SCHEMES["momentum"][0], len(constants), gamma=constants)
    flow = flow.to(dtype)
    start = flow.encode(u.detach().to(dtype))
    assert flow.inverse_exactly(flow.evolve_exactly(start)).equal(start)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_exact_arithmetic_takes_the_constants_of_each_step(scheme, kind):
    flow, u = build_with_constant(scheme, kind)
    reference = gradients(flow, u, by_hand(flow, u, scheme))
    flow.exact = True
    actual = gradients(flow, u, flow(u))  # γ becomes a fraction, as precise as a float32
    torch.testing.assert_close(actual, reference, rtol=1e-5, atol=1e-5)
    start = flow.encode(u.detach())
    assert flow.inverse_exactly(flow.evolve_exactly(start)).equal(start)


def test_remainders_of_different_constants_share_their_words():
    flow, u = build_flow(SCHEMES["momentum"][0], steps=200, gamma=Uniform(0.5, 0.9, seed=3))
    end = flow.evolve_exactly(flow.encode(u.detach()))
    (remainders,) = end._remainders.values()
    # A step that multiplies by γ < 1 loses -log2(γ) bits, which the remainders keep.
    bits = -sum(torch.log2(torch.tensor(value)) for value in step_values(flow, "gamma"))
    # A word has 62 bits; a new one begins when the next fraction could overflow it, here when 45
    # bits or more are used.
    assert len(remainders.words) <= 2 + bits / 45


def test_drawn_constants_are_part_of_the_state_dict():
    flow, u = build_with_constant("momentum", "drawn")
    loaded, _ = build_flow(SCHEMES["momentum"][0], gamma=Uniform(0.5, 1.5, seed=2))
    assert flow.gamma.numbers != loaded.gamma.numbers
    assert all(0.5 <= number <= 1.5 for number in flow.gamma.numbers)
    file = io.BytesIO()
    torch.save(flow.state_dict(), file)
    file.seek(0)
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert loaded.gamma.numbers == flow.gamma.numbers
    assert torch.equal(loaded(u), flow(u))
    assert flow.half().gamma.numbers == loaded.gamma.numbers  # numbers are not rounded with weights
    with pytest.raises(ValueError, match=r"4 values were drawn .* this one has 5 steps"):
        Uniform(0, 1).build("γ", 5).set_extra_state(flow.gamma.get_extra_state())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_the_start_of_a_ramp_a_flow_is_a_residual_network_to_the_last_bit(dtype):
    flow, u = build_flow(RAMPED)
    residual, _ = build_flow(SPEC % "euler(h = 1)")
    flow, residual, u = flow.to(dtype), residual.to(dtype), u.detach().to(dtype)
    weights = {name: w for name, w in flow.state_dict().items() if "gamma" not in name}
    residual.load_state_dict(weights)
    assert flow.memory == "reversible"
    with pytest.raises(
        NotImplementedError, match="has no inverse now: step 0: momentum has an inverse"
    ):
        flow.inverse(flow.evolve(flow.initial(u)))
    results = []
    for network in (flow, residual):
        out = network(u)
        out.square().sum().backward()
        results.append((out, network.K.grad, network.b.grad))
    assert all(map(torch.equal, *results))


def test_a_ramp_moves_to_its_end_stays_there_and_is_saved():
    flow, u = build_flow(RAMPED)
    for fraction, value in ((0, 0), (0.5, 0.45), (1, 0.9), (7, 0.9)):  # 7: long after its end
        flow.gamma.move_to(fraction)
        assert flow.gamma[2] == value
    flow.gamma.move_to(0.3)
    loaded, _ = build_flow(RAMPED)
    loaded.load_state_dict(flow.state_dict())
    assert torch.equal(loaded(u), flow(u))
    assert copy.deepcopy(flow).gamma[0] == flow.gamma[0]


TIMED = """
state  Y
param  K : dense
Y' = tanh(K Y) - t Y
discretise midpoint(h = ramp(0.1, 0.5, steps = 10))
"""


@pytest.mark.parametrize("memory", ["reversible", "checkpoint", 10_000])  # a budget in bytes
@pytest.mark.parametrize(("text", "name"), [(RAMPED, "gamma"), (TIMED, "h")])
def test_a_ramp_that_moves_does_not_change_the_gradients_of_earlier_calls(text, name, memory):
    flow, u = build_flow(text)
    moving = getattr(flow, name)
    moving.move_to(0.5)
    expected = torch.autograd.grad(flow(u).square().sum(), (u, flow.K))
    flow.memory = memory
    loss = flow(u).square().sum()
    moving.move_to(0.7)
    torch.testing.assert_close(torch.autograd.grad(loss, (u, flow.K)), expected)
    assert not torch.equal(flow(u).square().sum(), loss)


def test_steps_are_stored_while_they_cannot_be_rebuilt_with_the_value_of_a_ramp():
    flow, u = build_flow(RAMPED, steps=30)
    flow.float()
    u = u.detach().float()
    # The inverse divides by γ, up to 30 times: near 0 this would leave nothing of a float32.
    for fraction in (0.0, 0.001, 0.01, 0.5, 1.0):
        flow.gamma.move_to(fraction)
        gradients = []
        for memory in ("stored", "reversible"):
            flow.memory = memory
            flow.zero_grad()
            flow(u).square().sum().backward()
            gradients.append(flow.K.grad.clone())
        torch.testing.assert_close(
            *gradients, rtol=1e-2, atol=1e-2 * gradients[0].abs().max().item()
        )
    assert flow.drift is not None  # in the end states were rebuilt


@pytest.mark.parametrize(
    "learned", [Learned(0.9, low=0), Learned(-2, high=-1), Learned(0.3, low=0.2, high=0.4)]
)
def test_learned_constants_stay_within_their_bounds_however_large_raw_is(learned):
    for dtype in (torch.float16, torch.float32, torch.float64):
        constant = LearnedConstant(learned, "a", 3)
        torch.testing.assert_close(constant.values(), torch.full((3,), float(learned.value)))
        assert not constant.steps_at_bounds()
        constant = constant.to(dtype)
        for raw_value in (-1e4, 1e4):
            torch.nn.init.constant_(constant.raw, raw_value)
            assert all(learned.low < value < learned.high for value in constant.values().tolist())
            # With an upper bound alone, a larger raw value is a smaller constant.
            is_reversed = math.isinf(learned.low)
            bound = learned.low if (raw_value < 0) != is_reversed else learned.high
            steps_at_bound = range(3) if math.isfinite(bound) else ()
            assert constant.steps_at_bounds() == [(step, bound) for step in steps_at_bound]


@pytest.mark.parametrize("kind", ["given", "drawn", "ramp"])
def test_a_refined_flow_halves_each_step_with_its_constants(kind):
    flow, _ = build_with_constant("two_step", kind)
    finer = flow.refine()
    assert finer.steps == 2 * STEPS
    assert step_values(finer, "h") == [h / 2 for h in step_values(flow, "h") for _ in range(2)]
    assert step_values(finer, "a") == [a for a in step_values(flow, "a") for _ in range(2)]


def test_a_refined_flow_copies_what_is_learned_and_learned_step_sizes_are_refused():
    flow, u = build_flow(SPEC % "two_step(a = learned(0.9), h = 0.1)")
    assert flow.a.options.low == 0  # steps with a = 0 have no inverse
    torch.nn.init.normal_(flow.a.raw)
    finer = flow.refine()
    assert torch.equal(finer.a.values(), flow.a.values().repeat_interleave(2))
    assert finer.h == 0.05
    finer(u).sum().backward()
    assert finer.a.raw.grad is not None
    with pytest.raises(ValueError, match="step sizes are learned"):
        build_with_constant("coupled", "given")[0].refine()


def test_a_flow_takes_and_checks_constants_of_each_kind_from_python():
    text, _, _ = SCHEMES["momentum"]
    assert build_flow(text, gamma=0.8)[0].gamma == (0.8,) * 4
    assert build_flow(text, gamma=Geometric(0.8, 0.5))[0].gamma == (0.8, 0.4, 0.2, 0.1)
    assert build_flow(text, gamma=Uniform(0, 1, 3))[0].gamma[0] <= 1
    assert build_flow(text, gamma=Ramp(0.5, 1, steps=3))[0].gamma[0] == 0.5
    with pytest.raises(ValueError, match="γ has 3 values, and the flow has 4 steps"):
        build_flow(text, gamma=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="gamma is one number in model"):
        build_flow(SPEC % "momentum(γ = 0.9)", gamma=[0.9] * 4)
    with pytest.raises(ValueError, match="from 1 to 0 is empty"):
        Uniform(1, 0)
    with pytest.raises(ValueError, match="above 0, not -1"):
        Geometric(1, -1)
    with pytest.raises(ValueError, match="cannot begin with 0"):
        Learned(0, low=0)


def test_a_list_from_python_without_an_inverse_stores_its_steps():
    flow, u = build_flow(SCHEMES["momentum"][0], gamma=[0.9, 0.8, 0, 0.7])
    assert not flow.reversible and flow.memory == "stored"
    assert "step 2: momentum has an inverse only where γ ≠ 0" in flow.obstacle
    flow(u).sum().backward()


def test_a_learned_constant_in_an_exponent_has_the_gradient_of_finite_differences():
    text = """state Y
param K : conv(3)
Y' = tanh((K - K^T) Y) - 0.5 Y
discretise lawson(h = 0.1, a = learned(1, shared = yes))
scheme lawson(a = 1) {
    for Y' = F(Y) - γ Y
    start Y[-1] = exp(γ h) (Y[0] - h F(Y[0]))
    Y[n+1] = exp(-2 a γ h) Y[n-1] + 2 a h exp(-γ h) F(Y[n])
}
"""
    torch.manual_seed(0)
    flow, u = odenet.loads(text).flow(3, 4).double(), torch.randn(2, 3, 5, 5).double()
    flow(u).square().sum().backward()
    (raw,) = (p for name, p in flow.named_parameters() if name == "a.raw")
    derivative, delta = raw.grad.sum().item(), 1e-6
    with torch.no_grad():
        raw += delta
        loss_above = flow(u).square().sum().item()
        raw -= 2 * delta
        loss_below = flow(u).square().sum().item()
    assert derivative == pytest.approx((loss_above - loss_below) / (2 * delta), rel=1e-5)
    assert abs(derivative) > 1e-2
