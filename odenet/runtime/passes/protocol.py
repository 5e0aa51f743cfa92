"""What the passes over the steps ask of a flow."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from odenet.runtime.learned.slices import Slices
from odenet.runtime.passes.shear import Coefficient, Shear
from odenet.runtime.repetition.context import NOTHING, Context
from odenet.runtime.repetition.replica_pool import ReplicaPools

State = tuple[Tensor, ...]


class Stepwise:
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
        step_bytes: what autograd stores of a step, by kind of input.
        named_parameters: gives the parameters within.
    """

    slots: ClassVar[tuple[str, ...]]
    relabel: ClassVar[dict[str, str]] = {}
    varying: ClassVar[tuple[str, ...]] = ()
    stochastic: ClassVar[bool] = False
    steps: int
    anchors: int = 0
    exact: bool = False
    measured: bool = False
    context: Context = NOTHING
    collected: dict[str, Tensor]
    compiled: Any = None
    replica_pools: ReplicaPools
    slices: Slices | None = None
    step_bytes: dict[tuple, int]
    named_parameters: Callable[..., Iterable[tuple[str, nn.Parameter]]]

    def shears(self, *constants: Coefficient) -> tuple[Shear, ...]:
        """One step as shears, if it can be undone; takes the step's own of what is varying."""
        raise NotImplementedError

    def advance(self, state: State, step: int = 0) -> State:
        """The state after a step, from the one before it."""
        raise NotImplementedError

    def learned(self) -> tuple[str, ...]:
        """The attributes that hold stacked parameters, or a module per step."""
        raise NotImplementedError

    def view(self) -> Self:
        """The same flow over the same parameters, with attributes of its own to set.

        Calls that set any do so on a view, so that several may run at once.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def collect(self, values: Mapping[str, Tensor]) -> None:
        """Adds further results of a right-hand side, scalars by name, to those of this call."""
        for name, value in values.items():
            found = self.collected.get(name)
            self.collected[name] = value if found is None else found + value

    def note_drift(self, drift: Tensor) -> None:
        """Told by the backward pass by how much a rebuilt state was off."""
