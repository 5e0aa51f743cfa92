"""An optimizer in the backward pass moves weights as one after it does, one step's at a time."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.utils.checkpoint import checkpoint

import odenet
from odenet import OptimizerInBackward
from odenet.footprint.allocator import Peak

PAIR = "state Y, Z\nparam K1, K2 : conv(3)\nparam b : bias\n"
FIELDS = "Y' = K1^T tanh(K1 Z + b)\nZ' = -K2^T tanh(K2 Y + b)\n"
ONE = "state Y\nparam K : conv(3)\nparam b : bias\n"
SPLIT = """
scheme halves {
    for Y' = F(Z), Z' = G(Y)
    M = Y[n] + h/2 F(Z[n])
    Z[n+1] = Z[n] + h G(M)
    Y[n+1] = M + h/2 F(Z[n+1])
}
"""
SPECS = {
    "verlet": f"{PAIR}{FIELDS}discretise verlet(h = 0.1)",
    "splitting": f"{PAIR}{FIELDS}{SPLIT}discretise halves(h = 0.1)",
    "leapfrog": f"{ONE}Y'' = -K^T tanh(K Y + b)\ndiscretise leapfrog(h = 0.1)",
    "midpoint": f"{ONE}Y' = tanh((K - K^T) Y + b)\ndiscretise midpoint(h = 0.1)",
    "momentum": "state Y\nmap f = conv(3) -> bn -> tanh -> conv(3)\nY' = f(Y)\n"
    "discretise momentum(γ = 0.9)",
    "start at F": f"{ONE}Y' = tanh(K Y + b)\ndiscretise momentum(γ = 0.9) start v[0] = f(x[0])",
    "learned constants": f"{ONE}Y' = tanh(K Y + b)\ndiscretise momentum(γ = learned(0.9))",
    "knots": "state Y, Z\nparam K1 : conv(3, knots = 3)\nparam K2 : conv(3)\n"
    "Y' = K1^T tanh(K1 Z)\nZ' = -K2^T tanh(K2 Y)\ndiscretise verlet(h = 0.1)",
    "shared": "state Y, Z\nshared param K1 : conv(3)\nparam K2 : conv(3)\n"
    "Y' = K1^T tanh(K1 Z)\nZ' = -K2^T tanh(K2 Y)\ndiscretise verlet(h = 0.1)",
    "no inverse": f"{ONE}Y' = tanh(K Y + b)\ndiscretise heun(h = 0.1)",
}
NET = "\nnet = input(4, 6, 6) -> conv(3, 4) -> flow(4) -> mean -> dense(3)\n"
OPTIMIZERS = {
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True, weight_decay=1e-2),
    "adamw": lambda p: torch.optim.AdamW(p, 1e-2),
    "adafactor": lambda p: torch.optim.Adafactor(p, 1e-2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 1e-3),
}
ADAMW = OPTIMIZERS["adamw"]


def batches(shape, count=3, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(count)]


def network_of(text, dtype=torch.float64):
    torch.manual_seed(0)
    return odenet.loads(text + NET).network().to(dtype)


def ordinary(network, optimizer, inputs, clip=0.0):
    for x in inputs:
        network(x).square().mean().backward()
        if clip:
            clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()


def same(one, other):
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def trained_both_ways(network, inputs, make=ADAMW):
    """The network in the ordinary way, and its copy in the other."""
    torch.manual_seed(3)
    twin = copy.deepcopy(network)
    ordinary(network, make(network.parameters()), inputs)
    torch.manual_seed(3)
    OptimizerInBackward(twin, make(twin.parameters()))
    for x in inputs:
        twin(x).square().mean().backward()
        assert all(p.grad is None for p in twin.parameters())
    return network, twin


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SPECS)
def test_weights_are_those_of_the_ordinary_way_bit_for_bit(name, dtype):
    makes = ("nesterov", "adamw") if dtype == torch.float64 else ("adamw",)
    for make in makes:
        network = network_of(SPECS[name], dtype)
        inputs = batches((2, 4, 6, 6), dtype=dtype)
        assert same(*trained_both_ways(network, inputs, OPTIMIZERS[make])), make


@pytest.mark.parametrize("memory", ["stored", "checkpoint", "4kB"])
@pytest.mark.parametrize("name", ["verlet", "knots", "learned constants"])
def test_it_is_so_in_every_memory_mode(name, memory):
    network = network_of(SPECS[name])
    for flow in (m for m in network.modules() if hasattr(m, "anchors")):
        flow.memory = memory
    assert same(*trained_both_ways(network, batches((2, 4, 6, 6), 2)))


def test_exact_arithmetic_and_anchors_go_with_it():
    for setting in ({"exact": True}, {"anchors": 2}):
        network = network_of(SPECS["momentum"], torch.float32)
        for flow in (m for m in network.modules() if hasattr(m, "anchors")):
            vars(flow).update(setting)
        assert same(*trained_both_ways(network, batches((2, 4, 6, 6), 2, torch.float32)))


def layer(width=8):
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.Dropout(0.2), nn.GELU())


class Deep(nn.Module):
    """Layers, a flow of modules, layers."""

    def __init__(self, flow):
        super().__init__()
        self.stem, self.flow, self.head = nn.Linear(6, 8), flow, nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.flow(self.stem(x)))


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("scheme", [("momentum", {"gamma": 0.9}), ("midpoint", {"h": 0.1})])
def test_modules_of_others_are_moved_the_same_way(scheme, make):
    torch.manual_seed(0)
    flow = odenet.reversible([layer() for _ in range(4)], scheme[0], **scheme[1])
    network = Deep(flow).double()
    assert same(*trained_both_ways(network, batches((4, 6), 2), OPTIMIZERS[make]))


def test_pairs_autocast_and_frozen_weights():
    torch.manual_seed(0)
    flow = odenet.reversible([(layer(4), layer(4)) for _ in range(4)], "verlet", h=1, dim=-1)
    network = Deep(flow)
    for parameter in network.flow.f[1].parameters():
        parameter.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        assert same(*trained_both_ways(network, batches((4, 6), 2, torch.float32)))


def test_a_converted_network():
    torch.manual_seed(0)
    each = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(each, 3, enable_nested_tensor=False)
    network = odenet.convert(encoder, gamma=0.9).double()
    assert same(*trained_both_ways(network, batches((2, 5, 8), 2)))


class Tied(nn.Module):
    """One layer in two steps of a flow, in another flow, and outside of both."""

    def __init__(self):
        super().__init__()
        self.tied = nn.Linear(8, 8)
        first = [self.tied, layer(), self.tied, layer()]
        self.first = odenet.reversible(first, "midpoint", h=0.1)
        self.second = odenet.reversible([layer(), self.tied], "midpoint", h=0.1)

    def forward(self, x):
        return self.tied(self.second(self.tied(self.first(x))))


def test_a_tied_weight_moves_when_its_last_use_has_been_gone_back_over():
    torch.manual_seed(0)
    one, other = trained_both_ways(Tied().double(), batches((3, 8)))
    assert same(one, other)


def test_a_stack_that_two_flows_share():
    def shared():
        network = network_of(SPECS["verlet"])
        flow = network[1]
        network.insert(2, copy.deepcopy(flow))
        network[2].K1, network[2].b = flow.K1, flow.b
        return network

    assert same(*trained_both_ways(shared(), batches((2, 4, 6, 6))))


def test_further_inputs_and_results_keep_their_gradients():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(8, 8)

        def forward(self, x, memory):
            y = torch.tanh(self.map(x) + memory)
            return y, {"size": y.square().mean()}

    def loss(flow, x, memory):
        return flow(x, memory).square().mean() + flow.collected["size"]

    torch.manual_seed(0)
    flow = odenet.reversible([Block() for _ in range(3)], "midpoint", h=0.1).double()
    twin = copy.deepcopy(flow)
    optimizer = ADAMW(flow.parameters())
    OptimizerInBackward(twin, ADAMW(twin.parameters()))
    for x in batches((3, 8)):
        memory, other = (torch.ones(3, 8, dtype=torch.float64, requires_grad=True) for _ in "ab")
        loss(flow, x, memory).backward()
        optimizer.step()
        optimizer.zero_grad()
        loss(twin, x, other).backward()
        assert torch.equal(memory.grad, other.grad)
    assert same(flow, twin)


# What lives when


def peak_of_a_step(steps, in_backward, build):
    torch.manual_seed(0)
    flow, x = build(steps)
    optimizer = torch.optim.SGD(flow.parameters(), 0.1)
    if in_backward:
        OptimizerInBackward(flow, optimizer)
    for _ in range(2):  # the first one makes what is kept
        with Peak("cpu") as peak:
            flow(x).sum().backward()
        optimizer.zero_grad()
    return peak.highest


def stacked(steps):
    flow = odenet.loads(SPECS["verlet"]).flow(16, steps)
    return flow, torch.randn(1, 16, 4, 4)


def of_modules(steps):
    flow = odenet.reversible([nn.Linear(64, 64) for _ in range(steps)], "midpoint", h=0.1)
    return flow, torch.randn(2, 64)


@pytest.mark.parametrize("build", [stacked, of_modules])
def test_gradients_of_one_step_live_at_a_time(build):
    of_step = sum(p.nbytes for p in build(12)[0].parameters()) // 12
    ordinary = peak_of_a_step(12, False, build) - peak_of_a_step(4, False, build)
    early = peak_of_a_step(12, True, build) - peak_of_a_step(4, True, build)
    assert ordinary >= 8 * of_step
    assert early <= 0.1 * 8 * of_step


@pytest.mark.parametrize(
    "scheme", [("momentum", {"gamma": 0.9}), ("midpoint", {"h": 0.1}), ("verlet", {"h": 0.1})]
)
def test_every_step_is_undone_with_the_weights_that_it_was_taken_with(scheme):
    read = []

    class Noting(nn.Linear):
        def forward(self, x):
            read.append(self.weight.detach().clone())
            return torch.tanh(super().forward(x))

    torch.manual_seed(0)
    width = 4 if scheme[0] == "verlet" else 8
    maps = [Noting(width, width) for _ in range(12)]
    blocks = list(zip(maps[::2], maps[1::2], strict=True)) if width == 4 else maps
    flow = odenet.reversible(blocks, scheme[0], **scheme[1]).double()
    OptimizerInBackward(flow, torch.optim.SGD(flow.parameters(), 10.0))
    flow(torch.randn(2, 8).double()).square().sum().backward()
    there, back = read[-24:-12], read[-12:]  # midpoint's first step is Euler's
    assert all(map(torch.equal, there, reversed(back)))
    assert flow.drift < 1e-12
    assert not any(map(torch.equal, there, (m.weight for m in maps)))


# Clipping, accumulation, schedules, state


@pytest.mark.parametrize("name", ["verlet", "momentum", "shared"])
def test_exact_clipping_is_clip_grad_norm_to_rounding(name):
    network = network_of(SPECS[name])
    twin, inputs = copy.deepcopy(network), batches((2, 4, 6, 6))
    ordinary(network, torch.optim.SGD(network.parameters(), 0.1, 0.9), inputs, clip=1e-3)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1, 0.9)
    moving = OptimizerInBackward(twin, optimizer, clip=1e-3)
    for x in inputs:
        moving.backward(twin(x).square().mean())
    assert moving.norm > 2e-3
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)


def test_clipping_by_the_last_norm():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    clip, (x, other) = 0.1, batches((5, 4), 2)
    moving = OptimizerInBackward(layers, torch.optim.SGD(layers.parameters(), 0.0), clip, "last")
    factors = {}
    for p in layers.parameters():  # called before the one that moves it has used the gradient up
        p.register_hook(lambda g, p=p: factors.update({id(p): g.clone()}))
    layers(x).square().sum().backward()
    last = moving.norm
    whole = torch.cat([g.flatten() for g in factors.values()]).norm()
    torch.testing.assert_close(last, whole)
    before = [p.detach().clone() for p in layers.parameters()]
    moving.optimizer.param_groups[0]["lr"] = 1.0
    layers(1e-3 * other).square().sum().backward()
    for p, old in zip(layers.parameters(), before, strict=True):
        torch.testing.assert_close(old - p.detach(), factors[id(p)] * (clip / (last + 1e-6)))


def test_a_first_step_clipped_by_the_last_norm_moves_no_weight_by_more():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    before = [p.detach().clone() for p in layers.parameters()]
    OptimizerInBackward(layers, torch.optim.SGD(layers.parameters(), 1.0), 0.1, "last")
    (1e6 * layers(batches((5, 4), 1)[0]).sum()).backward()
    for old, new in zip(before, layers.parameters(), strict=True):
        assert (old - new).norm() <= 0.1


def test_a_pass_with_a_nan_does_not_reach_into_the_next():
    weight = nn.Parameter(torch.ones(2))
    parts = nn.ParameterList([weight])
    optimizer = torch.optim.SGD(parts.parameters(), lr=1.0)
    moving = OptimizerInBackward(parts, optimizer, clip=1.0, clip_by="last")
    for bad in (float("nan"), float("inf")):
        (weight.sum() * bad).backward()
        weight.data.fill_(1.0)
        (weight * torch.tensor([3.0, 4.0])).sum().backward()
        assert moving.norm == 5.0
        torch.testing.assert_close(weight.data, torch.tensor([0.4, 0.2]))


def test_a_limit_that_is_not_one_and_weights_of_another_network_are_refused():
    linear, other = nn.Linear(2, 2), nn.Linear(2, 2)
    for clip in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="largest norm"):
            OptimizerInBackward(linear, ADAMW(linear.parameters()), clip=clip)
    with pytest.raises(ValueError, match="no parameter of the network"):
        OptimizerInBackward(linear, ADAMW(other.parameters()))


def test_gradients_of_micro_batches_wait_for_the_last():
    network = network_of(SPECS["verlet"])
    twin, inputs = copy.deepcopy(network), batches((2, 4, 6, 6), 4)
    optimizer = ADAMW(network.parameters())
    moving = OptimizerInBackward(twin, ADAMW(twin.parameters()))
    for one, two in (inputs[:2], inputs[2:]):
        for x in (one, two):
            network(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        with moving.accumulating():
            twin(one).square().mean().backward()
        twin(two).square().mean().backward()
    assert same(network, twin)


def test_groups_schedules_and_saved_states_are_those_of_the_optimizer():
    def made(network):
        weights = [p for p in network.parameters() if p.ndim > 2]
        rest = [p for p in network.parameters() if p.ndim <= 2]
        groups = [{"params": weights, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, 1e-2)
        return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    network = network_of(SPECS["knots"])
    twin = copy.deepcopy(network)
    (optimizer, schedule), (own, other) = made(network), made(twin)
    OptimizerInBackward(twin, own)
    for x in batches((2, 4, 6, 6)):
        ordinary(network, optimizer, [x])
        schedule.step()
        twin(x).square().mean().backward()
        own.step()  # as loops have it: nothing is left to do
        other.step()
    assert same(network, twin)
    saved, theirs = own.state_dict(), optimizer.state_dict()
    assert saved["param_groups"] == theirs["param_groups"]
    for place, entry in theirs["state"].items():
        assert all(torch.equal(value, saved["state"][place][k]) for k, value in entry.items())

    third = copy.deepcopy(network)  # goes on from what the ordinary way saved
    fresh, _ = made(third)
    OptimizerInBackward(third, fresh)
    fresh.load_state_dict(copy.deepcopy(theirs))
    fourth = copy.deepcopy(network)  # and takes over an optimizer under way
    late, _ = made(fourth)
    late.load_state_dict(copy.deepcopy(theirs))
    OptimizerInBackward(fourth, late)
    (x,) = batches((2, 4, 6, 6), 1)
    ordinary(network, optimizer, [x])
    for one in (third, fourth):
        one(x).square().mean().backward()
        assert same(network, one)


def test_gradients_that_are_asked_for_are_given_and_move_nothing():
    network = network_of(SPECS["verlet"])
    twin = copy.deepcopy(network)
    OptimizerInBackward(twin, ADAMW(twin.parameters()))
    x = batches((2, 4, 6, 6), 1)[0].requires_grad_()
    found = [torch.autograd.grad(n(x).sum(), (x, n[0].weight)) for n in (network, twin)]
    assert all(map(torch.equal, *found))
    assert same(network, twin)


# Refusals


def test_weights_that_moved_are_not_gone_back_over_again():
    network = network_of(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    loss = network[1](torch.randn(2, 4, 6, 6).double()).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_penalty_on_a_whole_stack_is_refused_and_smoothness_is_not():
    network = network_of(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    with pytest.raises(RuntimeError, match=r"1\.K1 is read outside of the steps"):
        network[1].K1.square().sum().backward()
    network, inputs = network_of(SPECS["knots"]), batches((2, 4, 6, 6))
    twin, optimizer = copy.deepcopy(network), ADAMW(network.parameters())
    OptimizerInBackward(twin, ADAMW(twin.parameters()))
    for x in inputs:
        (network(x).square().mean() + network[1].smoothness()).backward()
        optimizer.step()
        optimizer.zero_grad()
        (twin(x).square().mean() + twin[1].smoothness()).backward()
    assert same(network, twin)


class Counting(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
        return super().step(closure)


def test_optimizers_that_need_all_gradients_at_once_are_refused():
    linear = nn.Linear(3, 3)
    with pytest.raises(TypeError, match="LBFGS evaluates the loss within its step"):
        OptimizerInBackward(linear, torch.optim.LBFGS(linear.parameters()))
    OptimizerInBackward(linear, Counting(linear.parameters(), 0.1))
    with pytest.raises(RuntimeError, match="Counting keeps `k` for a whole group"):
        linear(torch.ones(1, 3)).sum().backward()


def test_exact_clipping_asks_for_its_own_backward():
    linear = nn.Linear(3, 3)
    moving = OptimizerInBackward(linear, ADAMW(linear.parameters()), clip=1.0)
    with pytest.raises(RuntimeError, match="exact clipping takes two backward passes"):
        linear(torch.ones(1, 3)).sum().backward()
    with pytest.raises(ValueError, match="cannot be clipped exactly"), moving.accumulating():
        pass
    with pytest.raises(ValueError, match='"exact" or "last"'):
        OptimizerInBackward(linear, ADAMW(linear.parameters()), 1.0, "always")


def test_a_reentrant_checkpoint_is_refused():
    linear = nn.Linear(3, 3)
    OptimizerInBackward(linear, ADAMW(linear.parameters()))
    x = torch.ones(1, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="say use_reentrant=False"):
        checkpoint(linear, x, use_reentrant=True).sum().backward()
    checkpoint(linear, x, use_reentrant=False).sum().backward()


def test_a_network_that_is_converted_afterwards_is_refused():
    network = network_of(SPECS["verlet"], torch.float32)
    OptimizerInBackward(network, ADAMW(network.parameters()))
    network.double()
    with pytest.raises(RuntimeError, match="was moved or converted after"):
        network(torch.randn(2, 4, 6, 6).double())


def test_a_hook_on_the_gradient_of_a_stack_is_refused():
    network = network_of(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    network[1].K1.register_hook(lambda gradient: gradient)
    with pytest.raises(RuntimeError, match="put it on the slices"):
        network(torch.randn(2, 4, 6, 6).double())


def test_copies_are_without_it():
    network = network_of(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    twin = copy.deepcopy(network)
    twin(torch.randn(2, 4, 6, 6).double()).sum().backward()
    assert twin[1].K1.grad is not None
