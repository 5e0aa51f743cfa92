"""Exact arithmetic: steps in fixed point that are undone bit for bit, and the range it refuses.

A scale is the factor that a shear gives its target, such as γ of momentum. It is a fraction p/q
here, and the remainders of the division by q are digits that are packed into words of 62 bits.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from odenet.conversion import reversible
from odenet.runtime.passes.fixed_point import FixedPointRegisters, _close_fraction
from odenet.runtime.passes.remainders import Remainders
from odenet.testing import assert_exact, assert_gradients
from tests.runtime.handwritten import FLOWS, HamiltonianFlow, MomentumFlow, build

DETERMINISTIC_FLOWS = [name for name in FLOWS if "dropout" not in name]


@pytest.mark.parametrize("name", DETERMINISTIC_FLOWS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_scheme_is_undone_bit_for_bit_whatever_the_precision_of_its_rates(name, dtype):
    flow, u = build(name, steps=20)
    assert_exact(flow.to(dtype).eval(), u.to(dtype))


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.123456789, -0.75, 1.25])
def test_any_scale_is_undone_bit_for_bit(gamma):
    flow, u = build("momentum with a shared map", steps=60, gamma=gamma)
    assert_exact(flow.float(), u.float())


@pytest.mark.parametrize("name", ["hamiltonian", "leapfrog", "exogenous input"])
def test_a_thousand_steps_are_undone_bit_for_bit(name):
    options = {"gamma": 0.5} if name == "exogenous input" else {"h": 0.1}
    flow, u = build(name, steps=1000, **options)
    start = flow.float().encode(u.float())
    end = flow.evolve_exactly(start)
    assert flow.inverse_exactly(end).equal(start)
    assert not end.equal(start)


def test_the_remainders_of_halving_take_one_bit_per_value_and_step():
    flow, u = build("exogenous input", steps=1000, gamma=0.5)
    end = flow.evolve_exactly(flow.encode(u))
    (remainders,) = end._remainders.values()
    # A word has 62 bits, and is left when the next digit could overflow it.
    assert 1000 / 62 <= len(remainders.words) <= 1000 / 58


@pytest.mark.parametrize("name", FLOWS)
def test_gradients_are_those_of_floating_point(name):
    flow, u = build(name, steps=10)
    flow.exact = True
    assert_gradients(flow, u, tolerance=1e-7)


@pytest.mark.parametrize("name", ["hamiltonian", "leapfrog", "exogenous input"])
def test_the_backward_pass_rebuilds_exactly_the_states_of_the_forward_pass(name):
    flow, u = build(name, steps=200)
    flow.float().exact = True
    loss = flow(u.float()).square().sum()
    for _ in range(2):
        flow.note_drift(torch.tensor(1.0))  # to be replaced by that of the backward pass
        loss.backward(retain_graph=True)
        assert flow.drift == 0


def test_momentum_has_right_gradients_at_a_depth_where_floating_point_has_not():
    flow, u = build("momentum with a shared map", steps=200, gamma=0.5)
    with pytest.warns(UserWarning, match="relative error"), pytest.raises(AssertionError):
        assert_gradients(flow, u, tolerance=0.1)
    flow.exact = True
    assert_gradients(flow, u, tolerance=1e-7)


def test_under_autocast_the_rebuilt_states_are_still_exact():
    torch.manual_seed(0)
    flow = HamiltonianFlow(4, 50)
    flow.exact = True
    with torch.autocast("cpu", torch.bfloat16):
        out = flow(torch.randn(2, 4, 5, 5))
    out.sum().backward()
    assert flow.drift == 0


@pytest.mark.parametrize("needs_gradients", [True, False])
def test_a_state_that_leaves_the_range_is_reported_with_the_remedy(needs_gradients):
    flow = HamiltonianFlow(4, 60, h=5.0)
    flow.exact = True
    u = torch.randn(2, 4, 5, 5)
    with pytest.raises(OverflowError, match=r"range of exact arithmetic.*take a smaller h"):
        flow(u) if needs_gradients else flow.evolve_exactly(flow.encode(u))


def test_a_rate_that_is_nan_is_reported():
    flow = HamiltonianFlow(4, 3)
    flow.exact = True
    torch.nn.init.constant_(flow.b1, float("nan"))
    with pytest.raises(OverflowError, match="inf or nan"):
        flow(torch.randn(2, 4, 5, 5))


def test_a_state_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="inf or nan"):
        HamiltonianFlow(2, 1).encode(torch.full((1, 2, 3, 3), torch.inf))


def test_the_grid_follows_the_range_of_the_data():
    for size in (1e-6, 1.0, 1e6):
        u = size * torch.randn(4, 4, dtype=torch.float64)
        (decoded,) = FixedPointRegisters(("u",), (u,)).tensors()
        # Of 60 bits, 22 are kept free for the state to grow, and 2 for entries of u up to 4.
        assert (decoded - u).abs().max() <= max(size, 1.0) * 2**-36


def test_a_vanishing_scale_is_refused():
    flow = MomentumFlow(2, 1, gamma=1e-12)
    with pytest.raises(ValueError, match="no fraction for a scale as small as 1e-12"):
        flow.evolve_exactly(flow.encode(torch.randn(2, 2, 3, 3)))


@settings(deadline=None)
@given(st.data())
def test_remainders_are_a_stack_of_digits_whose_bases_may_change(data):
    largest_base = data.draw(st.sampled_from([30, 100_000]))
    bases = st.tuples(st.integers(1, largest_base), st.integers(1, largest_base))
    choices = data.draw(st.lists(bases, min_size=1, max_size=4))
    count = data.draw(st.integers(1, 300))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    ratios = [choices[i % len(choices)] for i in range(count)]
    digits = [torch.randint(q, (5,), generator=generator) for _, q in ratios]
    remainders = Remainders()
    carries = []
    for digit, (p, q) in zip(digits, ratios, strict=True):
        carries.append(remainders.push(digit, p, q))
        assert 0 <= int(carries[-1].min()) and int(carries[-1].max()) < p
        assert all(int(word.min()) >= 0 for word in remainders.words)
    for digit, carry, (p, q) in reversed(list(zip(digits, carries, ratios, strict=True))):
        assert torch.equal(remainders.pop(carry, p, q), digit)
    assert not remainders.words


@pytest.mark.parametrize("non_finite", [float("nan"), float("inf"), -float("inf")])
def test_non_finite_terms_are_noticed_even_if_they_cancel(non_finite):
    for pair in ((non_finite, non_finite), (non_finite, -non_finite)):
        state = FixedPointRegisters(("x", "y"), (torch.ones(2, 3), torch.ones(2, 3)))
        for term in pair:
            state.increase("x", torch.full((2, 3), term), 1.0)
        with pytest.raises(OverflowError, match="inf or nan"):
            state.verify()


def test_sums_that_could_wrap_around_are_noticed():
    state = FixedPointRegisters(("x",), (torch.ones(1, 1),))
    for _ in range(64):  # a state may grow to 2^22 times its first value
        state.increase("x", torch.full((1, 1), 2.0**21), 1.0)
    with pytest.raises(OverflowError):
        state.verify()


@pytest.mark.parametrize("gamma", [0.999, 0.99995, 0.99999, 0.8**0.5, 1 / 3])
def test_a_scale_is_replaced_by_a_fraction_within_single_precision(gamma):
    assert abs(_close_fraction(gamma) - gamma) <= 3e-8 * gamma
    flow, u = build("momentum with a shared map", steps=30, gamma=gamma)
    assert_exact(flow, u)
    start = flow.encode(u)
    actual = flow.evolve_exactly(start).read("x")
    state = flow.initial(u)
    for step in range(30):
        state = flow.advance(state, step)
    torch.testing.assert_close(actual, state.x, rtol=0, atol=1e-5)


def test_a_scale_too_close_to_one_or_zero_for_such_a_fraction_is_refused():
    for scale in (1 - 1e-7, 1 + 1e-7, -1 + 1e-8, 1.2345e-7):
        with pytest.raises(ValueError, match="exact arithmetic"):
            _close_fraction(scale)
    assert _close_fraction(1.0) == 1 and _close_fraction(-1.0) == -1


@settings(deadline=None)
@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_a_word_takes_digits_as_long_as_it_cannot_overflow(p, q):
    remainders, digit = Remainders(), torch.tensor([q - 1])
    largest = 0  # upper bound of the first word, without the limit of 64 bits
    for _ in range(100):
        remainders.push(digit, p, q)
        if len(remainders.words) > 1:
            assert largest * q + q - 1 >= 2**62
            return
        assert largest * q + q - 1 < 2**62
        largest = (largest * q + q - 1) // p
        assert int(remainders.words[0]) <= largest


def test_each_sample_has_a_grid_of_its_own():
    u = torch.randn(4, 3, 5, 5) * torch.tensor([1e-12, 1.0, 1e6, 0.0]).view(4, 1, 1, 1)
    (decoded,) = FixedPointRegisters(("u",), (u,)).tensors()
    largest = u.abs().amax((1, 2, 3)).clamp_min(1e-30)
    error = (decoded - u).abs().amax((1, 2, 3)) / largest
    # the first sample is the least accurate, since no grid is finer than 2^-56
    assert error[0] < 1e-4 and (error[1:3] < 1e-7).all() and error[3] == 0


def test_small_states_are_stepped_accurately_and_rebuilt_exactly():
    flow, u = build("hamiltonian", steps=10)
    flow = flow.float()
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            if name.startswith("b"):
                parameter.zero_()  # makes the flow homogeneous in the state
    flow.exact = True
    for size in (1e-6, 1e-9, 1e-12):
        small = (size * u.float()).requires_grad_()
        out = flow(small)
        large = flow(u.float())
        error = torch.linalg.vector_norm(out / size - large) / torch.linalg.vector_norm(large)
        assert error < (1e-3 if size == 1e-12 else 1e-5)  # the grid is no finer than 2^-56
        out.square().sum().backward()
        assert flow.drift == 0


def test_a_small_state_may_grow_to_the_size_of_its_rates():
    flow, u = build("momentum with a shared map", steps=10)
    assert_exact(flow, 1e-13 * u)


@pytest.mark.parametrize("name", ["hamiltonian", "momentum with a shared map"])
def test_an_empty_batch_goes_through(name):
    flow, u = build(name, steps=3)
    flow.exact = True
    out = flow(u[:0].requires_grad_())
    assert out.shape == u[:0].shape
    out.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in flow.parameters())


def test_modules_with_a_fast_path_for_evaluation_are_rebuilt_exactly():
    torch.manual_seed(0)
    layers = [
        nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True) for _ in range(6)
    ]
    flow = reversible(layers, residual=True, gamma=0.5, exact=True).eval()
    flow(torch.randn(2, 9, 16)).square().sum().backward()
    assert flow.drift == 0
    start = flow.requires_grad_(False).encode(torch.randn(2, 9, 16))
    with torch.no_grad():
        assert flow.inverse_exactly(flow.evolve_exactly(start)).equal(start)


def test_both_passes_ask_cudnn_for_the_same_bits(monkeypatch):
    """Only a GPU can show the bits; what it is asked for can be seen here."""
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "benchmark", True)
    settings_seen = []

    class SettingsRecorder(nn.Linear):
        def forward(self, x):
            settings_seen.append((cudnn.deterministic, cudnn.benchmark))
            return super().forward(x).tanh()

    flow = reversible([SettingsRecorder(4, 4) for _ in range(3)], gamma=0.9, exact=True)
    flow(torch.randn(2, 4)).sum().backward()
    with torch.no_grad():
        flow.eval().inverse_exactly(flow.evolve_exactly(flow.encode(torch.randn(2, 4))))
    # Three blocks, in four passes.
    assert len(settings_seen) == 3 * 4 and set(settings_seen) == {(True, False)}
    assert (cudnn.deterministic, cudnn.benchmark) == (False, True)


@pytest.mark.parametrize("weight", [1e20, -1e25, 2.0**62, float("inf"), float("nan")])
@pytest.mark.parametrize("change", ["mix", "increase"])
def test_weights_too_large_for_64_bit_integers_are_reported_as_out_of_range(weight, change):
    state = FixedPointRegisters(("x", "y"), (torch.ones(2, 3), torch.ones(2, 3)))
    if change == "mix":
        state.mix("x", weight, "y")
    else:
        state.increase("x", torch.ones(2, 3), weight)
    with pytest.raises(OverflowError, match="range of exact arithmetic"):
        state.verify()


@pytest.mark.parametrize("factor", [1e19, -1e30, float("inf"), float("nan")])
def test_a_scale_too_large_for_64_bit_integers_is_refused(factor):
    state = FixedPointRegisters(("x",), (torch.ones(2, 3),))
    with pytest.raises(ValueError, match="cannot multiply by"):
        state.multiply("x", factor)


@pytest.mark.parametrize("factor", [2.0**10, 2.0**26, 1000.5])
def test_a_product_that_would_wrap_around_is_out_of_range(factor):
    state = FixedPointRegisters(("x",), (torch.ones(1, 1),))
    for _ in range(8):
        state.multiply("x", factor)
    with pytest.raises(OverflowError, match="range of exact arithmetic"):
        state.verify()


@pytest.mark.parametrize("weight", [0.5 + 2.0**40, 1e15 + 0.5])
def test_a_fractional_weight_that_is_too_large_is_out_of_range(weight):
    state = FixedPointRegisters(("x", "y"), (torch.ones(1, 1), torch.ones(1, 1)))
    state.mix("x", weight, "y")
    with pytest.raises(OverflowError, match="range of exact arithmetic"):
        state.verify()
