"""Replicas of modules are used again, and every evaluation is repeated as in the forward pass.

A replica is a copy of a block on which its evaluation is repeated. The reference is plain autograd
(memory "stored") on the same weights, in float64.
"""

from __future__ import annotations

import gc
import random
import re
import types
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from odenet import reversible
from odenet.runtime.repetition.recorder import RandomStates
from odenet.runtime.repetition.replica import Replica


class Block(nn.Module):
    """Reads buffers, attributes, containers and functions besides its parameters."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.register_buffer("shift", torch.full((6,), 0.3))
        self.scale = 0.7
        self.coefficients = [1.0, 0.5]
        self.gains = {"output": 1.5}
        self.act = torch.tanh

    def forward(self, x):
        y = self.act(self.norm(self.linear(x)) + self.shift) * self.scale * self.gains["output"]
        return sum(coefficient * y for coefficient in self.coefficients)


def use_bound_method(block):
    block.act = types.MethodType(lambda self, x: torch.sin(x) * self.scale, block)


CHANGES = {
    "attribute": lambda block: setattr(block, "scale", 2.0),
    "list in place": lambda block: block.coefficients.append(3.0),
    "dictionary in place": lambda block: block.gains.update(output=0.2),
    "function": lambda block: setattr(block, "act", torch.sigmoid),
    "bound method": use_bound_method,
    "attribute of a submodule": lambda block: setattr(block.norm, "eps", 0.5),
    "submodule": lambda block: setattr(block, "norm", nn.Identity()),
    "class of a submodule": lambda block: setattr(block.norm, "__class__", nn.Identity),
    "buffer": lambda block: setattr(block, "shift", torch.ones(6).double()),
    "buffer in place": lambda block: block.shift.fill_(-1),
    "parameter": lambda block: setattr(
        block.linear, "bias", nn.Parameter(torch.ones(6, dtype=torch.float64))
    ),
    "parameter in place": lambda block: nn.init.constant_(block.linear.bias, 2.0),
    "parameter removed": lambda block: setattr(block.linear, "bias", None),
    "hook": lambda block: block.linear.register_forward_pre_hook(lambda m, x: (2 * x[0],)),
    "forward": lambda block: setattr(
        block.norm, "forward", types.MethodType(lambda self, x: x * self.eps, block.norm)
    ),
}


def build_flow(make_block=Block, count=3):
    torch.manual_seed(0)
    return reversible([make_block().double() for _ in range(count)])


def gradients_in_mode(flow, mode):
    flow.memory = mode
    torch.manual_seed(1)
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    inputs = (x, *flow.parameters())
    return torch.autograd.grad(flow(x).square().sum(), inputs, materialize_grads=True)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_between_two_passes_changes_the_second(change):
    flow = build_flow()
    before = gradients_in_mode(flow, "reversible")
    for block in flow.f:
        change(block)
    actual, expected = gradients_in_mode(flow, "reversible"), gradients_in_mode(flow, "stored")
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(before[0], actual[0])


# Torch itself raises where a parameter is changed in place.
@pytest.mark.parametrize("name", sorted(CHANGES.keys() - {"parameter in place"}))
def test_what_changes_after_a_pass_leaves_its_backward_alone(name):
    change = CHANGES[name]
    flow = build_flow()
    parameters = tuple(flow.parameters())
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    loss = flow(x).square().sum()
    expected = torch.autograd.grad(loss, (x, *parameters), retain_graph=True)
    for block in flow.f:
        change(block)
    actual = torch.autograd.grad(loss, (x, *parameters))
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)


class SelfChangingBlock(Block):
    """Changes the module it is evaluated on, and reads the changes in the next evaluation."""

    def __init__(self):
        super().__init__()
        self.evaluations = 0

    def forward(self, x):
        self.evaluations += 1
        self.coefficients.append(0.1)
        self.extra = getattr(self, "extra", 1.0) / 2
        return super().forward(x) * (1 + self.evaluations * self.extra)


def test_a_repetition_changes_nothing_that_the_next_one_reads():
    flows = {mode: build_flow(SelfChangingBlock) for mode in ("reversible", "stored")}
    for _ in range(3):
        actual, expected = (gradients_in_mode(flow, mode) for mode, flow in flows.items())
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-10)


def test_modules_that_do_not_change_are_copied_once(monkeypatch):
    flow, copies = build_flow(), []
    original_init = Replica.__init__
    monkeypatch.setattr(
        Replica, "__init__", lambda self, module: copies.append(original_init(self, module))
    )
    gradients_in_mode(flow, "reversible")
    assert copies
    copies.clear()
    gradients_in_mode(flow, "reversible")
    assert not copies


def test_modules_that_were_replaced_are_not_kept():
    flow = build_flow()
    gradients_in_mode(flow, "reversible")
    old = weakref.ref(flow.f[1])
    flow.f[1] = Block().double()
    gradients_in_mode(flow, "reversible")
    gc.collect()
    assert old() is None


RANDOM_DRAWS = {
    "torch": lambda: torch.rand(1),
    "random": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "numpy": np.random.rand,
    "randn": np.random.randn,
}


@pytest.mark.parametrize("earlier_draw", [None, *RANDOM_DRAWS])
@pytest.mark.parametrize("draw", RANDOM_DRAWS.values(), ids=RANDOM_DRAWS)
def test_any_random_draw_is_noticed_and_can_be_undone(draw, earlier_draw):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    if earlier_draw:
        RANDOM_DRAWS[earlier_draw]()  # some draw two numbers at once and keep the second
    device = torch.device("cpu")
    before = RandomStates.read(device)
    assert RandomStates.read(device, before).equals(before)
    number = draw()
    after = RandomStates.read(device, before)
    assert not after.equals(before)
    before.restore(device)
    assert draw() == number
    assert RandomStates.read(device, before).equals(after)


class ScalingBlock(nn.Module):
    """Keeps its last mean, and scales by a tensor that is not a parameter."""

    def __init__(self, last=None, scale=1.0, buffers=False):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        for name, value in (("last", last), ("scale", scale)):
            if buffers and isinstance(value, torch.Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x):
        y = self.linear(x) * self.scale
        self.last = y.mean()
        return y


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("last", [None, torch.zeros(())])
def test_a_kept_result_is_warned_of_and_detached_wherever_it_is_kept(last, buffers):
    # A class of its own, since each class is warned of once.
    block_class = type(f"Keeping{last}In{buffers}", (ScalingBlock,), {})
    flow = reversible([block_class(last, buffers=buffers) for _ in range(2)])
    with pytest.warns(UserWarning, match=f"{re.escape(block_class.__name__)} keeps `last`"):
        flow(torch.randn(3, 4)).sum().backward()
    assert all(block.last.grad_fn is None for block in flow.f)


@pytest.mark.filterwarnings("ignore:ScalingBlock keeps `last`")
@pytest.mark.parametrize("memory", ["reversible", "checkpoint"])
@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("rows", [3, 2000])  # tensors of at most 4096 entries are always copied
def test_a_tensor_with_a_gradient_on_a_module_is_refused_and_left_as_it_is(
    rows, computed, buffers, memory
):
    w = torch.ones(rows, 4, requires_grad=True)
    scale = w * 2 if computed else w
    block = ScalingBlock(scale=scale, buffers=buffers)
    flow, x = reversible([block]), torch.randn(rows, 4)
    flow.memory = memory
    for _ in range(2):
        with pytest.raises(RuntimeError, match=rf"reads a tensor of shape \({rows}, 4\)"):
            flow(x).sum().backward()
        assert block.scale is scale and w.grad is None
    flow.memory = "stored"
    flow(x).sum().backward()
    with torch.no_grad():  # the loss is linear in w: with w + 1 it grows by the sum of w.grad
        before = flow(x).sum()
        scale.add_(2.0 if computed else 1.0)
        assert w.grad is not None
        torch.testing.assert_close(w.grad.sum(), flow(x).sum() - before, rtol=1e-3, atol=1e-3)
