"""Constants of a scheme that differ from step to step, as in `h = [0.6, 1.2]` or `learned(0.9)`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from odenet import sequences
from odenet.diagnostics import Span

Number = Fraction | float


@dataclass(frozen=True, kw_only=True)
class StepConstant:
    """The base class of such constants.

    Args:
        text: as it is written in the file.
        span: its place in the file.
    """

    text: str
    span: Span = field(compare=False, repr=False)

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """The values in a flow of `steps` steps: initial ones if learned, final ones of a ramp."""
        raise NotImplementedError

    @property
    def length(self) -> int | None:
        """The number of steps that it has values for; None if that is any number."""
        return None

    @property
    def first_value(self) -> Number:
        """Its first value, where one number is needed."""
        return self.values_for(self.length or 1)[0]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class Listed(StepConstant):
    """A list of values, `[0.6, 1.2, …]`."""

    values: tuple[Number, ...]

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """The values of the list."""
        return self.values

    @property
    def length(self) -> int:
        """The length of the list."""
        return len(self.values)


@dataclass(frozen=True, kw_only=True)
class Uniform(StepConstant):
    """`uniform(0.5, 1.5, seed = 1)`: random values, drawn once."""

    low: float
    high: float
    seed: int

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """One value drawn for each step."""
        return sequences.uniform(self.low, self.high, self.seed, steps)


@dataclass(frozen=True, kw_only=True)
class Geometric(StepConstant):
    """`geometric(0.5, ratio = 0.9)`: 0.5, 0.45, 0.405 and so on."""

    first: float
    ratio: float

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """The first `steps` terms of the sequence."""
        return sequences.geometric(self.first, self.ratio, steps)


@dataclass(frozen=True, kw_only=True)
class LearnedConstant(StepConstant):
    """`learned(0.9)`: a parameter with this initial value, one for each step unless shared."""

    value: float
    shared: bool

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """The initial value, in every step."""
        return (self.value,) * steps


@dataclass(frozen=True, kw_only=True)
class Ramp(StepConstant):
    """`ramp(0, 0.9, epochs = 10)`: changes in training; one of `epochs` and `steps` is None."""

    start: float
    end: float
    epochs: float | None
    steps: int | None

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """The final value, in every step."""
        return (self.end,) * steps


@dataclass(frozen=True, kw_only=True)
class StepNumber(StepConstant):
    """`n` in the formulas of a scheme: the number of the step."""

    def values_for(self, steps: int) -> tuple[Number, ...]:
        """0, 1, 2 and so on."""
        return tuple(map(Fraction, range(steps)))


@dataclass(frozen=True)
class StepValues:
    """The values of the constants of a scheme in one step.

    Args:
        step_name: the step, as text for a message.
        values: the values by name, with `h` if it is known.
    """

    step_name: str
    values: Mapping[str, Number]


def values_by_step(
    numbers: Mapping[str, Number], varying: Mapping[str, StepConstant], steps: int
) -> list[StepValues]:
    """The values of the constants in every step of a flow, ramps with their final values.

    Args:
        numbers: the constants of the scheme, by name.
        varying: those that differ from step to step.
        steps: the number of steps.
    """
    values = {name: constant.values_for(steps) for name, constant in varying.items()}
    return [
        StepValues(f"step {step}", {**numbers, **{name: v[step] for name, v in values.items()}})
        for step in range(steps)
    ]


def distinct_values(
    numbers: Mapping[str, Number], varying: Mapping[str, StepConstant], depths: Iterable[int]
) -> list[StepValues]:
    """The distinct values of the constants in all steps of several flows.

    Ramps have both their final and their initial values.

    Args:
        numbers: the constants of the scheme, by name.
        varying: those that differ from step to step.
        depths: the number of steps of each flow.
    """
    distinct: dict[tuple[Number, ...], StepValues] = {}
    starts = {name: c.start for name, c in varying.items() if isinstance(c, Ramp)}
    for step in (step for depth in depths for step in values_by_step(numbers, varying, depth)):
        distinct.setdefault(tuple(step.values.values()), step)
        if starts:
            name = f"{step.step_name} at the start of the ramp"
            ramp_start = StepValues(name, {**step.values, **starts})
            distinct.setdefault(tuple(ramp_start.values.values()), ramp_start)
    return list(distinct.values())
