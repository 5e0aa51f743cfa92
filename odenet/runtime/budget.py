"""A budget of bytes that the flows of a network share by what each would store."""

from collections.abc import Iterable, Sequence

from torch import nn

from odenet.runtime.share import BudgetShare, as_bytes


def shares(flows: Sequence[nn.Module], budget: int | str) -> Iterable[BudgetShare]:
    """A part of the budget for each flow.

    Raises:
        ValueError: if it is not a size.
    """
    total = as_bytes(budget)
    needs: list[int | None] = [None] * len(flows)
    return [BudgetShare(needs, place, total) for place in range(len(flows))]


def share_budget(network: nn.Module, budget: int | str) -> None:
    """Gives the flows of a network a budget of stored activations that they share by their need.

    Args:
        network: with flows.
        budget: bytes, or a size such as "2GB". It counts what flows keep for the backward pass,
            not the peak: the layers around flows, weights and gradients come on top.

    Raises:
        ValueError: if it is not a size, or a flow has no inverse.
    """
    from odenet.runtime.flow import Flow

    flows = [module for module in network.modules() if isinstance(module, Flow)]
    for flow, share in zip(flows, shares(flows, budget), strict=True):
        flow.memory = share
