"""The kinds of constants that a user may pass to a flow in place of a number."""

import math
from dataclasses import dataclass
from typing import Any

from odenet.runtime.learned.constants import LearnedConstant, RampedConstant, RandomConstant
from odenet.sequences import geometric, uniform


@dataclass(frozen=True)
class Uniform:
    """A random value for each step, drawn once and uniformly from a range."""

    low: float
    high: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a range from {self.low} to {self.high} is empty")

    def build(self, name: str, steps: int) -> RandomConstant:
        """The constant of a flow."""
        return RandomConstant(uniform(self.low, self.high, self.seed, steps))


@dataclass(frozen=True)
class Geometric:
    """A geometric sequence: each value is the one before it times a ratio."""

    first: float
    ratio: float

    def __post_init__(self) -> None:
        if not self.ratio > 0:
            raise ValueError(f"the ratio of a geometric sequence is above 0, not {self.ratio}")

    def build(self, name: str, steps: int) -> tuple[float, ...]:
        """The constant of a flow."""
        return geometric(self.first, self.ratio, steps)


@dataclass(frozen=True)
class Learned:
    """A learned value for each step, or one for all.

    Args:
        value: the initial value.
        shared: learn one value for all steps.
        low: a bound that the value stays above.
        high: a bound that the value stays below.
    """

    value: float
    shared: bool = False
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.value < self.high:
            raise ValueError(
                f"a learned constant stays between {self.low} and {self.high}, "
                f"and cannot begin with {self.value}"
            )

    def build(self, name: str, steps: int) -> LearnedConstant:
        """The constant of a flow."""
        return LearnedConstant(self, name, 1 if self.shared else steps)


@dataclass(frozen=True)
class Ramp:
    """One value for all steps that goes linearly from one value to another during training.

    Args:
        start: its first value.
        end: its last value, at which it stays.
        epochs: its duration in epochs.
        steps: its duration in steps of the optimizer, instead of epochs.
    """

    start: float
    end: float
    epochs: float = 1.0
    steps: float | None = None

    def __post_init__(self) -> None:
        if not 0 < (self.epochs if self.steps is None else self.steps) < math.inf:
            raise ValueError(f"a ramp takes some time: more than 0 epochs or steps, unlike {self}")

    def build(self, name: str, steps: int) -> RampedConstant:
        """The constant of a flow."""
        return RampedConstant(self, name)


def per_step(name: str, value: Any, steps: int) -> Any:
    """The constant as a flow holds it: an object that gives a step's value by its index.

    Args:
        name: the name of the constant, for messages.
        value: a number, a sequence of numbers, or one of the kinds above.
        steps: number of steps of the flow.

    Raises:
        ValueError: if a sequence does not have one value for each step.
    """
    if isinstance(value, Uniform | Geometric | Learned | Ramp):
        return value.build(name, steps)
    if isinstance(value, int | float):
        return (value,) * steps
    values = tuple(float(value) for value in value)
    if len(values) != steps:
        raise ValueError(f"{name} has {len(values)} values, and the flow has {steps} steps")
    return values
