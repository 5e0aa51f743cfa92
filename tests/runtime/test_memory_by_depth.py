"""A network of 1202 layers trains with the activation memory of one of 14."""

from __future__ import annotations

import torch
from torch.autograd.graph import saved_tensors_hooks

from tests.runtime.handwritten import HamiltonianFlow

LAYERS_PER_STEP = 2  # one for each half of the state


def train_one_step(layers):
    """One step of SGD: the bytes autograd saved, the loss before and after, and the drift."""
    torch.manual_seed(0)
    steps = layers // LAYERS_PER_STEP
    flow, u = HamiltonianFlow(4, steps, h=1 / steps), torch.randn(2, 4, 4, 4)
    weight_pointers = {p.untyped_storage().data_ptr() for p in flow.parameters()}
    saved_sizes = {}

    def pack(tensor):
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in weight_pointers:
            saved_sizes[pointer] = tensor.nbytes
        return tensor

    optimizer = torch.optim.SGD(flow.parameters(), lr=1e-3)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = flow(u)
        loss = out.square().mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in flow.parameters())
    optimizer.step()
    with torch.no_grad():
        loss_after = flow(u).square().mean()
    return sum(saved_sizes.values()), loss.item(), loss_after.item(), flow.drift


def test_a_network_of_1202_layers_trains_with_the_activations_of_one_of_14():
    shallow_bytes, *_ = train_one_step(14)
    deep_bytes, loss_before, loss_after, drift = train_one_step(1202)
    assert deep_bytes == shallow_bytes > 0
    assert loss_after < loss_before
    assert drift < 1e-4
