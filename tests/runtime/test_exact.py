from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.runtime.exact import Fixed, Remainders
from odenet.testing import assert_exact, assert_gradients
from tests.runtime.handwritten import FLOWS, HamiltonianFlow, MomentumFlow, build

DETERMINISTIC = [name for name in FLOWS if "dropout" not in name]


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_every_scheme_is_undone_bit_for_bit_whatever_the_precision_of_its_rates(name, dtype):
    flow, u = build(name, steps=20)
    assert_exact(flow.to(dtype).eval(), u.to(dtype))


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.123456789, -0.75, 1.25])
def test_any_scale_is_undone_bit_for_bit(gamma):
    flow, u = build("momentum with a shared map", steps=60, gamma=gamma)
    assert_exact(flow.float(), u.float())


@pytest.mark.parametrize("name", ["hamiltonian", "leapfrog", "exogenous input"])
def test_depth_does_not_matter(name):
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
    assert 1000 / 62 <= len(remainders.words) <= 1000 / 58


@pytest.mark.parametrize("name", FLOWS)
def test_gradients_are_those_of_floating_point(name):
    flow, u = build(name, steps=10)
    flow.exact = True
    assert_gradients(flow, u, tolerance=1e-7)


@pytest.mark.parametrize("name", ["hamiltonian", "leapfrog", "exogenous input"])
def test_the_backward_goes_back_through_the_very_states_of_the_forward(name):
    flow, u = build(name, steps=200)
    flow.float().exact = True
    loss = flow(u.float()).square().sum()
    for _ in range(2):
        flow.note_drift(torch.tensor(1.0))
        loss.backward(retain_graph=True)
        assert flow.drift == 0


def test_momentum_keeps_its_gradients_at_a_depth_where_floating_point_has_lost_them():
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


@pytest.mark.parametrize("backward", [True, False])
def test_a_state_that_leaves_the_range_is_reported_with_the_remedy(backward):
    flow = HamiltonianFlow(4, 60, h=5.0)
    flow.exact = True
    u = torch.randn(2, 4, 5, 5)
    with pytest.raises(OverflowError, match=r"range of exact arithmetic.*take a smaller h"):
        flow(u) if backward else flow.evolve_exactly(flow.encode(u))


def test_a_rate_that_is_not_a_number_is_reported():
    flow = HamiltonianFlow(4, 3)
    flow.exact = True
    torch.nn.init.constant_(flow.b1, float("nan"))
    with pytest.raises(OverflowError, match="inf or nan"):
        flow(torch.randn(2, 4, 5, 5))


def test_a_state_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="inf or nan"):
        HamiltonianFlow(2, 1).encode(torch.full((1, 2, 3, 3), torch.inf))


def test_the_grid_follows_the_range_of_the_data():
    for scale in (1e-6, 1.0, 1e6):
        u = scale * torch.randn(4, 4, dtype=torch.float64)
        (back,) = Fixed(("u",), (u,)).tensors()
        assert (back - u).abs().max() <= max(scale, 1.0) * 2**-36


def test_a_vanishing_scale_is_refused():
    flow = MomentumFlow(2, 1, gamma=1e-12)
    with pytest.raises(ValueError, match="no fraction for a scale as small as 1e-12"):
        flow.evolve_exactly(flow.encode(torch.randn(2, 2, 3, 3)))


@settings(deadline=None)
@given(st.data())
def test_remainders_are_a_stack(data):
    p = data.draw(st.integers(1, 30))
    q = data.draw(st.integers(1, 30))
    count = data.draw(st.integers(1, 300))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    digits = torch.randint(q, (count, 5), generator=generator)
    remainders = Remainders(p, q)
    taken = [remainders.push(digit) for digit in digits]
    assert all(0 <= int(digit.min()) and int(digit.max()) < p for digit in taken)
    back = [remainders.pop(digit) for digit in reversed(taken)]
    assert torch.equal(torch.stack(back[::-1]), digits)
    assert not remainders.words
