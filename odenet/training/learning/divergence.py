"""Where the states of a network become infinite or NaN, found by a second forward pass."""

import torch
from torch import Tensor, nn

from odenet.training.flows import flow_inputs, flows

GROWTH_LIMIT = 1e6  # times the size of a flow's first state, beyond which it has certainly diverged


@torch.no_grad()
def divergence_of(network: nn.Module, inputs: Tensor) -> str:
    """Names the first flow and step whose state is not finite or exceeds `GROWTH_LIMIT`.

    Args:
        network: the network; its normalisations may update their running statistics.
        inputs: the inputs of the forward pass that went wrong.

    Returns:
        A phrase such as "flow 1 gives inf or nan in step 3 of 8"; empty if there is no such step.
    """
    for name, u in flow_inputs(network, inputs).items():
        flow = flows(network).get(name)
        if flow is None:  # a unit: a step that changes the shape, then a flow, which comes later
            continue
        state = flow.first_state(u)
        if not all(tensor.isfinite().all() for tensor in (u if isinstance(u, tuple) else (u,))):
            return f"what goes into flow {name} is not finite"
        first_size = _size(state)
        for step in range(flow.steps):
            state = flow.advance(state, step)
            size = _size(state)
            if not size.isfinite():
                return f"flow {name} gives inf or nan in step {step + 1} of {flow.steps}"
            if size > GROWTH_LIMIT * first_size > 0:
                growth = f"{(size / first_size).item():.0e} times what they were at first"
                when = f"after step {step + 1} of {flow.steps}"
                return f"the states of flow {name} are {growth} {when}"
    return ""


def _size(state: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([tensor.abs().amax() for tensor in state]).amax()
