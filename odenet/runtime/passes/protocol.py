"""The interface of a flow that the forward and the backward pass use: slots, weights and steps."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from odenet.runtime.learned.slices import Slices
from odenet.runtime.passes.shear import Coefficient, Shear
from odenet.runtime.repetition.context import NO_CONTEXT, Context
from odenet.runtime.repetition.replica_pool import ReplicaPools

State = tuple[Tensor, ...]


class Stepwise:
    """N steps of a scheme; step j reads the j-th value of every stacked parameter.

    Attributes:
        slots: names of the tensors that are stored between two steps, in order.
        relabel: slot -> the slot that its value moves to at the end of a step.
        varying: the constants of the scheme that may differ from step to step.
        stochastic: whether a right-hand side may draw random numbers.
        steps: number of steps.
        anchors: number of steps from one kept true state to the next; 0 keeps only the first and
            the last state.
        exact: whether states are in fixed point, so that steps are undone bit for bit.
        collects_log_det: whether a call sums up the state-dependent part of the log-determinant.
        context: further inputs that every right-hand side reads, such as a mask.
        collected: further results of right-hand sides, such as a penalty, summed by name.
        compiled: one step forward and one step backward, compiled; None to run steps eagerly.
        replica_pools: replicas of the flow's modules, kept from one pass to the next.
        slices: the slices of stacked parameters that an optimizer in the backward pass updates.
            Unless None, that optimizer gets each step's gradients as soon as they are complete.
        step_bytes: bytes that autograd stores for one step, by shape and type of the input.
        named_parameters: the method of torch modules.
    """

    slots: ClassVar[tuple[str, ...]]
    relabel: ClassVar[dict[str, str]] = {}
    varying: ClassVar[tuple[str, ...]] = ()
    stochastic: ClassVar[bool] = False
    steps: int
    anchors: int = 0
    exact: bool = False
    collects_log_det: bool = False
    context: Context = NO_CONTEXT
    collected: dict[str, Tensor]
    compiled: Any = None
    replica_pools: ReplicaPools
    slices: Slices | None = None
    step_bytes: dict[tuple, int]
    named_parameters: Callable[..., Iterable[tuple[str, nn.Parameter]]]

    def shears(self, *constants: Coefficient) -> tuple[Shear, ...]:
        """One step as shears, from the values that the ``varying`` constants have in it."""
        raise NotImplementedError

    def advance(self, state: State, step: int = 0) -> State:
        """The state after a step, from the one before it."""
        raise NotImplementedError

    def learned_names(self) -> tuple[str, ...]:
        """Names of the attributes that hold a stacked parameter, constants or a module per step."""
        raise NotImplementedError

    def shallow_copy(self) -> Self:
        """The same flow over the same parameters, with attributes of its own to set.

        A call that sets attributes sets them on a copy, so that several calls may run at once.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def collect(self, values: Mapping[str, Tensor]) -> None:
        """Adds further results of a right-hand side, scalars by name, to the sums of this call."""
        for name, value in values.items():
            total = self.collected.get(name)
            self.collected[name] = value if total is None else total + value

    def note_drift(self, drift: Tensor) -> None:
        """Receives the relative error of the rebuilt states from a backward pass."""
