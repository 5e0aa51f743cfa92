"""Replicas serve for many passes, and yet every pass is repeated on the modules as it found them.

The reference is plain autograd (memory "stored") on the same weights, in double precision.
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
    """Reads what a module may have besides parameters."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.register_buffer("shift", torch.full((6,), 0.3))
        self.scale = 0.7
        self.powers = [1.0, 0.5]
        self.names = {"gain": 1.5}
        self.act = torch.tanh

    def forward(self, x):
        y = self.act(self.norm(self.linear(x)) + self.shift) * self.scale * self.names["gain"]
        return sum(p * y for p in self.powers)


def _twice(block):
    block.act = types.MethodType(lambda self, x: torch.sin(x) * self.scale, block)


CHANGES = {
    "attribute": lambda block: setattr(block, "scale", 2.0),
    "list in place": lambda block: block.powers.append(3.0),
    "dictionary in place": lambda block: block.names.update(gain=0.2),
    "function": lambda block: setattr(block, "act", torch.sigmoid),
    "bound method": _twice,
    "attribute of a part": lambda block: setattr(block.norm, "eps", 0.5),
    "part": lambda block: setattr(block, "norm", nn.Identity()),
    "class of a part": lambda block: setattr(block.norm, "__class__", nn.Identity),
    "buffer": lambda block: setattr(block, "shift", torch.ones(6).double()),
    "buffer in place": lambda block: block.shift.fill_(-1),
    "parameter": lambda block: setattr(
        block.linear, "bias", nn.Parameter(torch.ones(6, dtype=torch.float64))
    ),
    "parameter in place": lambda block: nn.init.constant_(block.linear.bias, 2.0),
    "no parameter": lambda block: setattr(block.linear, "bias", None),
    "hook": lambda block: block.linear.register_forward_pre_hook(lambda m, x: (2 * x[0],)),
    "forward": lambda block: setattr(
        block.norm, "forward", types.MethodType(lambda self, x: x * self.eps, block.norm)
    ),
}


def flow_of_blocks(make=Block, count=3):
    torch.manual_seed(0)
    return reversible([make().double() for _ in range(count)])


def gradients(flow, mode):
    flow.memory = mode
    torch.manual_seed(1)
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    wanted = (x, *flow.parameters())
    return torch.autograd.grad(flow(x).square().sum(), wanted, materialize_grads=True)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_between_two_passes_changes_the_second(change):
    flow = flow_of_blocks()
    before = gradients(flow, "reversible")
    for block in flow.f:
        change(block)
    found, expected = gradients(flow, "reversible"), gradients(flow, "stored")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)
    assert not torch.allclose(before[0], found[0])


@pytest.mark.parametrize(
    "name", sorted(CHANGES.keys() - {"parameter in place"})
)  # where torch raises
def test_what_changes_after_a_pass_leaves_its_backward_alone(name):
    change = CHANGES[name]
    flow = flow_of_blocks()
    learned = tuple(flow.parameters())
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    loss = flow(x).square().sum()
    expected = torch.autograd.grad(loss, (x, *learned), retain_graph=True)
    for block in flow.f:
        change(block)
    found = torch.autograd.grad(loss, (x, *learned))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


class Leaving(Block):
    """Leaves something in the module it is evaluated on, and reads it in the next evaluation."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, x):
        self.seen += 1
        self.powers.append(0.1)
        self.extra = getattr(self, "extra", 1.0) / 2
        return super().forward(x) * (1 + self.seen * self.extra)


def test_nothing_is_left_in_a_replica_for_the_next_repetition():
    twins = {mode: flow_of_blocks(Leaving) for mode in ("reversible", "stored")}
    for _ in range(3):
        found, expected = (gradients(flow, mode) for mode, flow in twins.items())
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_modules_that_stay_as_they_are_are_copied_once(monkeypatch):
    flow, made = flow_of_blocks(), []
    plain = Replica.__init__
    monkeypatch.setattr(Replica, "__init__", lambda self, module: made.append(plain(self, module)))
    gradients(flow, "reversible")
    assert made
    made.clear()
    gradients(flow, "reversible")
    assert not made


def test_modules_that_were_replaced_are_not_kept():
    flow = flow_of_blocks()
    gradients(flow, "reversible")
    old = weakref.ref(flow.f[1])
    flow.f[1] = Block().double()
    gradients(flow, "reversible")
    gc.collect()
    assert old() is None


DRAWS = {
    "torch": lambda: torch.rand(1),
    "random": random.random,
    "gauss": lambda: random.gauss(0, 1),
    "numpy": np.random.rand,
    "randn": np.random.randn,
}


@pytest.mark.parametrize("first", [None, *DRAWS])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_whatever_is_drawn_is_seen_and_put_back(draw, first):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    if first:
        DRAWS[first]()  # which may put a second number aside
    device = torch.device("cpu")
    before = RandomStates.read(device)
    assert RandomStates.read(device, before).equals(before)
    drawn = draw()
    after = RandomStates.read(device, before)
    assert not after.equals(before)
    before.restore(device)
    assert draw() == drawn
    assert RandomStates.read(device, before).equals(after)


class Scaling(nn.Module):
    """A block that keeps its last mean, and scales by a tensor that is no parameter."""

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
def test_a_result_is_warned_of_and_let_go_wherever_it_is_kept(last, buffers):
    kind = type(f"Keeping{last}In{buffers}", (Scaling,), {})  # each class is told of once
    flow = reversible([kind(last, buffers=buffers) for _ in range(2)])
    with pytest.warns(UserWarning, match=f"{re.escape(kind.__name__)} keeps `last`"):
        flow(torch.randn(3, 4)).sum().backward()
    assert all(block.last.grad_fn is None for block in flow.f)


@pytest.mark.filterwarnings("ignore:Scaling keeps `last`")
@pytest.mark.parametrize("memory", ["reversible", "checkpoint"])
@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("rows", [3, 2000])
def test_a_tensor_with_a_gradient_on_a_module_is_refused_and_left_as_it_is(
    rows, computed, buffers, memory
):
    w = torch.ones(rows, 4, requires_grad=True)
    scale = w * 2 if computed else w
    block = Scaling(scale=scale, buffers=buffers)
    flow, x = reversible([block]), torch.randn(rows, 4)
    flow.memory = memory
    for _ in range(2):
        with pytest.raises(RuntimeError, match=rf"reads a tensor of shape \({rows}, 4\)"):
            flow(x).sum().backward()
        assert block.scale is scale and w.grad is None
    flow.memory = "stored"
    flow(x).sum().backward()
    with torch.no_grad():  # the loss is linear in w
        before = flow(x).sum()
        scale.add_(2.0 if computed else 1.0)
        assert w.grad is not None
        torch.testing.assert_close(w.grad.sum(), flow(x).sum() - before, rtol=1e-3, atol=1e-3)
