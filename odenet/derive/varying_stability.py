"""The stability of a scheme whose constants differ from step to step.

The result for each axis is that of the step with the smallest limit. It is necessary only: a
product of different stable steps may still grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from odenet.derive.axis_stability import AxisStability
from odenet.derive.stability import EquationStability, Stability

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class TightestStability(EquationStability):
    """On one test equation, the strictest of the stability limits of several steps.

    The inherited fields are those of the first step.

    Args:
        per_step: the stability at the constants of each step.
    """

    per_step: tuple[EquationStability, ...] = ()

    @cached_property
    def imaginary_axis(self) -> AxisStability:
        """The result of the step with the smallest limit; of its intervals, the one from 0."""
        return _tightest([tested.imaginary_axis for tested in self.per_step])

    @cached_property
    def real_axis(self) -> AxisStability | None:
        """That on the negative real axis; None if the test equation has no real eigenvalue."""
        results = [tested.real_axis for tested in self.per_step]
        return _tightest([axis for axis in results if axis is not None]) if all(results) else None

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Whether all steps are stable at points z = hλ; see `EquationStability.region`."""
        import numpy as np

        return np.logical_and.reduce([tested.region(z) for tested in self.per_step])


def _tightest(results: list[AxisStability]) -> AxisStability:
    """The result with the smallest limit; an undecided one if there is any."""
    undecided = [result for result in results if not result.decided]
    tightest = min(undecided[:1] or results, key=lambda axis: (axis.limit, axis.includes_limit))
    return replace(tightest, intervals=tightest.intervals[:1] if tightest.limit else ())


def tightest_stability(stabilities: Sequence[Stability]) -> Stability:
    """The strictest of the stabilities of several steps of one scheme.

    Args:
        stabilities: one for each step, all on the same test equations.
    """
    tightest: list[TightestStability] = []
    for per_step in zip(*(stability.per_equation for stability in stabilities), strict=True):
        first = per_step[0]
        tightest.append(
            TightestStability(first.scheme, first.values, first.equation, first.step, per_step)
        )
    return Stability(per_equation=tuple(tightest))
