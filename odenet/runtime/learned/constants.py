"""Constants of a scheme that differ from step to step, are learned, or move while training.

A generated flow holds each of them as something that gives a step's value by its index: a tuple of
numbers, or one of the modules below. Numbers are never cast, whatever the flow's precision is, so
that exact arithmetic finds the fractions they were written as.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from odenet.runtime.learned.parameters import inverse_softplus
from odenet.sequences import DIVISIONS, interpolate

if TYPE_CHECKING:
    from odenet.runtime.learned.constant_kinds import Learned, Ramp

MARGIN = 1e-3  # of the first value's distance from an end: this much of it remains


def exponential(x: float | Tensor) -> float | Tensor:
    """exp(x), of a number or of what is learned."""
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def all_values(constant: Any, steps: int) -> Sequence[float | Tensor]:
    """A constant's values in all steps, each found once."""
    if isinstance(constant, LearnedConstant):
        values = constant.values().unbind()
        return values if len(values) == steps else values * steps
    return [constant[step] for step in range(steps)]


def as_numbers(constant: Any, steps: int) -> list[float]:
    """A constant's values in all steps, as they are now."""
    values = all_values(constant, steps)
    return [float(value.detach()) if isinstance(value, Tensor) else value for value in values]


def begins(h: Any, step: int) -> float:
    """The time before a step: the sum of the step sizes before it, rounded once.

    Args:
        h: the step sizes.
        step: the step; the number of steps for the end of the last.

    Raises:
        ValueError: if they are learned, since nothing differentiates by what the time depends on.
    """
    if isinstance(h, LearnedConstant):
        raise ValueError("step sizes are learned, and with them there is no time to read")
    return math.fsum(h[before] for before in range(step))


def halved(constant: Any, factor: float) -> Any:
    """A constant of twice the steps, each pair of which takes after the one it replaces.

    The numbers of the steps are those of the steps that are new.

    Args:
        constant: of a flow.
        factor: what becomes of its values: ½ for a step size, else 1.

    Raises:
        ValueError: if it is a step size that is learned.
    """
    match constant:
        case range():  # the numbers of the steps
            return range(2 * len(constant))
        case Drawn():
            return Drawn(halved(constant.numbers, factor))
        case Moving():
            start, end = constant.ramp.start * factor, constant.ramp.end * factor
            finer = Moving(replace(constant.ramp, start=start, end=end), constant.name)
            finer.part = constant.part
            return finer
        case LearnedConstant():
            if factor != 1:
                raise ValueError("its step sizes are learned, and halves of them would not be")
            return constant.refined()
    return tuple(factor * value for value in constant for _ in range(2))


class Drawn(nn.Module):
    """Numbers that belong to the state of a flow."""

    def __init__(self, numbers: Sequence[float]):
        super().__init__()
        self.numbers = tuple(numbers)

    def __getitem__(self, step: int) -> float:
        return self.numbers[step]

    def get_extra_state(self) -> Tensor:
        """For ``state_dict``: (steps,), in double precision whatever the flow's is."""
        return torch.tensor(self.numbers, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """From ``state_dict``."""
        if len(state) != len(self.numbers):
            raise ValueError(
                f"{len(state)} values were drawn for the flow that was saved, "
                f"and this one has {len(self.numbers)} steps"
            )
        self.numbers = tuple(state.tolist())

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return ", ".join(f"{number:g}" for number in self.numbers)


class Moving(nn.Module):
    """A number that training moves."""

    def __init__(self, ramp: Ramp, name: str):
        super().__init__()
        self.ramp = ramp
        self.name = name
        self.part = 0

    @property
    def number(self) -> float:
        """The value that it has now, in every step."""
        return interpolate(self.ramp.start, self.ramp.end, self.part)

    def __getitem__(self, step: int) -> float:
        return self.number

    def move(self, way: float) -> None:
        """Goes to a part of the way: 0 is the start and 1, as well as all above it, the end."""
        self.part = self.place(way)

    @staticmethod
    def place(way: float) -> int:
        """The thousandth in which a part of the way lies."""
        return int(DIVISIONS * min(max(way, 0.0), 1.0))

    def get_extra_state(self) -> Tensor:
        """For ``state_dict``: how many thousandths of the way are done."""
        return torch.tensor(self.part)

    def set_extra_state(self, state: Tensor) -> None:
        """From ``state_dict``."""
        self.part = int(state)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{self.number:g} on the way from {self.ramp.start:g} to {self.ramp.end:g}"


class LearnedConstant(nn.Module):
    """A parameter without bounds, ``raw``, and the values between two ends that it gives.

    With both ends the values are low + (high - low) sigmoid(raw), with one they are a softplus away
    from it, and with none they are ``raw``. A margin stays between the values and the ends, so that
    rounding cannot carry them there.
    """

    def __init__(self, given: Learned, name: str, steps: int):
        super().__init__()
        self.given = given
        self.name = name
        self.raw = nn.Parameter(self._before(torch.full((steps,), float(given.value))))

    def __getitem__(self, step: int) -> Tensor:
        return self.values()[step if len(self.raw) > 1 else 0]

    def values(self) -> Tensor:
        """Those of all steps, ``(steps,)``; or of the one that they share, ``(1,)``."""
        low, high = self._ends
        if math.isfinite(low) and math.isfinite(high):
            return low + (high - low) * torch.sigmoid(self.raw)
        if math.isfinite(low):
            return low + softplus(self.raw)
        return high - softplus(self.raw) if math.isfinite(high) else self.raw

    def refined(self) -> LearnedConstant:
        """The same for twice the steps, each pair with the value of the one it replaces."""
        found = LearnedConstant(self.given, self.name, len(self.raw))
        twice = self.raw.detach()
        twice = twice.repeat_interleave(2) if not self.given.shared else twice.clone()
        found.raw = nn.Parameter(twice, self.raw.requires_grad)
        return found

    def at_border(self) -> list[tuple[int, float]]:
        """The steps whose value training has pushed to an end, each with that end."""
        values, ends = self.values().tolist(), (self.given.low, self.given.high)
        return [
            (step, end)
            for step, value in enumerate(values)
            for end in ends
            if abs(value - end) <= 2 * self._margin
        ]

    @property
    def _margin(self) -> float:
        low, high, value = self.given.low, self.given.high, self.given.value
        least = min(value - low, high - value)
        return MARGIN * least if math.isfinite(least) else 0.0

    @property
    def _ends(self) -> tuple[float, float]:
        return self.given.low + self._margin, self.given.high - self._margin

    def _before(self, values: Tensor) -> Tensor:
        """The unbounded parameter that gives some values."""
        low, high = self._ends
        if math.isfinite(low) and math.isfinite(high):
            return torch.logit((values.double() - low) / (high - low)).to(values.dtype)
        if math.isfinite(low):
            return inverse_softplus(values - low)
        return inverse_softplus(high - values) if math.isfinite(high) else values

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return ", ".join(f"{value:g}" for value in self.values().tolist())
