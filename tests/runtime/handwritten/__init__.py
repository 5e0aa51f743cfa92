"""Flows written by hand in exactly the form that the compiler generates."""

import torch

from tests.runtime.handwritten.papers import (
    HamiltonianFlow,
    LeapfrogFlow,
    MidpointFlow,
    MomentumFlow,
    TwoStepState,
)
from tests.runtime.handwritten.variants import (
    DropoutFlow,
    EulerFlow,
    GroupsFlow,
    ListaFlow,
    NormFlow,
    SharedMomentumFlow,
)

__all__ = [
    "FLOWS",
    "DropoutFlow",
    "EulerFlow",
    "GroupsFlow",
    "HamiltonianFlow",
    "LeapfrogFlow",
    "ListaFlow",
    "MidpointFlow",
    "MomentumFlow",
    "NormFlow",
    "SharedMomentumFlow",
    "TwoStepState",
    "build",
]

FLOWS = {  # the class, and the shape of an input
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
    """A flow of `FLOWS` in double precision, and a random input for it."""
    torch.manual_seed(7)
    flow_class, shape = FLOWS[name]
    flow = flow_class(shape[1], steps, **options).double()
    return flow, torch.randn(shape, dtype=torch.float64)
