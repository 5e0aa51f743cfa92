"""The backward pass repeats each evaluation of the forward pass exactly.

Running statistics are not counted twice, random numbers and precision are the same.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from odenet.runtime.repetition.recorder import RandomStates
from odenet.testing import assert_gradients
from tests.runtime.handwritten import HamiltonianFlow, MomentumFlow, NormFlow, build

MODES = ("reversible", "stored", "checkpoint", 2000)  # 2000: a budget in bytes


class InstanceNormFlow(MomentumFlow):
    """A momentum network with instance norms, which torch tracks by other code than batch norms."""

    def block(self, c):
        norm = nn.InstanceNorm2d(c, track_running_stats=True, affine=True)
        return nn.Sequential(nn.Conv2d(c, c, 3, padding=1), norm, nn.Tanh())


class CumulativeNormFlow(MomentumFlow):
    """A momentum network whose batch norms average over all batches."""

    def block(self, c):
        return nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c, momentum=None))


@pytest.mark.parametrize(
    "flow_class", [MomentumFlow, NormFlow, InstanceNormFlow, CumulativeNormFlow]
)
@pytest.mark.parametrize("mode", MODES)
def test_running_statistics_count_each_batch_once(flow_class, mode):
    statistics = {}
    for memory in (mode, "stored"):
        torch.manual_seed(0)
        flow = flow_class(4, 3)
        flow.memory = memory
        for _ in range(2):
            flow(torch.randn(3, 4, 5, 5)).square().sum().backward()
        statistics[memory] = dict(flow.named_buffers())
    assert len(statistics["stored"]) >= 9  # three of each norm, and at least one norm in each step
    for name, expected in statistics["stored"].items():
        torch.testing.assert_close(statistics[mode][name], expected, msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_frozen_statistics_stay_frozen_and_are_used(mode):
    flow, u = build("momentum")
    for norm in (m for m in flow.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.uniform_(-1, 1)
        norm.eval()
    flow.memory = mode
    before = {name: buffer.clone() for name, buffer in flow.named_buffers()}
    assert_gradients(flow, u, tolerance=1e-10)
    assert all(torch.equal(buffer, before[name]) for name, buffer in flow.named_buffers())


@pytest.mark.parametrize("mode", MODES)
def test_dropout_draws_the_same_masks_and_leaves_the_stream_as_plain_autograd_does(mode):
    flow, u = build("momentum with dropout")
    states = {}
    for memory in (mode, "stored"):
        flow.memory = memory
        torch.manual_seed(3)
        out = flow(u)
        torch.rand(5)  # moves the stream on: masks are repeated from where they were drawn
        random_state = torch.get_rng_state()
        out.sum().backward()
        assert torch.equal(torch.get_rng_state(), random_state)
        states[memory] = random_state
    assert torch.equal(states[mode], states["stored"])
    assert_gradients(flow, u, tolerance=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_autocast_is_replayed_and_the_state_stays_in_single_precision(mode):
    torch.manual_seed(0)
    flow, dtypes = HamiltonianFlow(4, 6), []
    flow.memory = mode
    original_rate = flow.rate_Y

    def recording_rate(Z, K1, b1):
        rate = original_rate(Z, K1, b1)
        dtypes.append((Z.dtype, rate.dtype))
        return rate

    flow.rate_Y = recording_rate
    with torch.autocast("cpu", torch.bfloat16):
        out = flow(torch.randn(2, 4, 5, 5, dtype=torch.bfloat16))
    assert out.dtype == torch.float32
    out.square().sum().backward()
    assert set(dtypes) == {(torch.float32, torch.bfloat16)}
    assert all(p.grad.dtype == torch.float32 for p in flow.parameters())


@pytest.mark.parametrize("steps", [10, 100])
def test_gradients_under_autocast_are_as_accurate_as_those_of_plain_autograd(steps):
    torch.manual_seed(0)
    flow, u = HamiltonianFlow(4, steps, h=1 / steps), torch.randn(2, 4, 6, 6)

    def flat_gradients(memory, autocast):
        flow.memory = memory
        flow.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            flow(u).square().sum().backward()
        return torch.cat([p.grad.flatten() for p in flow.parameters()])

    expected = flat_gradients("stored", autocast=False)
    with_plain_autograd, with_reversible_steps = (
        flat_gradients("stored", autocast=True),
        flat_gradients("reversible", autocast=True),
    )
    assert (
        0
        < (with_reversible_steps - expected).norm()
        <= 1.5 * (with_plain_autograd - expected).norm()
    )


def test_a_backward_pass_inside_autocast_and_one_outside_agree():
    torch.manual_seed(0)
    flow, u = HamiltonianFlow(4, 6), torch.randn(2, 4, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        (inside,) = torch.autograd.grad(flow(u).sum(), flow.K1)
        loss = flow(u).sum()
    (outside,) = torch.autograd.grad(loss, flow.K1)
    assert torch.equal(inside, outside)


def test_reading_random_states_with_the_help_of_an_earlier_reading_misses_no_draw():
    device = torch.device("cpu")
    # The second `randn` returns a number that the first has drawn. numpy's generator draws from a
    # list of 624 words: after as many its position in the list is the same as before.
    draws = [np.random.rand, np.random.randn, np.random.randn, lambda: np.random.bytes(4 * 624)]
    draws += [random.random, lambda: torch.rand(1), lambda: np.random.seed(5)]
    before = RandomStates.read(device)
    assert RandomStates.read(device, before).equals(before)
    for draw in draws:
        expected = draw()
        after = RandomStates.read(device, before)
        assert not after.equals(before)
        assert RandomStates.read(device, after).equals(after)
        before.restore(device)
        assert draw() == expected
        assert RandomStates.read(device).equals(after)
        before = after
