"""A budget of bytes for stored activations that the flows of a network share.

Each flow gets a part in proportion to what it would store without a limit.
"""

from torch import nn

from odenet.runtime.budget_share import budget_shares
from odenet.runtime.flow import Flow


def share_budget(network: nn.Module, budget: int | str) -> None:
    """Gives the flows of a network a common budget for stored activations.

    Args:
        network: the network.
        budget: bytes, or a size such as "2GB". It counts what flows keep for the backward pass,
            not the peak: the layers around flows, weights and gradients come on top.

    Raises:
        ValueError: if it is not a size, or a flow has no inverse.
    """
    flows = [module for module in network.modules() if isinstance(module, Flow)]
    for flow, share in zip(flows, budget_shares(flows, budget), strict=True):
        flow.memory = share
