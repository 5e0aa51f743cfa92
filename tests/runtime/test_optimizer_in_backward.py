"""An optimizer within the backward pass moves weights as an ordinary loop does, bit for bit.

It keeps the gradients of only one step of the flow in memory.
"""

import copy

import pytest
import torch
from torch import nn

import odenet
from odenet import OptimizerInBackward
from odenet.footprint.allocator import Peak
from odenet.runtime import Flow
from tests.runtime.optimizer_in_backward_networks import (
    ADAMW,
    OPTIMIZERS,
    SPECS,
    FlowBetweenLayers,
    batches,
    build_network,
    have_equal_states,
    make_layer,
    train_both_ways,
)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SPECS)
def test_weights_are_those_of_an_ordinary_loop_bit_for_bit(name, dtype):
    optimizers = ("nesterov", "adamw") if dtype == torch.float64 else ("adamw",)
    for optimizer in optimizers:
        network = build_network(SPECS[name], dtype)
        inputs = batches((2, 4, 6, 6), dtype=dtype)
        trained = train_both_ways(network, inputs, OPTIMIZERS[optimizer])
        assert have_equal_states(*trained), optimizer


@pytest.mark.parametrize("memory", ["stored", "checkpoint", "4kB"])
@pytest.mark.parametrize("name", ["verlet", "knots", "learned constants"])
def test_weights_are_the_same_both_ways_in_every_memory_mode(name, memory):
    network = build_network(SPECS[name])
    for flow in (m for m in network.modules() if isinstance(m, Flow)):
        flow.memory = memory
    assert have_equal_states(*train_both_ways(network, batches((2, 4, 6, 6), 2)))


def test_weights_are_the_same_both_ways_with_exact_arithmetic_and_with_anchors():
    for setting in ({"exact": True}, {"anchors": 2}):
        network = build_network(SPECS["momentum"], torch.float32)
        for flow in (m for m in network.modules() if isinstance(m, Flow)):
            vars(flow).update(setting)
        assert have_equal_states(*train_both_ways(network, batches((2, 4, 6, 6), 2, torch.float32)))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("scheme", "constants"), [("momentum", {"gamma": 0.9}), ("midpoint", {"h": 0.1})]
)
def test_weights_of_user_modules_are_the_same_both_ways(scheme, constants, optimizer):
    torch.manual_seed(0)
    flow = odenet.reversible([make_layer() for _ in range(4)], scheme, **constants)
    network = FlowBetweenLayers(flow).double()
    assert have_equal_states(*train_both_ways(network, batches((4, 6), 2), OPTIMIZERS[optimizer]))


def test_weights_are_the_same_both_ways_for_pairs_under_autocast_with_frozen_weights():
    torch.manual_seed(0)
    flow = odenet.reversible(
        [(make_layer(4), make_layer(4)) for _ in range(4)], "verlet", h=1, dim=-1
    )
    network = FlowBetweenLayers(flow)
    for parameter in network.flow.f[1].parameters():
        parameter.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        assert have_equal_states(*train_both_ways(network, batches((4, 6), 2, torch.float32)))


def test_weights_of_a_converted_network_are_the_same_both_ways():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    network = odenet.convert(encoder, gamma=0.9).double()
    assert have_equal_states(*train_both_ways(network, batches((2, 5, 8), 2)))


class Tied(nn.Module):
    """One layer in two steps of a flow, in another flow, and outside of both."""

    def __init__(self):
        super().__init__()
        self.tied = nn.Linear(8, 8)
        first = [self.tied, make_layer(), self.tied, make_layer()]
        self.first = odenet.reversible(first, "midpoint", h=0.1)
        self.second = odenet.reversible([make_layer(), self.tied], "midpoint", h=0.1)

    def forward(self, x):
        return self.tied(self.second(self.tied(self.first(x))))


def test_a_tied_weight_moves_only_after_the_backward_pass_of_all_its_uses():
    torch.manual_seed(0)
    network, twin = train_both_ways(Tied().double(), batches((3, 8)))
    assert have_equal_states(network, twin)


def test_a_stack_that_two_flows_share_moves_only_after_the_backward_pass_of_both():
    def share_stack():
        network = build_network(SPECS["verlet"])
        flow = network[1]
        network.insert(2, copy.deepcopy(flow))
        network[2].K1, network[2].b = flow.K1, flow.b
        return network

    assert have_equal_states(*train_both_ways(share_stack(), batches((2, 4, 6, 6))))


def test_further_inputs_and_results_keep_their_gradients():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(8, 8)

        def forward(self, x, context):
            y = torch.tanh(self.map(x) + context)
            return y, {"size": y.square().mean()}

    def loss(flow, x, context):
        return flow(x, context).square().mean() + flow.collected["size"]

    torch.manual_seed(0)
    flow = odenet.reversible([Block() for _ in range(3)], "midpoint", h=0.1).double()
    twin = copy.deepcopy(flow)
    optimizer = ADAMW(flow.parameters())
    OptimizerInBackward(twin, ADAMW(twin.parameters()))
    for x in batches((3, 8)):
        context = torch.ones(3, 8, dtype=torch.float64, requires_grad=True)
        twin_context = context.detach().clone().requires_grad_()
        loss(flow, x, context).backward()
        optimizer.step()
        optimizer.zero_grad()
        loss(twin, x, twin_context).backward()
        assert torch.equal(context.grad, twin_context.grad)
    assert have_equal_states(flow, twin)


# The memory of gradients


def peak_bytes(build_flow, steps, in_backward):
    """The most memory that one training step takes."""
    torch.manual_seed(0)
    flow, x = build_flow(steps)
    optimizer = torch.optim.SGD(flow.parameters(), 0.1)
    if in_backward:
        OptimizerInBackward(flow, optimizer)
    for _ in range(2):  # the first pass allocates what the second uses again
        with Peak("cpu") as peak:
            flow(x).sum().backward()
        optimizer.zero_grad()
    return peak.highest


def build_stacked_flow(steps):
    flow = odenet.loads(SPECS["verlet"]).flow(16, steps)
    return flow, torch.randn(1, 16, 4, 4)


def build_module_flow(steps):
    flow = odenet.reversible([nn.Linear(64, 64) for _ in range(steps)], "midpoint", h=0.1)
    return flow, torch.randn(2, 64)


@pytest.mark.parametrize("build_flow", [build_stacked_flow, build_module_flow])
def test_only_the_gradients_of_one_step_are_in_memory_at_a_time(build_flow):
    eight_steps_bytes = 8 * sum(p.nbytes for p in build_flow(12)[0].parameters()) // 12

    def growth(in_backward):
        return peak_bytes(build_flow, 12, in_backward) - peak_bytes(build_flow, 4, in_backward)

    assert growth(in_backward=False) >= eight_steps_bytes
    assert growth(in_backward=True) <= 0.1 * eight_steps_bytes


@pytest.mark.parametrize(
    ("scheme", "constants"),
    [("momentum", {"gamma": 0.9}), ("midpoint", {"h": 0.1}), ("verlet", {"h": 0.1})],
)
def test_every_step_is_undone_with_the_weights_that_it_was_taken_with(scheme, constants):
    weights_read = []

    class WeightRecorder(nn.Linear):
        def forward(self, x):
            weights_read.append(self.weight.detach().clone())
            return torch.tanh(super().forward(x))

    torch.manual_seed(0)
    width = 4 if scheme == "verlet" else 8  # a pair of maps takes half of the channels each
    maps = [WeightRecorder(width, width) for _ in range(12)]
    blocks = list(zip(maps[::2], maps[1::2], strict=True)) if scheme == "verlet" else maps
    flow = odenet.reversible(blocks, scheme, **constants).double()
    OptimizerInBackward(flow, torch.optim.SGD(flow.parameters(), 10.0))
    flow(torch.randn(2, 8).double()).square().sum().backward()
    # Before these, midpoint reads weights for the Euler step that it starts with.
    forward_weights = weights_read[-24:-12]
    backward_weights = weights_read[-12:]
    assert all(map(torch.equal, forward_weights, reversed(backward_weights)))
    assert flow.drift < 1e-12
    assert not any(map(torch.equal, forward_weights, (m.weight for m in maps)))
