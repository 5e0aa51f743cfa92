"""What the passes over the steps ask of a flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor, nn

from odenet.runtime.context import Context
from odenet.runtime.replica_pool import ReplicaPools
from odenet.runtime.shear import Coefficient, Shear
from odenet.runtime.slices import Slices

State = tuple[Tensor, ...]


class Stepwise(Protocol):
    """Some steps of a scheme, over parameters of which each step reads its own.

    Attributes:
        slots: the values stored between two steps, in order.
        relabel: slot -> the slot that its value is in after a step.
        varying: the constants of the scheme that each step has values of its own for.
        stochastic: whether a rate may draw random numbers.
        steps: how many steps.
        anchors: keep the true state every ``anchors`` steps; 0 for the first and last only.
        exact: whether steps run in exact arithmetic.
        measured: whether the log-determinant of what depends on the state is collected.
        context: further inputs that every rate reads.
        collected: further results of right-hand sides, summed by name.
        compiled: one step, compiled, to use for all.
        replica_pools: replicas of its modules, kept from one pass to the next.
        slices: of stacked parameters; where there are any, even none, each step's gradients are
            handed over as soon as they are complete.
    """

    slots: ClassVar[tuple[str, ...]]
    relabel: ClassVar[dict[str, str]]
    varying: ClassVar[tuple[str, ...]]
    stochastic: ClassVar[bool]
    steps: int
    anchors: int
    exact: bool
    measured: bool
    context: Context
    collected: dict[str, Tensor]
    compiled: Any
    replica_pools: ReplicaPools
    slices: Slices | None

    def shears(self, *constants: Coefficient) -> tuple[Shear, ...]:
        """One step as shears, if it can be undone; takes the step's own of what is varying."""
        ...

    def advance(self, state: State, step: int = 0) -> State:
        """The state after one step."""
        ...

    def view(self) -> Self:
        """The same flow, with attributes of its own to set."""
        ...

    def learned(self) -> tuple[str, ...]:
        """The attributes that hold stacked parameters or a module per step."""
        ...

    def collect(self, values: Mapping[str, Tensor]) -> None:
        """Given further results of right-hand sides, to be summed by name."""
        ...

    def note_drift(self, drift: Tensor) -> None:
        """Told by the backward pass by how much a rebuilt state was off."""
        ...

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """The parameters within."""
        ...


class Planned(Stepwise, Protocol):
    """A flow whose memory is planned.

    Attributes:
        training: as of every module.
        step_bytes: what autograd stores of a step, by kind of input.
    """

    training: bool
    step_bytes: dict[tuple, int]

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters within."""
        ...
