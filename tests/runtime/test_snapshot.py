"""The backward pass repeats the forward pass, whatever modules and callers do in between.

The reference is plain autograd (memory "stored") on the same weights, in float64.
"""

from __future__ import annotations

import random
import types

import numpy as np
import pytest
import torch
from torch import nn

from odenet import reversible
from tests.runtime.memory_modes import MODES, assert_same_as_stored, make_blocks, make_input


class CountingBlock(nn.Module):
    """Counts its evaluations in a buffer and in an attribute; its result depends on both."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("calls", torch.zeros(()))
        self.evaluations = 0

    def forward(self, x):
        self.calls += 1
        self.evaluations += 1
        return torch.tanh(self.linear(x)) / (self.calls + 0.5 * self.evaluations)


class RunningMeanBlock(nn.Module):
    """Normalises by a running mean of its own, assigned or changed in place."""

    def __init__(self, in_place):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.in_place = in_place
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        y = self.linear(x)
        updated = 0.9 * self.mean + 0.1 * y.detach().mean(0)
        if self.in_place:
            self.mean.copy_(updated)
        else:
            self.mean = updated
        return torch.tanh(y - self.mean)


class RandomMaskBlock(nn.Module):
    """Multiplies by random numbers from a stream other than the global one of torch."""

    def __init__(self, stream):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.stream = stream
        self.generator = torch.Generator().manual_seed(3)
        self.rng = np.random.default_rng(3)

    def forward(self, x):
        y = torch.tanh(self.linear(x))
        if self.stream == "python":
            return y * random.random()
        if self.stream == "numpy":
            return y * float(np.random.rand())
        if self.stream == "numpy generator":
            return y * float(self.rng.random())
        return y * torch.rand(y.shape, generator=self.generator, dtype=y.dtype)


@pytest.mark.parametrize("training", [True, False])
def test_train_or_eval_between_the_passes_does_not_change_the_gradients(training):
    def make_block():
        return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3))

    flow = reversible(make_blocks(make_block)).train(training)
    for block in flow.f:
        block[1].running_mean.uniform_(-1, 1)
    assert_same_as_stored(flow, make_input(), between=lambda flow: flow.train(not training))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "make_block",
    [
        CountingBlock,
        lambda: RunningMeanBlock(in_place=True),
        lambda: RunningMeanBlock(in_place=False),
        lambda: nn.utils.spectral_norm(nn.Linear(6, 6)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
        lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, momentum=None)),
    ],
    ids=[
        "counts",
        "mean changed in place",
        "mean assigned",
        "spectral norm by a hook",
        "spectral norm by a parametrization",
        "weight norm",
        "cumulative mean",
    ],
)
def test_modules_that_change_as_they_are_evaluated_are_repeated_as_they_were(make_block, training):
    assert_same_as_stored(reversible(make_blocks(make_block)).train(training), make_input())


def test_one_changing_module_for_all_steps_is_repeated_as_it_was():
    (block,) = make_blocks(CountingBlock, 1)
    assert_same_as_stored(reversible([block] * 4), make_input())


@pytest.mark.parametrize("stream", ["python", "numpy", "numpy generator", "torch generator"])
def test_random_numbers_from_other_streams_are_repeated(stream):
    flow = reversible(make_blocks(lambda: RandomMaskBlock(stream)))
    assert_same_as_stored(flow, make_input(), modes=("reversible", "checkpoint"))


def test_a_backward_pass_leaves_random_streams_as_they_were():
    flow = reversible(make_blocks(lambda: RandomMaskBlock("torch generator")))
    out = flow(make_input())
    before = [block.generator.get_state() for block in flow.f]
    out.sum().backward()
    assert all(map(torch.equal, before, [block.generator.get_state() for block in flow.f]))


def test_functional_call_with_other_buffers_gives_the_gradients_for_these():
    flow = reversible(make_blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)))).eval()
    # Means and variances, not the counts of batches.
    buffers = {name: torch.rand_like(b) + 0.5 for name, b in flow.named_buffers() if b.ndim}
    gradients = {}
    for mode in ("stored", *MODES):
        flow.memory = mode
        x = make_input().requires_grad_()
        out = torch.func.functional_call(flow, buffers, x)
        gradients[mode] = torch.autograd.grad(out.square().sum(), (x, *flow.parameters()))
    for mode in MODES:
        torch.testing.assert_close(gradients[mode], gradients["stored"], rtol=1e-8, atol=1e-10)


def test_a_patched_forward_uses_the_weights_that_are_differentiated():
    def with_patched_forward():
        block = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        block.forward = types.MethodType(lambda self, x: 2 * nn.Sequential.forward(self, x), block)
        return block

    assert_same_as_stored(reversible(make_blocks(with_patched_forward)), make_input())


def test_a_forward_that_reads_the_weights_of_the_original_from_any_copy_is_refused():
    def with_closure():  # over the bound method of the block itself
        block = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        original_forward = block.forward
        block.forward = lambda x: 2 * original_forward(x)
        return block

    # The backward pass begins with the last of the four blocks.
    with pytest.raises(RuntimeError, match=r"the parameter f\.3\.0\.(weight|bias)"):
        reversible(make_blocks(with_closure))(make_input()).sum().backward()


def test_recurrent_blocks_and_tied_weights_get_their_gradients():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(6, 6, batch_first=True)

        def forward(self, x):
            return self.gru(x[:, None])[0][:, 0]

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(torch.tanh(self.a(x)))

    assert_same_as_stored(reversible(make_blocks(Recurrent)), make_input())
    assert_same_as_stored(reversible(make_blocks(Tied)), make_input())


def test_a_hook_that_is_removed_before_the_backward_pass_is_repeated():
    flow = reversible(make_blocks(lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh())))
    gradients = {}
    for mode in ("stored", "reversible", "checkpoint"):
        flow.memory = mode
        hooks = [block.register_forward_pre_hook(lambda m, x: (2 * x[0],)) for block in flow.f]
        out = flow(make_input())
        for hook in hooks:
            hook.remove()
        gradients[mode] = torch.autograd.grad(out.square().sum(), list(flow.parameters()))
    for mode in ("reversible", "checkpoint"):
        torch.testing.assert_close(gradients[mode], gradients["stored"], rtol=1e-8, atol=1e-10)


def test_freezing_weights_between_the_passes_does_not_change_the_gradient_of_the_input():
    flow = reversible(make_blocks(lambda: nn.Linear(6, 6)))
    x = make_input().requires_grad_()
    (expected,) = torch.autograd.grad(flow(x).square().sum(), x)
    for mode in ("reversible", "checkpoint"):
        flow.memory = mode
        out = flow(x)
        flow.requires_grad_(False)
        (actual,) = torch.autograd.grad(out.square().sum(), x)
        flow.requires_grad_(True)
        torch.testing.assert_close(actual, expected)
