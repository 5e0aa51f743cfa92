"""The part of a budget for stored activations that one of several flows gets."""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from torch import nn

from odenet.byte_sizes import parse_size


class BudgetShare(int):
    """One flow's part of a budget, in bytes: an equal part until the needs of all are known.

    Args:
        needs: for each of the flows, the bytes that storing all of its steps would take; None
            while that is unknown. All shares have the same list.
        index: the index of this flow in ``needs``.
        total: the budget of all flows together, in bytes.
    """

    needs: list[int | None]
    index: int
    total: int

    def __new__(cls, needs: list[int | None], index: int, total: int) -> Self:
        """The equal part, as an int."""
        share = super().__new__(cls, total // len(needs))
        share.needs, share.index, share.total = needs, index, total
        return share

    def __reduce_ex__(self, protocol: Any) -> tuple:
        """For copies and pickle: copies of the flows share a budget among themselves."""
        return BudgetShare, (self.needs, self.index, self.total)

    def for_need(self, need: int) -> int:
        """The part of the flow in a call for which it would store ``need`` bytes."""
        self.needs[self.index] = need
        known = [value for value in self.needs if value is not None]
        if len(known) < len(self.needs):
            return int(self)
        return self.total if sum(known) <= self.total else self.total * need // sum(known)


def as_bytes(budget: int | str) -> int:
    """A budget in bytes, from a number or a size such as "2GB".

    Raises:
        ValueError: if it is neither.
    """
    size = parse_size(budget) if isinstance(budget, str) else budget
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f'a budget is a number of bytes or a size such as "2GB", not {budget!r}')
    return size


def budget_shares(flows: Sequence[nn.Module], budget: int | str) -> Iterable[BudgetShare]:
    """One part of the budget for each flow.

    Raises:
        ValueError: if it is not a size.
    """
    total = as_bytes(budget)
    needs: list[int | None] = [None] * len(flows)
    return [BudgetShare(needs, index, total) for index in range(len(flows))]
