"""How odenet trains the networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import odenet
from bench.contender import Contender, Unable, of_steps
from bench.networks import Network, Size
from odenet.runtime import Flow

HALF = 0.45  # of what plain autograd stores, which leaves room for the working memory of a step


def own(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """A compiled specification, with nothing stored; or a flow of the modules."""
    if network.spec is None:
        return of_steps(OfModules([tuple(row) for row in steps], network.axis), steps)
    flow = odenet.loads(network.spec).flow(channels=size.channels, steps=size.steps)
    if network.name == "momentum":
        for mine, (block,) in zip(flow.f, steps, strict=True):
            mine.load_state_dict(block.state_dict())
        return Contender(flow, lambda: [p.grad for module in flow.f for p in module.parameters()])
    stacks = [flow.K1, flow.b1, flow.K2, flow.b2]
    with torch.no_grad():
        for n, row in enumerate(steps):
            for stack, weight in zip(stacks, row.parameters(), strict=True):
                stack[n] = weight.view_as(stack[n])
    return Contender(flow, lambda: [s.grad[n].squeeze() for n in range(size.steps) for s in stacks])


class OfModules(nn.Module):
    """A flow whose steps evaluate pairs of modules, on the halves of an axis."""

    def __init__(self, pairs: list[tuple[nn.Module, ...]], axis: int):
        super().__init__()
        self.flow = odenet.reversible(pairs, "verlet")
        self.axis = axis

    def forward(self, u: Tensor) -> Tensor:
        """All steps, from the halves."""
        return torch.cat(self.flow.evolve(u.chunk(2, self.axis)), self.axis)


def own_compiled(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """The same with one step forward and one back compiled."""
    if network.spec is None:
        raise Unable("compiles specifications, not modules")
    contender = own(network, steps, size)
    contender.module.compile()
    return contender


def own_half(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """As many steps stored as fit into half the memory of plain autograd, the rest reversed."""
    contender = own(network, steps, size)

    def set_budget(module: Flow | OfModules, inputs: tuple[Tensor]) -> None:
        """At the first call, when device and precision are those of the measurement."""
        flow = module.flow if isinstance(module, OfModules) else module
        if flow.memory == "reversible":
            flow.memory = 1  # as little as can be: this call may be within a measurement
            module(*inputs)  # which finds what a step stores
            flow.memory = int(HALF * size.steps * max(flow.step_bytes.values()))

    contender.module.register_forward_pre_hook(set_budget)
    return contender
