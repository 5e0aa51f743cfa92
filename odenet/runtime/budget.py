"""A budget of bytes for stored activations that the flows of a network share.

Each flow gets a part in proportion to what it would store without a limit.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from torch import nn

from odenet.byte_sizes import parse_size


class BudgetShare(int):
    """One flow's part of a budget, in bytes: an equal one until all flows have told their need.

    Args:
        needs: of all flows, bytes that storing every step would take; None as long as not known.
        place: of the flow among them.
        total: the budget.
    """

    needs: list[int | None]
    place: int
    total: int

    def __new__(cls, needs: list[int | None], place: int, total: int) -> Self:
        """An equal part, as a number."""
        share = super().__new__(cls, total // len(needs))
        share.needs, share.place, share.total = needs, place, total
        return share

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """Copies of the flows share with one another."""
        return BudgetShare, (self.needs, self.place, self.total)

    def of(self, need: int) -> int:
        """The bytes for a flow that would store this much in this call."""
        self.needs[self.place] = need
        known = [value for value in self.needs if value is not None]
        if len(known) < len(self.needs):
            return int(self)
        return self.total if sum(known) <= self.total else self.total * need // sum(known)


def as_bytes(budget: int | str) -> int:
    """A number of bytes, or a size in words.

    Raises:
        ValueError: if it is neither.
    """
    size = parse_size(budget) if isinstance(budget, str) else budget
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f'a budget is a number of bytes or a size such as "2GB", not {budget!r}')
    return size


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
