"""Constants of a scheme that differ from step to step, are learned, or change during training.

A flow holds each of them as an object that is indexed by the step: a tuple of numbers, or one of
the modules below. The numbers are Python floats, whatever the flow's precision is, so that exact
arithmetic finds the fractions that were written.
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

MARGIN = 1e-3  # distance kept from bounds, relative to that of the initial value from the nearest


def exponential(x: float | Tensor) -> float | Tensor:
    """exp(x), of a number or a tensor."""
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def step_values(constant: Any, steps: int) -> Sequence[float | Tensor]:
    """A constant's values in all steps."""
    if isinstance(constant, LearnedConstant):
        values = constant.values().unbind()
        return values if len(values) == steps else values * steps
    return [constant[step] for step in range(steps)]


def as_numbers(constant: Any, steps: int) -> list[float]:
    """A constant's present values in all steps, as numbers."""
    values = step_values(constant, steps)
    return [float(value.detach()) if isinstance(value, Tensor) else value for value in values]


def time_before(h: Any, step: int) -> float:
    """The time before a step: the sum of the step sizes before it, rounded once.

    Args:
        h: the step sizes.
        step: the step, or the number of steps for the time at the end.

    Raises:
        ValueError: if they are learned, since gradients through the time are not computed.
    """
    if isinstance(h, LearnedConstant):
        raise ValueError("step sizes are learned, so that the time before a step is not a number")
    return math.fsum(h[earlier] for earlier in range(step))


def refine_constant(constant: Any, factor: float) -> Any:
    """The same constant for steps of half the size: each value serves for two steps.

    Args:
        constant: a constant of a flow, as an object that is indexed by the step.
        factor: multiplies the values: ½ for a step size, else 1.

    Raises:
        ValueError: if it is a learned step size.
    """
    match constant:
        case range():  # the step numbers themselves
            return range(2 * len(constant))
        case RandomConstant():
            return RandomConstant(refine_constant(constant.numbers, factor))
        case RampedConstant():
            start, end = constant.ramp.start * factor, constant.ramp.end * factor
            finer = RampedConstant(replace(constant.ramp, start=start, end=end), constant.name)
            finer.thousandths = constant.thousandths
            return finer
        case LearnedConstant():
            if factor != 1:
                raise ValueError("its step sizes are learned, and halves of them would not be")
            return constant.refined()
    return tuple(factor * value for value in constant for _ in range(2))


class RandomConstant(nn.Module):
    """Random numbers, one per step, which are saved in the ``state_dict`` of the flow."""

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


class RampedConstant(nn.Module):
    """A number, the same in all steps, that goes from one value to another during training."""

    def __init__(self, ramp: Ramp, name: str):
        super().__init__()
        self.ramp = ramp
        self.name = name
        self.thousandths = 0  # of the way from the ramp's start to its end

    @property
    def number(self) -> float:
        """The present value."""
        return interpolate(self.ramp.start, self.ramp.end, self.thousandths)

    def __getitem__(self, step: int) -> float:
        return self.number

    def move_to(self, fraction: float) -> None:
        """Sets the progress: 0 is the start, 1 and above the end."""
        self.thousandths = self.in_thousandths(fraction)

    @staticmethod
    def in_thousandths(fraction: float) -> int:
        """A progress from 0 to 1 in thousandths, rounded down."""
        return int(DIVISIONS * min(max(fraction, 0.0), 1.0))

    def get_extra_state(self) -> Tensor:
        """For ``state_dict``: the progress in thousandths."""
        return torch.tensor(self.thousandths)

    def set_extra_state(self, state: Tensor) -> None:
        """From ``state_dict``."""
        self.thousandths = int(state)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{self.number:g} on the way from {self.ramp.start:g} to {self.ramp.end:g}"


class LearnedConstant(nn.Module):
    """Learned values between bounds, computed from an unbounded parameter ``raw``.

    With two bounds the values are low + (high - low) sigmoid(raw), with one bound they differ from
    it by softplus(raw), and without bounds they are ``raw``. A margin remains between values and
    bounds, so that rounding cannot reach them.

    Args:
        options: the initial value and the bounds.
        name: the name of the constant, for messages.
        steps: number of values, 1 if all steps share one.
    """

    def __init__(self, options: Learned, name: str, steps: int):
        super().__init__()
        self.options = options
        self.name = name
        self.raw = nn.Parameter(self._unbounded(torch.full((steps,), float(options.value))))

    def __getitem__(self, step: int) -> Tensor:
        return self.values()[step if len(self.raw) > 1 else 0]

    def values(self) -> Tensor:
        """The values of all steps, ``(steps,)``, or the one that they share, ``(1,)``."""
        low, high = self._bounds
        if math.isfinite(low) and math.isfinite(high):
            return low + (high - low) * torch.sigmoid(self.raw)
        if math.isfinite(low):
            return low + softplus(self.raw)
        return high - softplus(self.raw) if math.isfinite(high) else self.raw

    def refined(self) -> LearnedConstant:
        """The same for twice as many steps: each value serves for two steps."""
        finer = LearnedConstant(self.options, self.name, len(self.raw))
        raw = self.raw.detach()
        raw = raw.repeat_interleave(2) if not self.options.shared else raw.clone()
        finer.raw = nn.Parameter(raw, self.raw.requires_grad)
        return finer

    def steps_at_bounds(self) -> list[tuple[int, float]]:
        """The steps whose value training has pushed to a bound, each with that bound."""
        values, bounds = self.values().tolist(), (self.options.low, self.options.high)
        return [
            (step, bound)
            for step, value in enumerate(values)
            for bound in bounds
            if abs(value - bound) <= 2 * self._margin
        ]

    @property
    def _margin(self) -> float:
        low, high, value = self.options.low, self.options.high, self.options.value
        distance = min(value - low, high - value)
        return MARGIN * distance if math.isfinite(distance) else 0.0

    @property
    def _bounds(self) -> tuple[float, float]:
        return self.options.low + self._margin, self.options.high - self._margin

    def _unbounded(self, values: Tensor) -> Tensor:
        """The parameter ``raw`` that gives these values."""
        low, high = self._bounds
        if math.isfinite(low) and math.isfinite(high):
            return torch.logit((values.double() - low) / (high - low)).to(values.dtype)
        if math.isfinite(low):
            return inverse_softplus(values - low)
        return inverse_softplus(high - values) if math.isfinite(high) else values

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return ", ".join(f"{value:g}" for value in self.values().tolist())
