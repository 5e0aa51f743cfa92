"""What the compiler writes of a flow: its equations, a step of its scheme, their properties."""

from typing import Any, ClassVar

from torch import Tensor, nn

from odenet.runtime.passes.protocol import State, Stepwise
from odenet.runtime.passes.shear import Coefficient, Shear


class Equations(nn.Module, Stepwise):
    """The part of a flow that generated classes give.

    All give ``initial``, ``advance``, ``readout`` and ``field``; where the scheme has an inverse
    ``retreat`` and ``shears``; and what the certificate allows of the rest.
    """

    h: Any  # the step size, of schemes that have one; or those of all steps
    states: ClassVar[tuple[str, ...]]  # the unknowns of the dynamics
    operators: ClassVar[tuple[str, ...]] = ()  # stacked linear operators
    shared: ClassVar[tuple[str, ...]] = ()  # attributes that hold one value for all steps
    reversible: bool = True
    obstacle: str = ""  # why it is not
    given: ClassVar[tuple[str, ...]] = ()  # attributes that hold modules from Python
    timed: ClassVar[bool] = False  # some rate reads the time; `field` then takes `since`
    stretches: ClassVar[bool] = False  # some value is multiplied by the exponential of a field
    unrefinable: ClassVar[str] = ""  # why steps of half the size are those of another equation
    stability_limit: ClassVar[float | None] = None  # of h ω

    def initial(self, u: Tensor) -> State:
        """The state before the first step."""
        raise NotImplementedError

    def retreat(self, state: State, step: int = 0) -> State:
        """The state before a step, from the one after it."""
        raise NotImplementedError(self._irreversible())

    def readout(self, state: State) -> Tensor:
        """What the flow hands on."""
        raise NotImplementedError

    def field(self, state: State, step: int = 0) -> State:
        """The right-hand sides of the equations, one per unknown."""
        raise NotImplementedError

    def shears(self, *constants: Coefficient) -> tuple[Shear, ...]:
        """One step as shears, with its own constants of those in ``varying``."""
        raise NotImplementedError(self._irreversible())

    def no_inverse(self, *constants: Coefficient) -> str:
        """Why a step with constants, of those in ``varying``, is not undone; empty if it is."""
        return ""

    def divisors(self, *constants: Coefficient) -> tuple[Coefficient, ...]:
        """What a step divides by that depends on constants of those in ``varying``."""
        return ()

    def energy(self, state: State, step: int = 0) -> Tensor:
        """The quantity that the certificate proves conserved or decreasing, per sample."""
        raise NotImplementedError(f"no energy is certified for {type(self).__name__}")

    def conditions(self) -> list[tuple[str, bool]]:
        """What the certificate assumes of the weights, and whether it holds for these."""
        return []

    def frequency_bound(self, step: int = 0) -> Tensor:
        """An upper bound of the largest frequency ω of one step's field, from operator norms."""
        raise NotImplementedError(f"no bound of the spectrum is known for {type(self).__name__}")

    def _obstacle_to_compiling(self) -> str:
        """Why steps cannot be undone by compiled ones; empty if they can."""
        if self.stochastic:
            return (
                f"the blocks of {type(self).__name__} may draw random numbers, and both of their "
                "evaluations have to be by the same code"
            )
        return "" if self.reversible else self._irreversible()

    def _irreversible(self) -> str:
        return (
            f"{type(self).__name__} cannot be reversed: {self.obstacle}; "
            'it trains with memory "stored" or "checkpoint"'
        )
