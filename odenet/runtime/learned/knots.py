"""Weights that are piecewise linear in time, between learned knots."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from odenet.runtime.learned.constants import begins


class Between(NamedTuple):
    """Σ factor * knot: where the value of a step is among the knots, as (place, factor)."""

    parts: tuple[tuple[int, float], ...]

    def of(self, knots: Tensor | Sequence[Tensor]) -> Tensor:
        """The value between the two knots."""
        (i, before), (j, after) = self.parts
        return before * knots[i] + after * knots[j]


class Knotted(nn.Module):
    """K(t) from t = 0 to the end of the flow, sampled at the middle of each step.

    The knots are at equal distances in time, so that they do not depend on the number of steps, and
    the same K(t) is sampled when the steps are refined.

    Args:
        steps: how many.
        knots: ``(knots, …)``, at least two.
        h: the step sizes where they differ, those of the flow itself.

    Raises:
        ValueError: if step sizes are learned.
    """

    def __init__(self, steps: int, knots: nn.Parameter, h: Any = None):
        super().__init__()
        self.knots = knots
        self.sample(steps, h)

    def sample(self, steps: int, h: Any) -> None:
        """Takes its values in other steps; `steps` and `h` as for the class."""
        self.steps = steps
        self._sizes = (h,)  # in a tuple, since they are no part of this module
        self.at(0)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Tensor:
        return self.at(step).of(self.knots)

    def at(self, step: int) -> Between:
        """Where a step's value is; -1 is the last step."""
        (h,), step = self._sizes, step % self.steps
        if hasattr(h, "__getitem__"):
            middle = (begins(h, step) + begins(h, step + 1)) / 2 / begins(h, self.steps)
        else:
            middle = (step + 0.5) / self.steps
        place = middle * (len(self.knots) - 1)
        before = min(int(place), len(self.knots) - 2)
        after = place - before
        return Between(((before, 1 - after), (before + 1, after)))

    def roughness(self, h: Any) -> Tensor:
        """∫ ||K'(t)||² dt over all steps, which is exact for what is linear in between.

        Args:
            h: the step size, or the step sizes.
        """
        time = begins(h, self.steps) if hasattr(h, "__getitem__") else self.steps * h
        distance = time / (len(self.knots) - 1)
        return self.knots.diff(dim=0).square().sum() / distance

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"steps={self.steps}, knots={len(self.knots)}"
