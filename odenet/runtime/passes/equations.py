"""The members of a flow that the compiler generates: equations, a step of the scheme, properties.

This base class documents them; what a generated class does not define raises an error here.
"""

from typing import Any, ClassVar

from torch import Tensor, nn

from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Coefficient, Shear


class Equations(nn.Module, Stepwise):
    """The part of a flow that generated classes define.

    All define ``initial``, ``advance``, ``readout`` and ``field``; those whose scheme has an
    inverse also ``retreat`` and ``shears``. The rest depends on what the certificate proves.
    """

    h: Any  # the step size, if the scheme has one; or the step sizes of all steps
    states: ClassVar[tuple[str, ...]]  # the names of the states of the dynamics
    operators: ClassVar[tuple[str, ...]] = ()  # attributes that hold stacked linear operators
    shared: ClassVar[tuple[str, ...]] = ()  # attributes that hold one value for all steps
    reversible: bool = True
    obstacle: str = ""  # why it is not reversible
    python_maps: ClassVar[tuple[str, ...]] = ()  # attributes that hold modules supplied from Python
    timed: ClassVar[bool] = False  # `field` takes `since`, the time from the step's start
    stretches: ClassVar[bool] = False  # a step multiplies by the exponential of a right-hand side
    unrefinable: ClassVar[str] = ""  # why half the step size would not solve the same equations
    stability_limit: ClassVar[float | None] = None  # the largest stable h ω

    def initial(self, u: Tensor) -> State:
        """The state before the first step."""
        raise NotImplementedError

    def retreat(self, state: State, step: int = 0) -> State:
        """The state before a step, from the one after it."""
        raise NotImplementedError(self._why_irreversible())

    def readout(self, state: State) -> Tensor:
        """The output of the flow, from the last state."""
        raise NotImplementedError

    def field(self, state: State, step: int = 0) -> State:
        """The right-hand sides of the equations, one per state."""
        raise NotImplementedError

    def shears(self, *constants: Coefficient) -> tuple[Shear, ...]:
        """One step as shears, for its values of the ``varying`` constants."""
        raise NotImplementedError(self._why_irreversible())

    def no_inverse(self, *constants: Coefficient) -> str:
        """Why a step with these ``varying`` constants has no inverse; empty if it has one."""
        return ""

    def divisors(self, *constants: Coefficient) -> tuple[Coefficient, ...]:
        """The divisors of a step that depend on the ``varying`` constants."""
        return ()

    def energy(self, state: State, step: int = 0) -> Tensor:
        """The quantity that the certificate proves conserved or decreasing, per sample."""
        raise NotImplementedError(f"no energy is certified for {type(self).__name__}")

    def conditions(self) -> list[tuple[str, bool]]:
        """The assumptions of the certificate about the weights, and whether each holds now."""
        return []

    def frequency_bound(self, step: int = 0) -> Tensor:
        """An upper bound of the largest frequency ω of ``field`` in a step, from operator norms."""
        raise NotImplementedError(f"no bound of the spectrum is known for {type(self).__name__}")

    def _obstacle_to_compiling(self) -> str:
        """Why the backward pass cannot use compiled steps; empty if it can."""
        if self.stochastic:
            return (
                f"the blocks of {type(self).__name__} may draw random numbers, and both of their "
                "evaluations have to run the same code"
            )
        return "" if self.reversible else self._why_irreversible()

    def _why_irreversible(self) -> str:
        return (
            f"{type(self).__name__} cannot be reversed: {self.obstacle}; "
            'it trains with memory "stored" or "checkpoint"'
        )
