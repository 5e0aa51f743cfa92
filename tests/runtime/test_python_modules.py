"""Maps of a specification (`map f = given`) whose torch modules come from Python.

The reference is the steps written out in torch.
"""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import odenet
from odenet.diagnostics import SpecError
from odenet.testing import assert_gradients, assert_invertible

SPEC = """
state Y, Z
map f = given
param K : dense
param b : bias
Y' = f(Z) + t b
Z' = -K^T tanh(K Y)
discretise verlet(h = 0.25)
"""
PROGRAM = odenet.loads(SPEC, name="driven.ode")


class Block(nn.Module):
    """A module with two layers."""

    def __init__(self, channels):
        super().__init__()
        self.inner = nn.Linear(channels, 2 * channels)
        self.outer = nn.Linear(2 * channels, channels)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


def build_flow(steps=4, channels=6, seed=0, program=PROGRAM, **options):
    torch.manual_seed(seed)
    flow = program.flow(channels, steps, space=0, **{"f": Block, **options}).double()
    return flow, torch.randn(2, channels, dtype=torch.float64)


@settings(max_examples=15, deadline=None)
@given(steps=st.integers(1, 6), seed=st.integers(0, 1000))
def test_values_and_gradients_are_those_of_the_steps_written_out(steps, seed):
    flow, u = build_flow(steps, seed=seed)
    u.requires_grad_()
    Y, Z = u.chunk(2, 1)
    for n in range(steps):
        block, K = flow.f[n][0], flow.K[n]  # a map is a sequence, here of one module
        Y = Y + 0.25 * (block.outer(torch.tanh(block.inner(Z))) + 0.25 * n * flow.b[n])
        Z = Z - 0.25 * torch.tanh(Y @ K.T) @ K
    out, expected = flow(u), torch.cat((Y, Z), 1)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    inputs = (u, *flow.parameters())
    actual_gradients = torch.autograd.grad(out.square().sum(), inputs)
    expected_gradients = torch.autograd.grad(expected.square().sum(), inputs)
    torch.testing.assert_close(actual_gradients, expected_gradients, rtol=1e-8, atol=1e-10)


def test_the_function_that_makes_modules_is_called_once_for_each_step_unless_they_share_one():
    calls = []

    def make_module(channels):
        calls.append(channels)
        return Block(channels)

    flow, u = build_flow(3, f=make_module)
    assert calls == [6 // 2] * 3  # the channels of each of two states, in three steps
    assert len({id(module[0]) for module in flow.f}) == 3
    assert_invertible(flow.eval(), u, tolerance=1e-12)
    assert_gradients(flow, u, tolerance=1e-10)
    shared = odenet.loads(SPEC.replace("map f", "shared map f"))
    flow, u = build_flow(3, f=make_module, program=shared)
    assert len(calls) == 3 + 1  # one module for all steps
    assert_gradients(flow, u, tolerance=1e-10)


def test_flows_are_copied_pickled_and_refined_with_their_modules():
    flow, u = build_flow(3)
    for restored in (copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
        assert torch.equal(restored(u), flow(u))
    finer = flow.refine()
    assert finer.h == flow.h / 2 and len(finer.f) == 6
    assert torch.equal(finer.f[1][0].inner.weight, flow.f[0][0].inner.weight)


def test_a_registered_map_is_used_by_networks_that_are_given_no_other():
    text = SPEC + "net = input(4) -> dense(6) -> flow(2) -> dense(3)\n"
    with odenet.register_map("f", Block):
        network = odenet.loads(text).network()
        assert network(torch.randn(2, 4)).shape == (2, 3)
        with pytest.raises(ValueError, match="registered already"):
            odenet.register_map("f", Block)
    assert odenet.loads(text).network(f=Block)(torch.randn(2, 4)).shape == (2, 3)
    with pytest.raises(SpecError, match="no map `g` that is given"):
        odenet.loads(text).network(f=Block, g=Block)


def test_a_missing_module_is_reported_at_the_line_of_its_map():
    with pytest.raises(SpecError) as caught:
        PROGRAM.flow(6, 2, space=0)
    assert "the module of `f` is given from Python, and none was given" in str(caught.value)
    assert "driven.ode:3:1" in str(caught.value) and "f=make_block" in str(caught.value)


@pytest.mark.parametrize(
    ("make_module", "message"),
    [(lambda c: nn.Linear(c, c + 1), r"driven.ode:3: the Linear that is given for `f` makes "
      r"\(2, 4\) of \(2, 3\); a map keeps the shape"),
     (lambda c: nn.LSTM(c, c), "makes a tuple of"),
     (nn.Linear(3, 3), "driven.ode:3: `f` is given by a function that makes a module for each"),
     (lambda c: 3, "driven.ode:3: what is given for `f` makes a int, not a module")],
)  # fmt: skip
def test_an_unsuitable_module_is_refused_at_the_line_of_its_map(make_module, message):
    with pytest.raises(ValueError, match=message):
        flow, u = build_flow(2, f=make_module)
        flow(u)


def test_a_let_named_given_is_still_an_activation():
    program = odenet.loads("let given = relu\n" + SPEC)
    # `map f = given` is then a map of one layer, nn.ReLU().
    assert not program.model.given_maps and "relu" in program.source().lower()
