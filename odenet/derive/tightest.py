"""The stability of steps whose constants differ, each of them taken by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from odenet.derive.axis import Axis
from odenet.derive.stability import Stability, TestedScheme

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Tightest(TestedScheme):
    """A scheme whose constants differ from step to step: what each of some steps allows by itself.

    Args:
        others: the scheme at the constants of each of them.
    """

    others: tuple[TestedScheme, ...] = ()

    @cached_property
    def imaginary(self) -> Axis:
        """The interval from 0 of the step with the shortest one on the imaginary axis."""
        return _tightest([tested.imaginary for tested in self.others])

    @cached_property
    def real(self) -> Axis | None:
        """The interval from 0 of the step with the shortest one on the negative real axis."""
        axes = [tested.real for tested in self.others]
        return _tightest([axis for axis in axes if axis is not None]) if all(axes) else None

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Where all of them are stable; see `TestedScheme.region`."""
        import numpy as np

        return np.logical_and.reduce([tested.region(z) for tested in self.others])


def _tightest(axes: list[Axis]) -> Axis:
    undecided = [axis for axis in axes if not axis.decided]
    found = undecided[0] if undecided else min(axes, key=lambda axis: (axis.limit, axis.closed))
    return replace(found, intervals=found.intervals[:1] if found.limit else ())


def tightest(each: Sequence[Stability]) -> Stability:
    """The stability of steps whose constants differ, as far as every step by itself says it.

    Products of stable steps that are not alike may grow all the same.

    Args:
        each: of some steps of one scheme.
    """
    tests = zip(*(stability.tested for stability in each), strict=True)
    return Stability(
        tested=tuple(
            Tightest(one[0].scheme, one[0].values, one[0].equation, one[0].step, others=one)
            for one in tests
        )
    )
