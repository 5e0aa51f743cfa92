"""Where a pass through a network leaves the finite numbers, found by going through it again."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from odenet.runtime.equations import State
from odenet.runtime.exact import Inexact
from odenet.runtime.flow import Flow

GROWN = 1e6  # times its first value, at which a state is far from anything that was meant


@torch.no_grad()
def fault_of(network: nn.Module, flows: Mapping[str, Flow], inputs: Tensor) -> str:
    """The first flow, and its step, at which a state is not finite, or has grown beyond measure.

    Args:
        network: is left with changed statistics where it has any.
        flows: its flows by name, in order.
        inputs: of the pass.

    Returns:
        Words; none if there is no such step.
    """
    for name, u in _entries(network, flows, inputs).items():
        flow = flows[name]
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


def _entries(
    network: nn.Module, flows: Mapping[str, Flow], inputs: Tensor
) -> dict[str, Tensor | State]:
    """What goes into each flow, as far as the pass comes; the steps before units apart."""
    found: dict[str, Tensor | State] = {}

    def keep(name: str):
        return lambda _module, arguments: found.setdefault(name, arguments[0])

    hooks = [flow.register_forward_pre_hook(keep(name)) for name, flow in flows.items()]
    try:
        network(inputs)
    except Inexact:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _size(state: tuple[Tensor, ...]) -> Tensor:
    return torch.stack([tensor.abs().amax() for tensor in state]).amax()
