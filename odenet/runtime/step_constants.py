"""The constants of a flow that differ from step to step: what time it is, what is undone."""

import copy
import math
from typing import Self

import torch
from torch import Tensor

from odenet.runtime.learned.constants import LearnedConstant, Moving, begins
from odenet.runtime.passes.equations import Equations
from odenet.visible_drift import VISIBLE_DRIFT


class Varying(Equations):
    """Equations of N steps with constants of their own."""

    def moving(self) -> list[Moving]:
        """The constants that training moves."""
        found = (getattr(self, name) for name in self.varying)
        return [constant for constant in found if isinstance(constant, Moving)]

    def with_fixed_constants(self) -> Self:
        """Itself, or with constants that move one whose constants stay as they are now.

        The backward pass of a call reads them again, and training may have moved them by then.
        """
        if not self.moving():
            return self
        twin = self.view()
        moving = [name for name in self.varying if isinstance(getattr(self, name), Moving)]
        kept = {name: copy.copy(getattr(self, name)) for name in moving}
        twin.__dict__["_modules"] = {**twin._modules, **kept}
        twin.__dict__.pop("time_before", None)  # that of `self`, whose h moves
        return twin

    def time_before(self, step: int) -> float:
        """The time before a step: the sum of the step sizes of those before it.

        Raises:
            ValueError: if step sizes are learned.
        """
        return step * self.h if "h" not in self.varying else begins(self.h, step)

    @property
    def times(self) -> Tensor:
        """The time before each step, in double precision: ``(steps,)``."""
        return torch.tensor(list(map(self.time_before, range(self.steps))), dtype=torch.float64)

    def require_numbers(self) -> None:
        """Called while being built, or refined.

        Raises:
            ValueError: if a step divides by zero.
        """
        for step in range(self.steps if self.varying else 0):
            numbers = self._numbers(step)
            try:
                defined = all(self.divisors(*numbers))
            except ZeroDivisionError:  # in what it divides by
                defined = False
            if not defined:
                pairs = zip(self.varying, numbers, strict=True)
                shown = ", ".join(f"{name} = {number:g}" for name, number in pairs)
                raise ValueError(f"step {step} of {self.steps} divides by zero, with {shown}")

    def not_undone(self) -> str:
        """Why some step has no inverse with the constants that it has now; empty if all have.

        Learned constants are within their ends, whatever they are.
        """
        for step in range(self.steps if self.varying else 0):
            obstacle = self.no_inverse(*self._numbers(step))
            if obstacle:
                return f"step {step}: {obstacle}"
        return ""

    def undoes(self, dtype: torch.dtype) -> bool:
        """Whether states of a type can be rebuilt from the last one, as far as scales tell.

        Dividing by a scale α below 1 multiplies rounding errors by 1/α; exact arithmetic has none.
        """
        if self.not_undone():
            return False
        lost = 1.0
        for step in range(0 if self.exact else self.steps):
            scales = (abs(float(shear.scale)) for shear in self.shears(*self._numbers(step)))
            lost *= math.prod(1 / scale for scale in scales if scale < 1)
        return lost * torch.finfo(dtype).eps <= VISIBLE_DRIFT

    def _numbers(self, step: int) -> list[float]:
        constants = [getattr(self, name) for name in self.varying]
        return [c.given.value if isinstance(c, LearnedConstant) else c[step] for c in constants]
