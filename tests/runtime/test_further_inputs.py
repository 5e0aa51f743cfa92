"""Further inputs (the context) and further results of blocks, in every memory mode."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn

from odenet import reversible
from tests.runtime.memory_modes import MODES, assert_same_as_stored, make_blocks, make_input


class ContextBlock(nn.Module):
    """Reads a tensor, containers of tensors and a number besides the state."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x, gate, options=None, scale=1.0):
        y = torch.tanh(self.linear(x)) * gate
        if options is not None:
            y = y + torch.sin(options["pair"][0]) * options["list"][0]
        return scale * y


def test_context_tensors_in_any_container_are_differentiated():
    gate = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    paired = torch.randn(6, dtype=torch.float64, requires_grad=True)
    listed = torch.randn(3, 1, dtype=torch.float64, requires_grad=True)
    flow = reversible(make_blocks(ContextBlock))
    gradients = {}
    for mode in ("stored", *MODES):
        flow.memory = mode
        out = flow(make_input(), gate, options={"pair": (paired, 1), "list": [listed]}, scale=0.7)
        gradients[mode] = torch.autograd.grad(
            out.square().sum(), (gate, paired, listed, *flow.parameters())
        )
    for mode in MODES:
        torch.testing.assert_close(gradients[mode], gradients["stored"], rtol=1e-8, atol=1e-10)


def test_context_changed_before_the_backward_is_noticed():
    gate = torch.ones(3, 6, dtype=torch.float64)
    out = reversible(make_blocks(ContextBlock))(make_input(), gate)
    gate.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_a_tensor_that_a_block_gets_other_than_as_an_input_is_refused():
    class CapturingBlock(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.holder = types.SimpleNamespace(context=None)

        def forward(self, x):
            return self.linear(x) * self.holder.context

    flow = reversible(make_blocks(CapturingBlock))
    context = torch.randn(6, dtype=torch.float64, requires_grad=True)
    for block in flow.f:
        block.holder.context = torch.sin(context)
    with pytest.raises(RuntimeError, match=r"a tensor of shape \(6,\).*flow\(u, tensor\)"):
        flow(make_input()).sum().backward()


class MixtureBlock(nn.Module):
    """Returns a balancing loss besides its value, as mixtures of experts do."""

    def __init__(self):
        super().__init__()
        self.gate, self.linear = nn.Linear(6, 2), nn.Linear(6, 6)

    def forward(self, x):
        share = self.gate(x).softmax(1)
        return torch.tanh(self.linear(x)) * share[:, :1], {"balance": share.mean(0).square().sum()}


def test_further_results_are_summed_over_the_steps_with_gradients():
    flow = reversible(make_blocks(MixtureBlock))
    by_hand = sum(
        block(x)[1]["balance"]
        for block, (x, _) in zip(flow.f, flow.trajectory(make_input()), strict=False)
    )
    flow(make_input())
    torch.testing.assert_close(flow.collected["balance"], by_hand)
    assert_same_as_stored(
        flow,
        make_input(),
        loss=lambda flow, out: out.square().sum() + 3 * flow.collected["balance"],
    )
    assert_same_as_stored(flow, make_input(), loss=lambda flow, out: flow.collected["balance"])


def test_a_warning_names_a_result_that_is_kept_on_the_module():
    class KeepingBlock(MixtureBlock):
        def forward(self, x):
            y, self.auxiliary = super().forward(x)[0], self.gate(x).square().mean()
            return y

    flow = reversible(make_blocks(KeepingBlock))
    with pytest.warns(UserWarning, match="KeepingBlock keeps `auxiliary`"):
        flow(make_input()).sum().backward()


def test_the_inverse_leaves_running_statistics_alone():
    flow = reversible(make_blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6))))
    end = flow.evolve(flow.initial(make_input()))
    before = [b.clone() for b in flow.buffers()]
    with torch.no_grad():
        start = flow.inverse(end)
    torch.testing.assert_close(start[0], make_input())
    assert all(map(torch.equal, before, flow.buffers()))


def test_a_flow_that_is_given_its_context_has_an_inverse_and_a_trajectory():
    gate = torch.randn(3, 6, dtype=torch.float64)
    with_context = reversible(make_blocks(ContextBlock)).given(gate)
    with torch.no_grad():
        states = with_context.trajectory(make_input())
        torch.testing.assert_close(with_context.inverse(states[-1])[0], make_input())


def test_the_inverse_of_steps_with_dropout_is_refused():
    flow = reversible(make_blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5))))
    end = flow.evolve(flow.initial(make_input()))
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"call eval\(\) first"):
        flow.inverse(end)


def test_containers_in_the_context_are_read_as_at_the_call_and_may_not_be_written_to():
    class ContainerReader(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x, numbers):
            return torch.tanh(self.linear(x)) * numbers[0]

    flow, numbers = reversible(make_blocks(ContainerReader)), [2.0]
    (expected,) = torch.autograd.grad(
        flow(make_input(), [2.0]).square().sum(), flow.f[0].linear.weight
    )
    out = flow(make_input(), numbers)
    numbers[0] = 100.0
    (actual,) = torch.autograd.grad(out.square().sum(), flow.f[0].linear.weight)
    torch.testing.assert_close(actual, expected)

    class ContainerWriter(ContainerReader):
        def forward(self, x, container):
            y = torch.tanh(self.linear(x) + container.get("h", 0))
            container["h"] = y
            return y

    with pytest.raises(RuntimeError, match="wrote to a container"):
        reversible(make_blocks(ContainerWriter))(make_input(), {})
