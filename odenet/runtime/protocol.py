"""What the passes over the steps ask of a flow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Protocol, Self

from torch import Tensor, nn

from odenet.runtime.shear import Shear

State = tuple[Tensor, ...]


class Stepwise(Protocol):
    """Some steps of a scheme, over parameters of which each step reads its own.

    Attributes:
        slots: the values stored between two steps, in order.
        steps: how many steps.
        relabel: slot -> the slot that its value is in after a step.
        anchors: keep the true state every so many steps; 0 for the last one only.
        exact: whether steps run in exact arithmetic.
        reversible: whether ``shears`` gives a step that can be undone.
        stochastic: whether a rate may draw random numbers.
        context: further inputs that every rate reads.
        collected: further results of right-hand sides, summed by name.
        compiled: one step, compiled, to use for all.
    """

    slots: Any
    steps: int
    relabel: Any
    anchors: int
    exact: bool
    reversible: bool
    stochastic: Any
    context: Any
    collected: dict[str, Tensor]
    compiled: Any
    __dict__: MutableMapping[str, Any]  # type: ignore[assignment]

    def shears(self) -> tuple[Shear, ...]:
        """One step as shears."""
        ...

    def advance(self, state: State, step: int = 0) -> State:
        """One step."""
        ...

    def view(self) -> Self:
        """The same flow, with attributes of its own to set."""
        ...

    def learned(self) -> tuple[str, ...]:
        """The attributes that hold stacked parameters or a module per step."""
        ...

    def note_drift(self, drift: Tensor) -> None:
        """Told by the backward pass by how much a rebuilt state was off."""
        ...

    def collect(self, values: Mapping[str, Tensor]) -> None:
        """Given further results of right-hand sides, to be summed by name."""
        ...

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """The parameters within."""
        ...
