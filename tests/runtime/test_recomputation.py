"""Gradients of reversible flows, which rebuild their states, against plain autograd."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from odenet.testing import assert_gradients, assert_invertible
from tests.runtime.handwritten import FLOWS, HamiltonianFlow, MidpointFlow, MomentumFlow, build


@pytest.mark.parametrize("name", FLOWS)
def test_gradients_without_stored_activations_are_those_of_plain_autograd(name):
    flow, u = build(name, steps=10)
    assert flow.memory == "reversible"
    assert_gradients(flow, u, tolerance=1e-10)


@pytest.mark.parametrize("name", FLOWS)
def test_gradients_at_depth_are_as_accurate_as_the_inverse_of_the_scheme(name):
    flow, u = build(name, steps=100)
    # A step of momentum divides by γ on the way back, so that rounding grows as γ^-N. The γ of the
    # midpoint flow is a damping, and 0 here.
    growth = flow.gamma**-100 if hasattr(flow, "gamma") and flow.gamma else 1.0
    assert_gradients(flow, u, tolerance=1e-10 * max(1.0, growth))


@pytest.mark.parametrize("name", FLOWS)
def test_steps_are_undone(name):
    flow, u = build(name, steps=10)
    assert_invertible(flow.eval(), u, tolerance=1e-10)


@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "leapfrog"])
def test_gradients_in_single_precision_are_right_up_to_its_rounding(name):
    flow, u = build(name, steps=100)
    assert_gradients(flow.float(), u.float(), tolerance=1e-3)


@pytest.mark.parametrize("name", FLOWS)
def test_each_rate_is_evaluated_once_forward_and_once_backward(name):
    flow, u = build(name, steps=4)
    calls = []

    def with_counted_rate(term):
        def rate(*inputs):
            calls.append(term)
            return term.rate(*inputs)

        return replace(term, rate=rate)

    shears = tuple(
        replace(shear, terms=tuple(map(with_counted_rate, shear.terms))) for shear in flow.shears()
    )
    flow.shears = lambda: shears
    out = flow(u)
    evaluations = 4 * sum(len(shear.terms) for shear in shears)
    assert len(calls) == evaluations
    out.sum().backward()
    assert len(calls) == 2 * evaluations


def test_saved_memory_does_not_grow_with_depth():
    def saved_bytes(steps: int) -> int:
        flow, u = build("midpoint", steps=steps)
        weight_pointers = {p.data_ptr() for p in flow.parameters()}
        sizes = {}

        def pack(tensor):
            if tensor.data_ptr() not in weight_pointers:
                sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            out = flow(u)
        assert out.requires_grad
        return sum(sizes.values())

    assert saved_bytes(50) == saved_bytes(5) > 0


def test_the_input_need_not_require_a_gradient():
    flow, u = build("hamiltonian")
    flow(u).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in flow.parameters())


def test_frozen_weights_get_no_gradient_and_the_input_still_does():
    flow, u = build("momentum")
    flow.f[3].requires_grad_(False)
    v = u.clone().requires_grad_()
    flow(v).square().sum().backward()
    assert v.grad is not None
    for step, module in enumerate(flow.f):
        assert all((p.grad is None) == (step == 3) for p in module.parameters())
    assert_gradients(flow.requires_grad_(False), u, tolerance=1e-10)


def test_slots_of_the_last_state_that_nothing_reads_have_zero_gradients():
    flow, u = build("midpoint")
    u.requires_grad_()
    gradients = {}
    for mode in ("reversible", "stored"):
        flow.memory = mode
        end = flow.evolve(flow.initial(u))
        gradients[mode] = torch.autograd.grad(end.Y_prev.sum(), (u, flow.K))
    torch.testing.assert_close(gradients["reversible"], gradients["stored"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_a_retained_graph_gives_the_same_gradients_again(name):
    flow, u = build(name)
    u.requires_grad_()
    loss = flow(u).square().sum()
    loss.backward(retain_graph=True)
    first = {key: p.grad.clone() for key, p in flow.named_parameters() if p.grad is not None}
    flow.zero_grad()
    loss.backward()
    assert len(first) > 1
    assert all(torch.equal(flow.get_parameter(key).grad, first[key]) for key in first)


def test_gradients_accumulate_and_can_be_asked_for_one_by_one():
    flow, u = build("hamiltonian")
    (expected,) = torch.autograd.grad(flow(u).sum(), flow.K2)
    for _ in range(2):
        flow(u).sum().backward()
    torch.testing.assert_close(flow.K2.grad, 2 * expected)


@pytest.mark.parametrize("name", ["hamiltonian", "momentum"])
def test_every_hook_of_a_parameter_runs_once(name):
    flow, u = build(name)
    calls = Counter()
    for key, parameter in flow.named_parameters():
        parameter.register_hook(lambda gradient, key=key: calls.update([key]))
        parameter.register_post_accumulate_grad_hook(
            lambda parameter, key=key: calls.update([f"{key} accumulated"])
        )
    flow(u).sum().backward()
    assert len(calls) == 2 * len(list(flow.parameters()))
    assert set(calls.values()) == {1}


@pytest.mark.parametrize("name", FLOWS)
def test_no_tensor_of_the_caller_is_changed(name):
    flow, u = build(name)
    state = flow.initial(u.requires_grad_())
    before = [tensor.detach().clone() for tensor in state]
    end = flow.evolve(state)
    after = [tensor.detach().clone() for tensor in end]
    gradients = [torch.ones_like(tensor) for tensor in end]
    torch.autograd.backward(end, gradients)
    assert all(map(torch.equal, before, state))
    assert all(map(torch.equal, after, end))
    assert all(bool((gradient == 1).all()) for gradient in gradients)


def test_weights_changed_before_the_backward_are_noticed():
    flow, u = build("hamiltonian")
    loss = flow(u).sum()
    with torch.no_grad():
        flow.K1.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_second_derivatives_are_refused_with_a_remedy():
    flow, u = build("midpoint", steps=3)
    u.requires_grad_()
    message = r'cannot be differentiated twice; set flow\.memory = "stored"'
    with pytest.raises(RuntimeError, match=message):
        torch.autograd.grad(flow(u).sum(), u, create_graph=True)
    flow.memory = "stored"
    assert torch.autograd.gradgradcheck(flow, u[:1, :, :2, :2].detach().requires_grad_())


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")  # torch's own
def test_torch_func_is_refused_with_a_remedy():
    flow, u = build("midpoint", steps=3)
    weights = dict(flow.named_parameters())

    def loss(weights, u):
        return torch.func.functional_call(flow, weights, u).square().sum()

    def attempts():
        yield lambda: torch.func.grad(loss)(weights, u)
        yield lambda: torch.func.vmap(loss, (None, 0))(weights, u.unsqueeze(1))
        yield lambda: torch.func.jvp(lambda u: loss(weights, u), (u,), (u,))

    for attempt in attempts():
        with pytest.raises(RuntimeError, match=r'set flow\.memory = "stored"'):
            attempt()
    flow.memory = "stored"
    for attempt in attempts():
        attempt()


def test_an_identity_as_right_hand_side_has_the_gradients_of_plain_autograd():
    class Rotation(HamiltonianFlow):
        """Its rates return tensors that autograd may hand on as gradients without a copy."""

        def rate_Y(self, Z, K1, b1):
            return Z

        def rate_Z(self, Y, K2, b2):
            return -Y + b2

    flow = Rotation(4, 6, h=0.3).double()
    assert_gradients(flow, torch.randn(2, 4, 3, 3, dtype=torch.float64), tolerance=1e-12)


def test_a_right_hand_side_may_be_smaller_than_the_state():
    class Drive(HamiltonianFlow):
        def rate_Y(self, Z, K1, b1):
            return b1

    flow = Drive(4, 6).double()
    assert_gradients(flow, torch.randn(2, 4, 3, 3, dtype=torch.float64), tolerance=1e-12)


def test_anchors_limit_the_drift():
    flow, u = build("momentum with a shared map", steps=150, gamma=0.7)
    flow(u).sum().backward()
    assert flow.drift > 1e-3  # rounding errors, divided by 0.7 in each step that is undone
    flow.anchors = 10  # the true state is kept every 10 steps
    # The warning is about the drift of the pass before.
    with pytest.warns(UserWarning, match="relative error of .* flow.exact = True"):
        assert_gradients(flow, u, tolerance=1e-10)
    flow(u).sum().backward()
    assert flow.drift < 1e-11


def test_drift_is_the_relative_error_of_the_rebuilt_state():
    flow, u = build("leapfrog", steps=50)
    assert flow.drift is None
    flow.float()(u.float()).sum().backward()
    assert 0 < flow.drift < 1e-4


@pytest.mark.parametrize("flow_class", [HamiltonianFlow, MidpointFlow, MomentumFlow])
def test_without_gradients_a_flow_is_plain_tensor_code(flow_class, monkeypatch):
    monkeypatch.delattr(flow_class, "shears")  # what passes with gradients run
    flow = flow_class(4, 3)
    u = torch.randn(2, 4, 5, 5)
    with torch.no_grad():
        assert flow(u).shape == u.shape
    assert flow.requires_grad_(False)(u).shape == u.shape
