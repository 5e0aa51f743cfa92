"""The constants of a flow that may differ from step to step: times, and whether steps invert."""

import copy
import math
from typing import Self

import torch
from torch import Tensor

from odenet.runtime.learned.constants import LearnedConstant, RampedConstant, time_before
from odenet.runtime.passes.equations import Equations
from odenet.visible_drift import VISIBLE_DRIFT


class StepConstants(Equations):
    """The part of a flow that depends on the constants of its steps, such as the step sizes."""

    def ramped_constants(self) -> list[RampedConstant]:
        """The constants that change linearly during training."""
        constants = (getattr(self, name) for name in self.varying)
        return [constant for constant in constants if isinstance(constant, RampedConstant)]

    def with_fixed_constants(self) -> Self:
        """The flow, or if it has ramped constants a copy in which these keep their present values.

        The backward pass of a call reads the constants again, and until then training may have
        moved the ramps on.
        """
        if not self.ramped_constants():
            return self
        fixed = self.shallow_copy()
        ramped = [name for name in self.varying if isinstance(getattr(self, name), RampedConstant)]
        copies = {name: copy.copy(getattr(self, name)) for name in ramped}
        fixed.__dict__["_modules"] = {**fixed._modules, **copies}
        fixed.__dict__.pop("time_before", None)  # it belongs to `self`, whose h changes
        return fixed

    def time_before(self, step: int) -> float:
        """The time before a step: the sum of the step sizes of the earlier steps.

        Raises:
            ValueError: if step sizes are learned.
        """
        return step * self.h if "h" not in self.varying else time_before(self.h, step)

    @property
    def times(self) -> Tensor:
        """The time before each step, in double precision: ``(steps,)``."""
        return torch.tensor(list(map(self.time_before, range(self.steps))), dtype=torch.float64)

    def require_numbers(self) -> None:
        """Checks that no coefficient is infinite; called by constructors, and after refining.

        Raises:
            ValueError: if a step divides by zero.
        """
        for step in range(self.steps if self.varying else 0):
            numbers = self._constants_at(step)
            try:
                defined = all(self.divisors(*numbers))
            except ZeroDivisionError:  # in a divisor
                defined = False
            if not defined:
                pairs = zip(self.varying, numbers, strict=True)
                shown = ", ".join(f"{name} = {number:g}" for name, number in pairs)
                raise ValueError(f"step {step} of {self.steps} divides by zero, with {shown}")

    def obstacle_to_inverse(self) -> str:
        """Why some step has no inverse with its present constants; empty if all have one.

        The value of a learned constant does not matter, since its bounds exclude such values.
        """
        for step in range(self.steps if self.varying else 0):
            obstacle = self.no_inverse(*self._constants_at(step))
            if obstacle:
                return f"step {step}: {obstacle}"
        return ""

    def is_invertible_in(self, dtype: torch.dtype) -> bool:
        """Whether states of this type can be rebuilt from the last one with small rounding errors.

        Dividing by a scale α below 1 multiplies rounding errors by 1/α; exact arithmetic has none.
        """
        if self.obstacle_to_inverse():
            return False
        error_growth = 1.0
        for step in range(0 if self.exact else self.steps):
            scales = (abs(float(shear.scale)) for shear in self.shears(*self._constants_at(step)))
            error_growth *= math.prod(1 / scale for scale in scales if scale < 1)
        return error_growth * torch.finfo(dtype).eps <= VISIBLE_DRIFT

    def _constants_at(self, step: int) -> list[float]:
        constants = [getattr(self, name) for name in self.varying]
        return [c.options.value if isinstance(c, LearnedConstant) else c[step] for c in constants]
