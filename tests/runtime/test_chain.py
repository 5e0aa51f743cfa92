from __future__ import annotations

import pytest
import torch
from handwritten import (
    DropoutFlow,
    GroupsFlow,
    HamiltonianFlow,
    LeapfrogFlow,
    ListaFlow,
    MidpointFlow,
    MomentumFlow,
    NormFlow,
    SharedMomentumFlow,
)

from odenet.testing import assert_gradients, assert_invertible

FLOWS = {
    "hamiltonian": (HamiltonianFlow, (2, 4, 5, 6)),
    "midpoint": (MidpointFlow, (2, 3, 5, 4)),
    "leapfrog": (LeapfrogFlow, (2, 3, 5, 4)),
    "momentum": (MomentumFlow, (3, 3, 5, 4)),
    "momentum with dropout": (DropoutFlow, (2, 3, 5, 4)),
    "momentum with a shared map": (SharedMomentumFlow, (2, 3, 5, 4)),
    "batch norms inside": (NormFlow, (3, 4, 5, 4)),
    "exogenous input": (ListaFlow, (4, 5)),
    "groups": (GroupsFlow, (2, 8, 4, 5)),
}


def build(name, steps=10, **options):
    torch.manual_seed(7)
    kind, shape = FLOWS[name]
    flow = kind(shape[1], steps, **options).double()
    return flow, torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize("name", FLOWS)
def test_memory_free_gradients_are_those_of_plain_autograd(name):
    flow, u = build(name)
    assert flow.memory == "reversible"
    assert_gradients(flow, u, tolerance=1e-10)


@pytest.mark.parametrize("name", FLOWS)
def test_steps_are_undone(name):
    flow, u = build(name)
    assert_invertible(flow.eval(), u, tolerance=1e-10)
