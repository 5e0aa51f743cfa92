"""Finding the flows and units of a network, their inputs in a forward pass, and their stability.

A flow integrates a differential equation, one layer per time step. A unit is a flow behind a first
step that changes the number of channels or the resolution.
"""

import torch
from torch import Tensor, nn

from odenet.runtime.flow import Flow
from odenet.runtime.passes.equations import State
from odenet.runtime.passes.fixed_point import Inexact
from odenet.runtime.unit import Unit

ROUGH_ITERATIONS = 12  # power iterations, after which `stability` is a few per cent too small


def flows(network: nn.Module) -> dict[str, Flow]:
    """The flows of a network, by their names in `named_modules` and in that order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Flow)}


def units_and_flows(network: nn.Module) -> dict[str, Unit | Flow]:
    """The units of a network and the flows outside of units, by their names in `named_modules`."""
    modules = dict(network.named_modules())
    units = [name for name, module in modules.items() if isinstance(module, Unit)]
    in_units = tuple(f"{name}." for name in units)
    return {
        name: module
        for name, module in modules.items()
        if isinstance(module, Unit) or (isinstance(module, Flow) and not name.startswith(in_units))
    }


def flow_inputs(network: nn.Module, inputs: Tensor) -> dict[str, Tensor | State]:
    """The input of each flow and unit of a network in a forward pass, by name.

    The input of a flow inside a unit is a state, not a tensor. If exact arithmetic ends the pass
    early, inputs of later flows are missing.
    """
    recorded: dict[str, Tensor | State] = {}

    def recorder(name: str):
        def hook(_module: nn.Module, arguments: tuple) -> None:  # None leaves the input unchanged
            recorded.setdefault(name, arguments[0])

        return hook

    modules = flows(network) | units_and_flows(network)
    hooks = [module.register_forward_pre_hook(recorder(name)) for name, module in modules.items()]
    try:
        network(inputs)
    except Inexact:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return recorded


def stability(network: nn.Module, iterations: int | None = None) -> float | None:
    """The largest h ω / limit of all steps of all flows; above 1 a step is unstable.

    Here ω is bounded by norms of the operators, and the limit is that of the scheme.

    Args:
        network: the network.
        iterations: the number of iterations of the power method that finds the norms, as in
            `Flow.stability`.

    Returns:
        None if the network has no flow, or if ω or the limit of a flow is unknown; inf or nan if
        weights are not finite.
    """
    try:
        shares = [flow.stability(iterations).amax() for flow in flows(network).values()]
    except (ValueError, NotImplementedError):
        return None
    return torch.stack(shares).amax().item() if shares else None  # nan if a share is nan
