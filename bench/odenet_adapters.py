"""How odenet trains the networks: adapters for each of its modes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import odenet
from bench.implementation import Implementation, NotExpressible, implementation_of
from bench.networks import Network, Size
from odenet.runtime import Flow

# The share of what plain autograd stores that `odenet_half_memory` may store; with the working
# memory of a step it comes to about half.
STORED_SHARE = 0.45


def odenet_reversible(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """A flow of the network's spec, or of its modules if it has none; it stores no activations."""
    if network.spec is None:
        return implementation_of(SplitFlow([tuple(pair) for pair in steps], network.axis), steps)
    flow = odenet.loads(network.spec).flow(channels=size.channels, steps=size.steps)
    if network.name == "momentum":
        for copy, (block,) in zip(flow.f, steps, strict=True):
            copy.load_state_dict(block.state_dict())
        return Implementation(
            flow, lambda: [p.grad for module in flow.f for p in module.parameters()]
        )
    stacked = [flow.K1, flow.b1, flow.K2, flow.b2]  # each with one slice per step
    with torch.no_grad():
        for n, halves in enumerate(steps):
            for parameter, weight in zip(stacked, halves.parameters(), strict=True):
                parameter[n] = weight.view_as(parameter[n])
    return Implementation(
        flow, lambda: [p.grad[n].squeeze() for n in range(size.steps) for p in stacked]
    )


class SplitFlow(nn.Module):
    """A flow of additive couplings on the two halves of the input.

    Args:
        couplings: the two modules of each step.
        axis: the axis along which the input is split.
    """

    def __init__(self, couplings: list[tuple[nn.Module, ...]], axis: int):
        super().__init__()
        self.flow = odenet.reversible(couplings, "verlet")
        self.axis = axis

    def forward(self, u: Tensor) -> Tensor:
        """The state after the last step, both halves joined."""
        return torch.cat(self.flow.evolve(u.chunk(2, self.axis)), self.axis)


def odenet_compiled(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """The reversible flow with a step and its inverse compiled by torch.compile."""
    if network.spec is None:
        raise NotExpressible("compiles specifications, not modules")
    implementation = odenet_reversible(network, steps, size)
    implementation.module.compile()
    return implementation


def odenet_half_memory(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """As many steps stored as fit into half the memory of plain autograd, the rest reversed."""
    implementation = odenet_reversible(network, steps, size)

    def set_budget(module: Flow | SplitFlow, inputs: tuple[Tensor]) -> None:
        """Sets it at the first call, when device and precision are those of the measurement."""
        flow = module.flow if isinstance(module, SplitFlow) else module
        if flow.memory == "reversible":
            flow.memory = 1  # a byte: this call may be within a measurement
            module(*inputs)  # finds how many bytes a stored step takes
            flow.memory = int(STORED_SHARE * size.steps * max(flow.step_bytes.values()))

    implementation.module.register_forward_pre_hook(set_budget)
    return implementation
