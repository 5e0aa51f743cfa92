"""Two processes give the gradients of one; nothing special is asked of the user."""

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
ROUNDS = 2  # of gradient accumulation


class Network(torch.nn.Module):
    """Two stages, of stacked parameters and of modules."""

    def __init__(self):
        super().__init__()
        self.first = HamiltonianFlow(4, 5, h=0.2)
        self.second = MomentumFlow(4, 4)

    def forward(self, x):
        return self.second(self.first(x))


def build():
    torch.manual_seed(0)
    # Statistics of a batch differ from those of its halves: frozen norms make the runs comparable.
    net = Network().double().eval()
    return net, torch.randn(ROUNDS, 4, 4, 5, 5, dtype=torch.float64)


def gradients(net, batches, sync=None):
    for n, batch in enumerate(batches):
        if sync is not None:
            sync(n == len(batches) - 1)
        net(batch).square().mean().backward()
    return {
        name.removeprefix("module."): p.grad.full_tensor()
        if hasattr(p.grad, "full_tensor")
        else p.grad
        for name, p in net.named_parameters()
    }


def distributed(net):
    """DistributedDataParallel, and what switches its averaging on and off."""
    net = DistributedDataParallel(net)

    def sync(last):
        net.require_backward_grad_sync = last

    return net, sync


def sharded(net):
    """FSDP2 with a unit per flow."""
    mesh = init_device_mesh("cpu", (2,))
    for part in (net.first, net.second, net):
        fully_shard(part, mesh=mesh)
    return net, net.set_requires_gradient_sync


def sharded_by_block(net):
    """FSDP2 with a unit per block, as large models are sharded."""
    mesh = init_device_mesh("cpu", (2,))
    for part in (*net.second.f, net):
        fully_shard(part, mesh=mesh)
    return net, net.set_requires_gradient_sync


WRAPS = (distributed, sharded, sharded_by_block)


class Stateful(torch.nn.Module):
    """Draws from a generator of its own, counts, and normalises by the batch."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = torch.nn.Linear(6, 6), torch.nn.BatchNorm1d(6)
        self.generator, self.seen = torch.Generator().manual_seed(1), 0

    def forward(self, x):
        self.seen += 1
        kept = torch.rand(x.shape, generator=self.generator) > 0.4
        return torch.tanh(self.norm(self.linear(x))) * kept / self.seen


def stateful_units(mode, shard):
    """Gradients and buffers of two steps of training, and of a flow called twice."""
    torch.manual_seed(0)
    flow = reversible([Stateful().double() for _ in range(3)])
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
        flow.eval().train()
    grads = [p.grad for p in flow.parameters()]
    grads = [g.full_tensor() if hasattr(g, "full_tensor") else g for g in grads]
    return [*grads, *(b.clone() for b in flow.buffers())]


def overlapping(flow, x):
    loss = flow(x).sum() + flow(2 * x).sum()
    loss.backward()


def sent_while_going_back():
    """How many buckets of gradients are on their way before a backward pass is done."""
    flows = [HamiltonianFlow(4, 2) for _ in range(3)]
    net = DistributedDataParallel(torch.nn.Sequential(*flows), bucket_cap_mb=1e-6)
    happened = []

    def send(state, bucket):
        happened.append("sent")
        return allreduce_hook(state, bucket)

    net.register_comm_hook(None, send)
    x = torch.randn(2, 4, 5, 5).requires_grad_()
    x.register_hook(lambda gradient: happened.append("done"))
    for _ in range(2):  # torch sorts its buckets after the first pass
        happened.clear()
        net(x).square().mean().backward()
    return happened.index("done"), len(list(flows[0].parameters()))


class Shifted(torch.nn.Module):
    """A model whose layers are handed something else each."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList(Adding() for _ in range(3))

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(x, shift=number)
        return x


class Adding(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(6, 6, dtype=torch.float64)

    def forward(self, x, shift):
        return x + torch.tanh(self.linear(x) + shift)


def converted_units(shard):
    """Gradients of a converted model with a unit per layer, which have further inputs of their own."""
    torch.manual_seed(0)
    x = torch.randn(4, 6, dtype=torch.float64)
    model = convert(Shifted(), gamma=0.7, example=x)
    if shard:
        for part in (*model.layers, model):
            fully_shard(part, mesh=init_device_mesh("cpu", (2,)))
    model(x).square().sum().backward()
    gradients = (parameter.grad for parameter in model.parameters())
    return [gradient.full_tensor() if shard else gradient for gradient in gradients]


def work(rank, path):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}/meet", rank=rank, world_size=2)
    for wrap in WRAPS:
        net, batches = build()
        net, sync = wrap(net)
        found = gradients(net, batches[:, 2 * rank : 2 * rank + 2], sync)
        if rank == 0:
            torch.save(found, path / f"{wrap.__name__}.pt")
    for mode in ("stored", "reversible", "checkpoint"):
        found = stateful_units(mode, shard=True)
        if rank == 0:
            torch.save(found, path / f"stateful {mode}.pt")
    found = converted_units(shard=True)
    if rank == 0:
        torch.save(found, path / "converted.pt")
    found = sent_while_going_back()
    if rank == 0:
        torch.save(found, path / "sent.pt")
    flow = reversible([torch.nn.Linear(6, 6) for _ in range(2)])
    for part in (*flow.f, flow):
        fully_shard(part, mesh=init_device_mesh("cpu", (2,)))
    with pytest.raises(RuntimeError, match="once per backward pass"):
        overlapping(flow, torch.randn(2, 6))
    flow.memory = 1000
    with pytest.raises(ValueError, match="units of FSDP2"):
        flow(torch.randn(2, 6))
    dist.barrier()  # a process that leaves early aborts the other one
    dist.destroy_process_group()
    os._exit(
        0
    )  # threads of gloo that still run would now and then abort the end of the interpreter


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("distributed")
    mp.spawn(work, args=(path,), nprocs=2)
    return path


@pytest.mark.parametrize("kind", [wrap.__name__ for wrap in WRAPS])
def test_two_processes_give_the_gradients_of_one(kind, results):
    found = torch.load(results / f"{kind}.pt")
    expected = gradients(*build())
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_gradients_of_a_flow_are_sent_while_the_flows_before_it_go_back(results):
    sent, of_a_flow = torch.load(results / "sent.pt")
    assert sent >= 2 * of_a_flow


@pytest.mark.parametrize("mode", ["stored", "reversible", "checkpoint"])
def test_units_per_block_repeat_what_the_forward_found(results, mode):
    found = torch.load(results / f"stateful {mode}.pt")
    expected = stateful_units("stored", shard=False)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_units_of_a_converted_model_have_their_own_further_inputs(results):
    found, expected = torch.load(results / "converted.pt"), converted_units(shard=False)
    torch.testing.assert_close(found, expected)
