"""Weights that are piecewise linear in time, between learned knots."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from odenet.runtime.learned.constants import time_before


class Interpolation(NamedTuple):
    """A linear interpolation between two knots, as two terms (index of a knot, factor)."""

    terms: tuple[tuple[int, float], ...]

    def value(self, knots: Tensor | Sequence[Tensor]) -> Tensor:
        """The interpolated value."""
        (i, factor_i), (j, factor_j) = self.terms
        return factor_i * knots[i] + factor_j * knots[j]


class Knotted(nn.Module):
    """A weight K(t) from t = 0 to the end of the flow, evaluated at the middle of each step.

    The knots are at equal distances in time and do not depend on the number of steps, so that a
    refined flow has the same K(t).

    Args:
        steps: number of steps.
        knots: the values at the knots, ``(knots, …)``, at least two.
        h: the flow's step sizes, if they differ from step to step.

    Raises:
        ValueError: if step sizes are learned.
    """

    def __init__(self, steps: int, knots: nn.Parameter, h: Any = None):
        super().__init__()
        self.knots = knots
        self.resample(steps, h)

    def resample(self, steps: int, h: Any) -> None:
        """Changes the steps; the arguments are those of the class."""
        self.steps = steps
        self._step_sizes = (h,)  # in a tuple, so as not to register a module
        self.interpolation(0)  # raises if step sizes are learned

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        return self.interpolation(step).value(self.knots)

    def interpolation(self, step: int) -> Interpolation:
        """The interpolation that gives a step's value; -1 is the last step."""
        (h,), step = self._step_sizes, step % self.steps
        if hasattr(h, "__getitem__"):
            mid = (time_before(h, step) + time_before(h, step + 1)) / 2 / time_before(h, self.steps)
        else:
            mid = (step + 0.5) / self.steps
        position = mid * (len(self.knots) - 1)
        left = min(int(position), len(self.knots) - 2)
        fraction = position - left
        return Interpolation(((left, 1 - fraction), (left + 1, fraction)))

    def roughness(self, h: Any) -> Tensor:
        """∫ ||K'(t)||² dt over all steps, which is exact, since K is piecewise linear.

        Args:
            h: the step size, or the step sizes.
        """
        time = time_before(h, self.steps) if hasattr(h, "__getitem__") else self.steps * h
        distance = time / (len(self.knots) - 1)
        return self.knots.diff(dim=0).square().sum() / distance

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"steps={self.steps}, knots={len(self.knots)}"
