"""Memory modes: equal gradients, how many bytes a forward pass saves, and which modes are refused."""

from __future__ import annotations

from contextlib import nullcontext
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from odenet import reversible
from odenet.testing import assert_gradients
from tests.runtime.handwritten import FLOWS, EulerFlow, HamiltonianFlow, MomentumFlow, build

# The numbers are budgets in bytes: for no step, for some of the steps of most flows, for all.
ALL_MODES = ("stored", "checkpoint", 0, 20_000, 10**9)


def saved_bytes(flow, u):
    """The bytes that autograd saves in a forward pass, without the input and the weights."""
    excluded = {tensor.data_ptr() for tensor in (u, *flow.parameters())}
    sizes = {}

    def pack(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = flow(u)
    assert out.requires_grad
    return sum(size for pointer, size in sizes.items() if pointer not in excluded)


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("mode", ALL_MODES)
def test_every_memory_mode_gives_the_same_gradients(name, mode):
    flow, u = build(name, steps=8)
    flow.memory = mode
    assert_gradients(flow, u, tolerance=1e-10)


def test_a_budget_is_filled_with_stored_steps_and_not_exceeded():
    flow, u = build("hamiltonian", steps=20)
    flow.memory = "stored"
    largest = saved_bytes(flow, u)
    one_step = largest / 20
    flow.memory = 0
    smallest = saved_bytes(flow, u)
    for share in (0.25, 0.5, 0.75):
        flow.memory = round(share * largest)
        saved = saved_bytes(flow, u)
        assert saved <= flow.memory + smallest
        assert saved >= flow.memory - one_step
    flow.memory = 2 * largest
    # Where there are hooks on saved tensors, as here, the first step is reversed in every call.
    assert largest - one_step <= saved_bytes(flow, u) <= largest + smallest


class RecordingBlock(nn.Module):
    """Lists its evaluations on the class, True for each, so that those of copies count as well."""

    evaluations: ClassVar[list[bool]] = []

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        self.evaluations.append(True)
        return torch.tanh(self.linear(x))


# Evaluations in the backward passes of two calls. 600 bytes are enough to store two of the five
# steps. The first call always rebuilds its first step, to measure what a step would store.
@pytest.mark.parametrize(("budget", "reevaluations"), [(0, [5, 5]), (600, [3, 3]), (10**9, [1, 0])])
def test_a_budget_is_planned_without_evaluations_of_its_own(budget, reevaluations):
    flow = reversible([RecordingBlock() for _ in range(5)])
    flow.memory = budget
    for count in reevaluations:
        RecordingBlock.evaluations.clear()
        out = flow(torch.randn(8, 4))
        assert len(RecordingBlock.evaluations) == 5
        out.sum().backward()
        assert len(RecordingBlock.evaluations) == 5 + count


def test_weights_changed_in_place_are_noticed_in_a_budget():
    flow, u = build("hamiltonian", steps=3)
    flow.memory = 10**9
    flow(u)
    out = flow(u)
    with torch.no_grad():
        flow.K1.mul_(2)
    with pytest.raises(RuntimeError, match=r"modified inplace|modified by an inplace"):
        out.sum().backward()


def test_a_budget_is_planned_alike_under_hooks_that_move_saved_tensors():
    step_bytes, gradients = [], []
    for hooks in (nullcontext, torch.autograd.graph.save_on_cpu):
        flow, u = build("momentum", steps=4)
        flow.memory = 10_000
        with hooks():
            out = flow(u)
        gradients += torch.autograd.grad(out.square().sum(), flow.f[0][0].weight)
        step_bytes.append({*flow.step_bytes.values()})
    assert step_bytes[0] == step_bytes[1]
    assert torch.equal(*gradients)


def test_with_stored_steps_a_stack_is_unbound_once_and_not_indexed_in_each_step():
    flow, u = build("hamiltonian", steps=50)
    flow.memory = "stored"
    visited = []
    node = flow(u).sum().grad_fn
    pending = [node]
    while pending:
        node = pending.pop()
        if node is not None and node not in visited:
            visited.append(node)
            pending += [next_node for next_node, _ in node.next_functions]
    names = [type(node).__name__ for node in visited]
    assert names.count("UnbindBackward0") == 4  # K1, b1, K2 and b2
    assert names.count("SelectBackward0") == 0
    assert isinstance(flow.K1, torch.nn.Parameter)


@pytest.mark.parametrize("mode", ["stored", "checkpoint"])
def test_a_scheme_without_an_inverse_trains_with_stored_activations(mode):
    torch.manual_seed(0)
    flow = EulerFlow(3, 5).double()
    assert flow.memory == "stored"
    flow.memory = mode
    assert_gradients(flow, torch.randn(2, 3, 4, 4, dtype=torch.float64), tolerance=1e-12)


@pytest.mark.parametrize("mode", ["reversible", 1000])
def test_a_scheme_without_an_inverse_says_why_it_cannot_be_reversed(mode):
    flow = EulerFlow(3, 5)
    with pytest.raises(ValueError, match=r"EulerFlow cannot be reversed: Y\[n\] appears inside F"):
        flow.memory = mode
    with pytest.raises(NotImplementedError, match="cannot be reversed"):
        flow.retreat((torch.zeros(1, 3, 4, 4),))


def test_a_flow_may_have_no_inverse_for_one_value_of_a_constant():
    class Frictionless(MomentumFlow):
        def __init__(self, channels, steps, *, gamma):
            super().__init__(channels, steps, gamma=gamma)
            if self.gamma == 0:
                self.give_up_reversing("momentum has no inverse where γ = 0")

    flow = Frictionless(3, 4, gamma=0.0)
    assert flow.memory == "stored"
    flow(torch.randn(2, 3, 4, 4)).sum().backward()
    with pytest.raises(ValueError, match="no inverse where γ = 0"):
        flow.memory = "reversible"


@pytest.mark.parametrize("mode", ["none", True, -1, 1.5, None])
def test_the_error_for_an_unknown_memory_mode_lists_the_known_ones(mode):
    flow = HamiltonianFlow(2, 1)
    with pytest.raises(ValueError, match='memory is "reversible", "stored", "checkpoint" or'):
        flow.memory = mode
