"""What a flow takes for a constant that differs from step to step, is learned, or moves."""

import math
from dataclasses import dataclass
from typing import Any

from odenet.runtime.learned.constants import Drawn, LearnedConstant, Moving
from odenet.sequences import geometric, uniform


@dataclass(frozen=True)
class Uniform:
    """A value for each step, drawn once, evenly from a range in thousandths of it."""

    low: float
    high: float
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"a range from {self.low} to {self.high} is empty")

    def made(self, name: str, steps: int) -> Drawn:
        """The constant of a flow."""
        return Drawn(uniform(self.low, self.high, self.seed, steps))


@dataclass(frozen=True)
class Geometric:
    """The first value, then each the one before it times a ratio."""

    first: float
    ratio: float

    def __post_init__(self) -> None:
        if not self.ratio > 0:
            raise ValueError(f"the ratio of a geometric sequence is above 0, not {self.ratio}")

    def made(self, name: str, steps: int) -> tuple[float, ...]:
        """The constant of a flow."""
        return geometric(self.first, self.ratio, steps)


@dataclass(frozen=True)
class Learned:
    """A parameter for each step, or one for all, between ends that it never reaches.

    Args:
        value: which it begins with.
        shared: one for all steps.
        low: an end that it stays above.
        high: an end that it stays below.
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

    def made(self, name: str, steps: int) -> LearnedConstant:
        """The constant of a flow."""
        return LearnedConstant(self, name, 1 if self.shared else steps)


@dataclass(frozen=True)
class Ramp:
    """One value for all steps that moves while training, in thousandths of its way.

    Args:
        start: its first value.
        end: its last one, at which it stays.
        epochs: of training, that it takes.
        steps: of the optimizer, that it takes; None where that is said in epochs.
    """

    start: float
    end: float
    epochs: float = 1.0
    steps: float | None = None

    def __post_init__(self) -> None:
        if not 0 < (self.epochs if self.steps is None else self.steps) < math.inf:
            raise ValueError(f"a ramp takes some time: more than 0 epochs or steps, unlike {self}")

    def made(self, name: str, steps: int) -> Moving:
        """The constant of a flow."""
        return Moving(self, name)


def per_step(name: str, given: Any, steps: int) -> Any:
    """A constant of a flow, by which a step's value is found.

    Args:
        name: for messages.
        given: a number, a sequence of numbers, or one of the kinds above.
        steps: of the flow.

    Raises:
        ValueError: if a sequence does not have one value for each step.
    """
    if isinstance(given, Uniform | Geometric | Learned | Ramp):
        return given.made(name, steps)
    if isinstance(given, int | float):
        return (given,) * steps
    values = tuple(float(value) for value in given)
    if len(values) != steps:
        raise ValueError(f"{name} has {len(values)} values, and the flow has {steps} steps")
    return values
