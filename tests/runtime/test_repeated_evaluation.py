"""The backward pass repeats each evaluation under the conditions that the forward pass met.

Weights, buffers, caches and hooks may change within the forward pass or after it. The reference is
an ordinary momentum network, differentiated by plain autograd.
"""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.checkpoint import checkpoint

from odenet.runtime.passes.flow_weights import FlowWeights
from tests.runtime.handwritten import build
from tests.runtime.plain_autograd import (
    MODES,
    assert_matches_plain_autograd,
    backward_after_two_passes,
    build_network,
    make_input,
)


class RequiresGradReader(nn.Module):
    """Its result depends on which of its tensors need a gradient."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x, context):
        factor = self.linear.weight.requires_grad + 2 * context.requires_grad
        return torch.tanh(self.linear(x)) * (1 + factor) * context


def frozen_after_forward(network, x):
    y = network(x, torch.ones(6))
    network.requires_grad_(False)
    return torch.autograd.grad(y.square().sum(), x)


def frozen_until_backward(network, x):
    network.requires_grad_(False)
    context = torch.ones(6)
    y = network(x, context)
    for tensor in (context, *network.parameters()):
        tensor.requires_grad_()
    y.square().sum().backward()


def values_replaced_after_forward(network, x):
    y = network(x, torch.ones(6))
    for parameter in network.parameters():
        parameter.data = 3 * parameter.data
    y.square().sum().backward()


def converted_after_forward(network, x):
    y = network(x, torch.ones(6))
    network.float()
    y.square().sum().backward()
    network.double()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "use",
    [
        frozen_after_forward,
        frozen_until_backward,
        values_replaced_after_forward,
        converted_after_forward,
    ],
)
def test_the_backward_pass_sees_weights_as_the_forward_pass_did(use, mode):
    assert_matches_plain_autograd(RequiresGradReader, use, mode)


def test_slices_of_a_stack_keep_requires_grad_where_no_gradient_is_wanted():
    flow, _ = build("hamiltonian", steps=3)
    weights = FlowWeights(flow, flow.learned_names())
    all_required, none_wanted = ([flag] * len(weights.tensors) for flag in (True, False))
    with torch.no_grad():
        slices = weights.detached(
            weights.names,
            step=1,
            tensors=weights.tensors,
            required=all_required,
            wanted=none_wanted,
            replicas=iter(()),
        )
    assert slices.undifferentiated and not slices.leaves
    assert all(value.requires_grad for value in slices.values)


class SubclassOfBatchNorm(nn.BatchNorm1d):
    """Subtracts its running mean, which torch's batch norm does not read in training mode."""

    def __init__(self):
        super().__init__(6)
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = torch.tanh(self.linear(x)) - self.running_mean
        with torch.no_grad():
            self.running_mean.mul_(0.5).add_(x.mean(0))
        return y


class StatisticsReader(nn.Module):
    """Reads the running statistics of its norm."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return torch.tanh(self.norm(x) + self.norm.running_var)


class UnversionedBufferChange(nn.Module):
    """Changes a buffer through `.data`, which autograd's version counter does not show."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        # Tensors of at most 4096 entries are always copied; this one only if it changes.
        self.register_buffer("scales", torch.ones(5000))

    def forward(self, x):
        y = torch.tanh(self.linear(x) + self.scales[0])
        if self.training:
            self.scales.data.mul_(1.5)
        return y


def evaluated_in_eval_mode_first(network, x):
    """A pass in evaluation mode, which leaves buffers alone, comes before those in training mode."""
    network.eval()
    network(x).sum().backward()
    network.train()
    backward_after_two_passes(network, x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("use", [backward_after_two_passes, evaluated_in_eval_mode_first])
@pytest.mark.parametrize(
    "make_block", [SubclassOfBatchNorm, StatisticsReader, UnversionedBufferChange]
)
def test_a_repeated_evaluation_sees_buffers_as_the_first_did(make_block, use, mode):
    assert_matches_plain_autograd(make_block, use, mode)


def test_a_budget_is_planned_without_an_evaluation_of_a_checkpointed_block():
    calls = []

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def recorded_evaluation(self, x):
            calls.append(self)
            return torch.tanh(self.linear(x)).exp()

        def forward(self, x):
            return checkpoint(self.recorded_evaluation, x, use_reentrant=False)

    network, x = build_network(500, Checkpointed), make_input()
    loss = network(x).sum()
    assert len(calls) == 4  # one for each step, none for the plan
    loss.backward()
    assert_matches_plain_autograd(Checkpointed, backward_after_two_passes, 500)
    (step_bytes,) = network.step_bytes.values()
    assert step_bytes == x.nbytes  # a checkpointed block saves only its input


def make_normed_block():
    return nn.Sequential(weight_norm(nn.Linear(6, 6)), nn.Tanh())


def with_cached_weights(network, x):
    with parametrize.cached():
        backward_after_two_passes(network, x)
    assert not parametrize._cache_enabled


@pytest.mark.parametrize("mode", MODES)
def test_cached_parametrized_weights_get_their_gradients(mode):
    assert_matches_plain_autograd(make_normed_block, with_cached_weights, mode)


def with_backward_hooks(network, x):
    def record_gradient(module, *gradients):
        """Gets the gradients of the inputs, unless it is a pre-hook, and those of the outputs."""
        module.output_gradient = gradients[-1][0].clone()
        return (2 * gradients[0][0],)

    modules = [module for block in network.f for module in (block, block[0])]  # [0]: the linear
    for module in modules[::2]:
        module.register_full_backward_hook(record_gradient)
    for module in modules[1::2]:
        module.register_full_backward_pre_hook(record_gradient)
    backward_after_two_passes(network, x)
    return [module.output_gradient for module in modules]


@pytest.mark.parametrize("mode", MODES)
def test_backward_hooks_on_blocks_write_to_the_blocks_they_were_put_on(mode):
    assert_matches_plain_autograd(make_normed_block, with_backward_hooks, mode)


def backwards_in_threads(network, x):
    torch.manual_seed(7)
    losses = [network(factor * x.detach()).square().sum() for factor in range(1, 5)]
    threads = [threading.Thread(target=loss.backward) for loss in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (torch.rand(3),)  # the stream continues where the forward passes left it


@pytest.mark.parametrize("mode", MODES)
def test_dropout_is_repeated_when_backward_passes_run_in_several_threads(mode):
    def make_block():
        return nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.4), nn.Tanh())

    assert_matches_plain_autograd(make_block, backwards_in_threads, mode, steps=8)
