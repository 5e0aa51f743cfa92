"""Further inputs and further results of blocks, in every memory mode."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn

from odenet import reversible
from tests.runtime.modes import MODES, assert_as_stored, blocks, u


class Attending(nn.Module):
    """Reads further inputs in every form."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x, memory, options=None, scale=1.0):
        y = torch.tanh(self.linear(x)) * memory
        if options is not None:
            y = y + torch.sin(options["pair"][0]) * options["list"][0]
        return scale * y


def test_context_in_every_form_is_differentiated():
    memory = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    a = torch.randn(6, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    flow = reversible(blocks(Attending))
    found = {}
    for mode in ("stored", *MODES):
        flow.memory = mode
        out = flow(u(), memory, options={"pair": (a, 1), "list": [b]}, scale=0.7)
        found[mode] = torch.autograd.grad(out.square().sum(), (memory, a, b, *flow.parameters()))
    for mode in MODES:
        for x, y in zip(found[mode], found["stored"], strict=True):
            torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-10)


def test_context_changed_before_the_backward_is_noticed():
    mask = torch.ones(3, 6, dtype=torch.float64)
    out = reversible(blocks(Attending))(u(), mask)
    mask.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_tensor_captured_past_the_inputs_is_refused_by_name():
    class Capturing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.holder = types.SimpleNamespace(context=None)

        def forward(self, x):
            return self.linear(x) * self.holder.context

    flow = reversible(blocks(Capturing))
    context = torch.randn(6, dtype=torch.float64, requires_grad=True)
    for block in flow.f:
        block.holder.context = torch.sin(context)
    with pytest.raises(RuntimeError, match=r"a tensor of shape \(6,\).*flow\(u, tensor\)"):
        flow(u()).sum().backward()


class Mixture(nn.Module):
    """Gives a balancing loss besides its value."""

    def __init__(self):
        super().__init__()
        self.gate, self.linear = nn.Linear(6, 2), nn.Linear(6, 6)

    def forward(self, x):
        share = self.gate(x).softmax(1)
        return torch.tanh(self.linear(x)) * share[:, :1], {"balance": share.mean(0).square().sum()}


def test_further_results_are_summed_over_the_steps_with_gradients():
    flow = reversible(blocks(Mixture))
    by_hand = sum(
        block(x)[1]["balance"] for block, (x, _) in zip(flow.f, flow.trajectory(u()), strict=False)
    )
    flow(u())
    torch.testing.assert_close(flow.collected["balance"], by_hand)
    assert_as_stored(
        flow, u(), loss=lambda flow, out: out.square().sum() + 3 * flow.collected["balance"]
    )
    assert_as_stored(flow, u(), loss=lambda flow, out: flow.collected["balance"])


def test_a_result_that_is_kept_on_the_module_is_warned_of_by_name():
    class Keeping(Mixture):
        def forward(self, x):
            y, self.auxiliary = super().forward(x)[0], self.gate(x).square().mean()
            return y

    flow = reversible(blocks(Keeping))
    with pytest.warns(UserWarning, match="Keeping keeps `auxiliary`"):
        flow(u()).sum().backward()


def test_inverse_with_context_on_copies_of_the_modules():
    flow = reversible(blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))))
    end = flow.evolve(flow.initial(u()))
    before = [b.clone() for b in flow.buffers()]
    with torch.no_grad():
        start = flow.inverse(end)
    torch.testing.assert_close(start[0], u())
    assert all(map(torch.equal, before, flow.buffers()))


def test_inverse_and_trajectory_with_further_inputs():
    memory = torch.randn(3, 6, dtype=torch.float64)
    given = reversible(blocks(Attending)).given(memory)
    with torch.no_grad():
        states = given.trajectory(u())
        torch.testing.assert_close(given.inverse(states[-1])[0], u())


def test_inverse_of_steps_that_draw_is_refused():
    flow = reversible(blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5))))
    end = flow.evolve(flow.initial(u()))
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"call eval\(\) first"):
        flow.inverse(end)


def test_containers_of_the_context_are_those_of_the_call_and_not_written_to():
    class Listing(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x, numbers):
            return torch.tanh(self.linear(x)) * numbers[0]

    flow, numbers = reversible(blocks(Listing)), [2.0]
    (expected,) = torch.autograd.grad(flow(u(), [2.0]).square().sum(), flow.f[0].linear.weight)
    out = flow(u(), numbers)
    numbers[0] = 100.0
    (found,) = torch.autograd.grad(out.square().sum(), flow.f[0].linear.weight)
    torch.testing.assert_close(found, expected)

    class Passing(Listing):
        def forward(self, x, side):
            y = torch.tanh(self.linear(x) + side.get("h", 0))
            side["h"] = y
            return y

    with pytest.raises(RuntimeError, match="wrote to a container"):
        reversible(blocks(Passing))(u(), {})
