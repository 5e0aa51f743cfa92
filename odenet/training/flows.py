"""The flows of a network: which they are, what goes into them, how stable their steps are."""

import torch
from torch import Tensor, nn

from odenet.runtime.flow import Flow
from odenet.runtime.passes.equations import State
from odenet.runtime.passes.exact import Inexact
from odenet.runtime.unit import Unit

ROUGH_ITERATIONS = 12  # iterations for a look at the margin, which then is a few per cent too small


def flows(network: nn.Module) -> dict[str, Flow]:
    """The flows of a network by their module path, in order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Flow)}


def units_and_flows(network: nn.Module) -> dict[str, Unit | Flow]:
    """The units of a network, and the flows that are not part of one, by their module path."""
    named = dict(network.named_modules())
    units = [name for name, module in named.items() if isinstance(module, Unit)]
    return {
        name: module
        for name, module in named.items()
        if isinstance(module, Unit)
        or (isinstance(module, Flow) and not any(name.startswith(f"{u}.") for u in units))
    }


def flow_inputs(network: nn.Module, inputs: Tensor) -> dict[str, Tensor | State]:
    """What goes into each flow and unit of a network, by its name, as far as a pass comes.

    The flow of a unit begins with a state. The one step before it, where that is a flow, is not
    among them.
    """
    found: dict[str, Tensor | State] = {}

    def keep(name: str):
        def hook(_module: nn.Module, arguments: tuple) -> None:  # whose result torch would pass on
            found.setdefault(name, arguments[0])

        return hook

    parts = flows(network) | units_and_flows(network)
    hooks = [part.register_forward_pre_hook(keep(name)) for name, part in parts.items()]
    try:
        network(inputs)
    except Inexact:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found


def stability(network: nn.Module, iterations: int | None = None) -> float | None:
    """The largest h ω / limit of any step of any flow, from the norms of the operators.

    Args:
        network: holds the flows.
        iterations: as in `Flow.stability`.

    Returns:
        None if a flow has no bound, or its scheme no limit; inf or nan for weights that are not
        finite.
    """
    try:
        margins = [flow.stability(iterations).amax() for flow in flows(network).values()]
    except (ValueError, NotImplementedError):
        return None
    return torch.stack(margins).amax().item() if margins else None  # nan if one is
