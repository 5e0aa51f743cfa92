"""Gradients and outputs of every memory mode are those of stored activations."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import odenet
from odenet import reversible
from odenet.runtime import Flow
from tests.runtime.handwritten import HamiltonianFlow, build
from tests.runtime.memory_modes import SCHEMES, assert_same_as_stored, make_blocks, make_input


class WeightAdded(nn.Module):
    """Adds a weight of the shape of the state, whose gradient is the incoming gradient itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))

    def forward(self, x):
        return torch.tanh(x) + self.weight


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_weight_of_the_shape_of_the_state_gets_its_gradient(scheme):
    constants = {} if scheme == "momentum" else {"h": 0.3}
    assert_same_as_stored(reversible(make_blocks(WeightAdded), scheme, **constants), make_input())


def test_weights_of_the_shape_of_the_state_in_pairs_of_blocks_get_their_gradients():
    class HalfStateWeight(WeightAdded):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

    pairs = zip(make_blocks(HalfStateWeight), make_blocks(HalfStateWeight), strict=True)
    assert_same_as_stored(reversible(list(pairs), "verlet"), make_input())


def test_gradients_share_memory_with_nothing():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = (nn.Parameter(torch.randn(5, 6)) for _ in range(3))

        def forward(self, x):
            return x + self.a + self.b.view(-1).view(5, 6) - torch.tanh(self.c)

    flow, x = reversible(make_blocks(Shifted)).double(), torch.randn(5, 6).double().requires_grad_()
    out = flow(x)
    out.retain_grad()
    out.square().sum().backward()
    gradients = [out.grad, x.grad, *(p.grad for p in flow.parameters())]
    assert len({g.untyped_storage().data_ptr() for g in gradients}) == len(gradients)
    assert_same_as_stored(flow, x)


def test_a_relu_at_its_kink_has_the_slope_at_zero_in_the_backward_pass_as_well():
    flow, x = build("hamiltonian", steps=6)
    x[:, 2:] = 0  # relu(K1 Z + b1) is at its kink in the first step
    with torch.no_grad():
        flow.b1.zero_()
    assert_same_as_stored(flow, x, modes=("reversible", "checkpoint"))


@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "momentum", "leapfrog", "revnet"])
def test_reversible_and_stored_training_begin_with_the_same_gradients(name):
    program = odenet.load(f"specs/{name}.ode", set={"n": 2})
    torch.manual_seed(0)
    network = program.network().double()
    flows = [m for m in network.modules() if isinstance(m, Flow)]
    x = torch.randn(2, *program.input_shape, dtype=torch.float64)
    gradients = {}
    for mode in ("stored", "reversible"):
        for flow in flows:
            flow.memory = mode
        torch.manual_seed(0)
        gradients[mode] = torch.autograd.grad(network(x).square().sum(), list(network.parameters()))
    for (parameter_name, _), expected, actual in zip(
        network.named_parameters(), *gradients.values(), strict=True
    ):
        torch.testing.assert_close(
            actual, expected, rtol=1e-6, atol=1e-9 * float(expected.abs().max()), msg=parameter_name
        )


def test_training_in_every_mode_runs_the_same_arithmetic_as_evaluation():
    for name in ("hamiltonian", "midpoint", "leapfrog", "momentum", "groups"):
        flow, x = build(name, steps=5)
        flow.float().eval()
        with torch.no_grad():
            expected = flow(x.float())
        for mode in ("reversible", "stored", "checkpoint", 3000):  # 3000: a budget in bytes
            flow.memory = mode
            assert torch.equal(flow(x.float()), expected), (name, mode)


def test_a_layer_in_place_after_a_flow_leaves_the_gradients_right():
    for name in ("midpoint", "momentum", "hamiltonian"):
        flow, x = build(name)
        x.requires_grad_()
        (expected,) = torch.autograd.grad(torch.relu(flow(x)).sum(), x)
        (actual,) = torch.autograd.grad(nn.ReLU(inplace=True)(flow(x)).sum(), x)
        torch.testing.assert_close(actual, expected)


def test_for_the_gradient_of_the_input_alone_none_is_computed_for_weights():
    flow, x = build("hamiltonian")
    x.requires_grad_()
    loss = flow(x).square().sum()
    input_counts = []
    original_grad = torch.autograd.grad

    def recording_grad(outputs, inputs, *args, **kwargs):
        input_counts.append(len(inputs))
        return original_grad(outputs, inputs, *args, **kwargs)

    torch.autograd.grad = recording_grad
    try:
        (input_gradient,) = original_grad(loss, x, retain_graph=True)
        assert set(input_counts) == {1}  # within the backward pass: only the state
        input_counts.clear()
        gradients = original_grad(loss, (x, flow.K1), retain_graph=True)
        assert max(input_counts) == 2  # the state and K1
    finally:
        torch.autograd.grad = original_grad
    torch.testing.assert_close(input_gradient, gradients[0])


def test_several_threads_may_train_one_flow():
    def make_block():
        return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh())

    flow, errors = reversible(make_blocks(make_block)), []
    batch = make_input()  # once, since it seeds the global stream
    x = batch.clone().requires_grad_()
    (expected,) = torch.autograd.grad(flow(x).square().sum(), x)
    # A backward pass may change the momentum of norms only for a repeated evaluation.
    momenta = [m.momentum for m in flow.modules() if isinstance(m, nn.BatchNorm1d)]

    def run_in_thread(mode):
        try:
            for _ in range(10):
                thread_input = batch.clone().requires_grad_()
                flow.memory = mode
                (actual,) = torch.autograd.grad(flow(thread_input).square().sum(), thread_input)
                torch.testing.assert_close(actual, expected)
        except Exception as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run_in_thread, args=(m,)) for m in ("reversible", "stored", 0)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert momenta == [m.momentum for m in flow.modules() if isinstance(m, nn.BatchNorm1d)]


def test_gradients_in_half_precision_do_not_overflow():
    class HalfPrecisionRate(HamiltonianFlow):
        def rate_Y(self, Z, K1, b1):
            return super().rate_Y(Z, K1, b1).half().float()

    # The gradients overflow float16 (65504), unless they are multiplied by h first.
    flow = HalfPrecisionRate(4, 3, h=1e-3)
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    (actual,) = torch.autograd.grad(6e7 * flow(x).sum(), x)
    flow.memory = "stored"
    (expected,) = torch.autograd.grad(6e7 * flow(x).sum(), x)
    assert actual.isfinite().all()
    torch.testing.assert_close(actual, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))


def test_blocks_may_differentiate_within():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            with torch.enable_grad():
                x = x if x.requires_grad else x.detach().requires_grad_()
                energy = torch.tanh(self.linear(x)).square().sum()
                (force,) = torch.autograd.grad(energy, x, create_graph=True)
            return -force

    assert_same_as_stored(
        reversible(make_blocks(Force)), make_input(), modes=("reversible", "checkpoint")
    )


def test_the_dtype_of_the_output_does_not_depend_on_the_mode():
    class SinglePrecisionBlock(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x):
            return self.linear(x.float())

    flow = reversible([SinglePrecisionBlock() for _ in range(3)])
    dtypes = set()
    for mode in ("stored", "reversible", "checkpoint"):
        flow.memory = mode
        dtypes.add(flow(make_input().bfloat16()).dtype)
    assert dtypes == {torch.float32}


def test_a_state_may_be_a_scalar():
    class Scaling(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.3))

        def forward(self, x):
            return torch.tanh(self.weight * x)

    assert_same_as_stored(reversible(make_blocks(Scaling)), torch.tensor(0.7, dtype=torch.float64),
                     modes=("reversible", "checkpoint"))  # fmt: skip
