"""Where a pass through a network leaves the finite numbers, found by going through it again."""

import torch
from torch import Tensor, nn

from odenet.training.flows import flow_inputs, flows

GROWN = 1e6  # times its first value, at which a state is far from anything that was meant


@torch.no_grad()
def fault_of(network: nn.Module, inputs: Tensor) -> str:
    """The first flow, and its step, at which a state is not finite, or has grown beyond measure.

    Args:
        network: is left with changed statistics where it has any.
        inputs: of the pass.

    Returns:
        Words; empty if there is no such step.
    """
    for name, u in flow_inputs(network, inputs).items():
        flow = flows(network).get(name)
        if flow is None:  # a unit, whose flow comes later
            continue
        state = flow.begin(u)
        if not all(tensor.isfinite().all() for tensor in (u if isinstance(u, tuple) else (u,))):
            return f"what goes into flow {name} is not finite"
        first = _size(state)
        for step in range(flow.steps):
            state = flow.advance(state, step)
            size = _size(state)
            if not size.isfinite():
                return f"flow {name} gives inf or nan in step {step + 1} of {flow.steps}"
            if size > GROWN * first > 0:
                grown = f"{(size / first).item():.0e} times what they were at first"
                return (
                    f"the states of flow {name} are {grown} after step {step + 1} of {flow.steps}"
                )
    return ""


def _size(state: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([tensor.abs().amax() for tensor in state]).amax()
