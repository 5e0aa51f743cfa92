"""Two processes (DDP, FSDP2) give the gradients of a single one, without changes to the user's code."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from odenet import convert, reversible
from tests.runtime.handwritten import HamiltonianFlow, MomentumFlow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not dist.is_available(), reason="torch without distributed"),
]
ROUNDS = 2  # backward passes whose gradients are accumulated


class Network(torch.nn.Module):
    """A flow of stacked parameters, then a flow of modules."""

    def __init__(self):
        super().__init__()
        self.first = HamiltonianFlow(4, 5, h=0.2)
        self.second = MomentumFlow(4, 4)

    def forward(self, x):
        return self.second(self.first(x))


def build_network():
    torch.manual_seed(0)
    # Statistics of a batch differ from those of its halves: frozen norms make the runs comparable.
    network = Network().double().eval()
    return network, torch.randn(ROUNDS, 4, 4, 5, 5, dtype=torch.float64)


def gradients(network, batches, switch_sync=None):
    for n, batch in enumerate(batches):
        if switch_sync is not None:
            switch_sync(n == len(batches) - 1)  # gradients are averaged once, in the last round
        network(batch).square().mean().backward()
    return {
        name.removeprefix("module."): p.grad.full_tensor()
        if hasattr(p.grad, "full_tensor")
        else p.grad
        for name, p in network.named_parameters()
    }


def wrap_in_ddp(network):
    """The network in DistributedDataParallel, and the function that switches its averaging."""
    network = DistributedDataParallel(network)

    def switch_sync(is_on):
        network.require_backward_grad_sync = is_on

    return network, switch_sync


def shard_by_flow(network):
    """The network in FSDP2 with a unit for each flow, and the function that switches its averaging."""
    mesh = init_device_mesh("cpu", (2,))
    for part in (network.first, network.second, network):
        fully_shard(part, mesh=mesh)
    return network, network.set_requires_gradient_sync


def shard_by_block(network):
    """As `shard_by_flow`, with a unit for each block of modules, as large models are sharded."""
    mesh = init_device_mesh("cpu", (2,))
    for part in (*network.second.f, network):
        fully_shard(part, mesh=mesh)
    return network, network.set_requires_gradient_sync


WRAPPERS = (wrap_in_ddp, shard_by_flow, shard_by_block)


class StatefulBlock(torch.nn.Module):
    """Draws from a generator of its own, counts its evaluations, and normalises by the batch."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6)
        self.generator, self.evaluations = torch.Generator().manual_seed(1), 0

    def forward(self, x):
        self.evaluations += 1
        mask = torch.rand(x.shape, generator=self.generator) > 0.4
        return torch.tanh(self.norm(self.linear(x))) * mask / self.evaluations


def train_stateful_blocks(mode, shard):
    """Gradients and buffers of a flow of stateful blocks after two forward and backward passes."""
    torch.manual_seed(0)
    flow = reversible([StatefulBlock().double() for _ in range(3)])
    flow.memory = mode
    if shard:
        mesh = init_device_mesh("cpu", (2,))
        for part in (*flow.f, flow):
            fully_shard(part, mesh=mesh)
    torch.manual_seed(5)
    x = torch.randn(8, 6, dtype=torch.float64)
    for _ in range(2):
        flow.zero_grad()
        flow(x).square().sum().backward()
        flow.eval().train()  # as around an evaluation
    gradients = [p.grad for p in flow.parameters()]
    gradients = [g.full_tensor() if hasattr(g, "full_tensor") else g for g in gradients]
    return [*gradients, *(b.clone() for b in flow.buffers())]


def backward_of_two_calls(flow, x):
    loss = flow(x).sum() + flow(2 * x).sum()
    loss.backward()


def count_sent_buckets():
    """The number of gradient buckets sent before a backward pass ends, and of parameters of a flow."""
    flows = [HamiltonianFlow(4, 2) for _ in range(3)]
    # A bucket is so small that each holds one parameter.
    network = DistributedDataParallel(torch.nn.Sequential(*flows), bucket_cap_mb=1e-6)
    events = []

    def send(state, bucket):
        events.append("sent")
        return allreduce_hook(state, bucket)

    network.register_comm_hook(None, send)
    x = torch.randn(2, 4, 5, 5).requires_grad_()
    x.register_hook(lambda gradient: events.append("done"))
    for _ in range(2):  # torch sorts its buckets after the first pass
        events.clear()
        network(x).square().mean().backward()
    return events.index("done"), len(list(flows[0].parameters()))


class LayersWithShifts(torch.nn.Module):
    """A model that calls each of its layers with another `shift`."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(ShiftedLayer() for _ in range(3))

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(x, shift=number)
        return x


class ShiftedLayer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 6, dtype=torch.float64)

    def forward(self, x, shift):
        return x + torch.tanh(self.linear(x) + shift)


def converted_gradients(shard):
    """Gradients of a converted model with a unit for each layer, whose further inputs differ."""
    torch.manual_seed(0)
    x = torch.randn(4, 6, dtype=torch.float64)
    model = convert(LayersWithShifts(), gamma=0.7, example=x)
    if shard:
        for part in (*model.layers, model):
            fully_shard(part, mesh=init_device_mesh("cpu", (2,)))
    model(x).square().sum().backward()
    gradients = (parameter.grad for parameter in model.parameters())
    return [gradient.full_tensor() if shard else gradient for gradient in gradients]


def run_process(rank, folder):
    """One of the two processes; the one of rank 0 saves the results in the folder."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for wrapper in WRAPPERS:
        network, batches = build_network()
        network, switch_sync = wrapper(network)
        results = gradients(network, batches[:, 2 * rank : 2 * rank + 2], switch_sync)
        if rank == 0:
            torch.save(results, folder / f"{wrapper.__name__}.pt")
    for mode in ("stored", "reversible", "checkpoint"):
        results = train_stateful_blocks(mode, shard=True)
        if rank == 0:
            torch.save(results, folder / f"stateful {mode}.pt")
    results = converted_gradients(shard=True)
    if rank == 0:
        torch.save(results, folder / "converted.pt")
    results = count_sent_buckets()
    if rank == 0:
        torch.save(results, folder / "sent.pt")
    flow = reversible([torch.nn.Linear(6, 6) for _ in range(2)])
    for part in (*flow.f, flow):
        fully_shard(part, mesh=init_device_mesh("cpu", (2,)))
    with pytest.raises(RuntimeError, match="once per backward pass"):
        backward_of_two_calls(flow, torch.randn(2, 6))
    flow.memory = 1000  # a budget in bytes
    with pytest.raises(ValueError, match="units of FSDP2"):
        flow(torch.randn(2, 6))
    dist.barrier()  # a process that leaves early aborts the other one
    dist.destroy_process_group()
    # Threads of gloo that still run would now and then abort an ordinary exit.
    os._exit(0)


@pytest.fixture(scope="module")
def result_folder(tmp_path_factory):
    """The folder with the results of two processes."""
    folder = tmp_path_factory.mktemp("distributed")
    mp.spawn(run_process, args=(folder,), nprocs=2)
    return folder


@pytest.mark.parametrize("wrapper_name", [wrapper.__name__ for wrapper in WRAPPERS])
def test_two_processes_give_the_gradients_of_one(wrapper_name, result_folder):
    actual = torch.load(result_folder / f"{wrapper_name}.pt")
    expected = gradients(*build_network())
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_gradients_of_a_flow_are_sent_during_the_backward_of_the_flows_before_it(result_folder):
    sent_before_end, parameters_per_flow = torch.load(result_folder / "sent.pt")
    assert sent_before_end >= 2 * parameters_per_flow


@pytest.mark.parametrize("mode", ["stored", "reversible", "checkpoint"])
def test_fsdp_units_of_single_blocks_repeat_the_evaluations_of_the_forward_pass(
    result_folder, mode
):
    actual = torch.load(result_folder / f"stateful {mode}.pt")
    expected = train_stateful_blocks("stored", shard=False)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def test_fsdp_units_of_a_converted_model_get_their_own_further_inputs(result_folder):
    actual = torch.load(result_folder / "converted.pt")
    expected = converted_gradients(shard=False)
    torch.testing.assert_close(actual, expected)
