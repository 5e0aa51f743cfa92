"""A repetition finds what the forward pass found, whatever happened to it within and since.

The reference is a momentum network that is written out, differentiated by plain autograd.
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
from tests.runtime.plain import MODES, assert_as_plain, network, state, twice


class Asking(nn.Module):
    """Its result depends on which of its tensors need a gradient."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x, context):
        asked = self.linear.weight.requires_grad + 2 * context.requires_grad
        return torch.tanh(self.linear(x)) * (1 + asked) * context


def frozen_since(net, x):
    y = net(x, torch.ones(6))
    net.requires_grad_(False)
    return torch.autograd.grad(y.square().sum(), x)


def frozen_then(net, x):
    net.requires_grad_(False)
    context = torch.ones(6)
    y = net(x, context)
    for tensor in (context, *net.parameters()):
        tensor.requires_grad_()
    y.square().sum().backward()


def other_values_since(net, x):
    y = net(x, torch.ones(6))
    for parameter in net.parameters():
        parameter.data = 3 * parameter.data
    y.square().sum().backward()


def another_type_since(net, x):
    y = net(x, torch.ones(6))
    net.float()
    y.square().sum().backward()
    net.double()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("use", [frozen_since, frozen_then, other_values_since, another_type_since])
def test_weights_are_found_as_the_forward_pass_found_them(use, mode):
    assert_as_plain(Asking, use, mode)


def test_slices_of_a_stack_need_a_gradient_although_nobody_asks_for_it():
    flow, _ = build("hamiltonian", steps=3)
    weights = FlowWeights(flow, flow.learned_names())
    every, none = ([asked] * len(weights.tensors) for asked in (True, False))
    with torch.no_grad():
        again = weights.detached(weights.names, 1, weights.tensors, every, none, iter(()))
    assert again.undifferentiated and not again.leaves
    assert all(value.requires_grad for value in again.values)


class Renorm(nn.BatchNorm1d):
    """Of torch's class, and yet its result depends on what it counted."""

    def __init__(self):
        super().__init__(6)
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = torch.tanh(self.linear(x)) - self.running_mean
        with torch.no_grad():
            self.running_mean.mul_(0.5).add_(x.mean(0))
        return y


class Reading(nn.Module):
    """Reads the statistics of a norm that it has."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        return torch.tanh(self.norm(x) + self.norm.running_var)


class PastItsVersion(nn.Module):
    """Changes a buffer in a way that autograd's count of versions does not show."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("codes", torch.ones(5000))

    def forward(self, x):
        y = torch.tanh(self.linear(x) + self.codes[0])
        if self.training:
            self.codes.data.mul_(1.5)
        return y


def first_evaluated(net, x):
    """A module that has been seen to leave its buffer alone, in evaluation mode."""
    net.eval()
    net(x).sum().backward()
    net.train()
    twice(net, x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("use", [twice, first_evaluated])
@pytest.mark.parametrize("make", [Renorm, Reading, PastItsVersion])
def test_buffers_are_found_as_the_evaluation_found_them(make, use, mode):
    assert_as_plain(make, use, mode)


def test_a_budget_is_planned_without_an_evaluation_of_a_checkpoint():
    calls = []

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def counted(self, x):
            calls.append(self)
            return torch.tanh(self.linear(x)).exp()

        def forward(self, x):
            return checkpoint(self.counted, x, use_reentrant=False)

    net, x = network(500, Checkpointed), state()
    loss = net(x).sum()
    assert len(calls) == 4
    loss.backward()
    assert_as_plain(Checkpointed, twice, 500)
    (per_step,) = net.step_bytes.values()
    assert per_step == x.nbytes


def normed():
    return nn.Sequential(weight_norm(nn.Linear(6, 6)), nn.Tanh())


def with_cached_weights(net, x):
    with parametrize.cached():
        twice(net, x)
    assert not parametrize._cache_enabled


@pytest.mark.parametrize("mode", MODES)
def test_weights_that_are_cached_around_a_flow_are_differentiated_all_the_same(mode):
    assert_as_plain(normed, with_cached_weights, mode)


def with_backward_hooks(net, x):
    def keep(module, *gradients):
        module.seen = gradients[-1][0].clone()
        return (2 * gradients[0][0],)

    parts = [part for block in net.f for part in (block, block[0])]
    for part in parts[::2]:
        part.register_full_backward_hook(keep)
    for part in parts[1::2]:
        part.register_full_backward_pre_hook(keep)
    twice(net, x)
    return [part.seen for part in parts]


@pytest.mark.parametrize("mode", MODES)
def test_backward_hooks_on_blocks_write_to_the_blocks_they_were_put_on(mode):
    assert_as_plain(normed, with_backward_hooks, mode)


def backwards_in_threads(net, x):
    torch.manual_seed(7)
    losses = [net(factor * x.detach()).square().sum() for factor in range(1, 5)]
    threads = [threading.Thread(target=loss.backward) for loss in losses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (torch.rand(3),)  # goes on where the forward passes had come to


@pytest.mark.parametrize("mode", MODES)
def test_dropout_is_repeated_by_one_thread_after_the_other(mode):
    def make():
        return nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.4), nn.Tanh())

    assert_as_plain(make, backwards_in_threads, mode, steps=8)
