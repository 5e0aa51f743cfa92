"""Twelve hundred layers train with the memory of fourteen."""

from __future__ import annotations

import torch
from torch.autograd.graph import saved_tensors_hooks

from tests.runtime.handwritten import HamiltonianFlow

LAYERS_PER_STEP = 2  # one for each half of the state


def train_a_step(layers):
    """A step of plain descent; what autograd held, and the loss before and after."""
    torch.manual_seed(0)
    steps = layers // LAYERS_PER_STEP
    flow, u = HamiltonianFlow(4, steps, h=1 / steps), torch.randn(2, 4, 4, 4)
    own = {p.untyped_storage().data_ptr() for p in flow.parameters()}
    held = {}

    def pack(tensor):
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            held[place] = tensor.nbytes
        return tensor

    optimizer = torch.optim.SGD(flow.parameters(), lr=1e-3)
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = flow(u)
        loss = out.square().mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in flow.parameters())
    optimizer.step()
    with torch.no_grad():
        after = flow(u).square().mean()
    return sum(held.values()), loss.item(), after.item(), flow.drift


def test_a_network_of_1202_layers_trains_with_the_activations_of_one_of_14():
    shallow, *_ = train_a_step(14)
    deep, before, after, drift = train_a_step(1202)
    assert deep == shallow > 0
    assert after < before
    assert drift < 1e-4
