"""Constants of a scheme with a value for each step: what a file gives in place of a number."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from odenet import sequences
from odenet.diagnostics import Span

Number = Fraction | float


@dataclass(frozen=True, kw_only=True)
class StepConstant:
    """What all kinds have.

    Args:
        text: as it is written.
        span: where.
    """

    text: str
    span: Span = field(compare=False, repr=False)

    def at(self, steps: int) -> tuple[Number, ...]:
        """The values in a flow of `steps` steps; those that training begins or ends with."""
        raise NotImplementedError

    @property
    def length(self) -> int | None:
        """How many steps it has values for; None where that is any number."""
        return None

    @property
    def number(self) -> Number:
        """One of its values, for what needs any."""
        return self.at(self.length or 1)[0]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class Given(StepConstant):
    """`[0.6, 1.2, …]`."""

    values: tuple[Number, ...]

    def at(self, steps: int) -> tuple[Number, ...]:
        """The values that are listed."""
        return self.values

    @property
    def length(self) -> int:
        """How many there are."""
        return len(self.values)


@dataclass(frozen=True, kw_only=True)
class Uniform(StepConstant):
    """`uniform(0.5, 1.5, seed = 1)`: drawn once."""

    low: float
    high: float
    seed: int

    def at(self, steps: int) -> tuple[Number, ...]:
        """One value drawn for each step."""
        return sequences.uniform(self.low, self.high, self.seed, steps)


@dataclass(frozen=True, kw_only=True)
class Geometric(StepConstant):
    """`geometric(0.5, ratio = 0.9)`."""

    first: float
    ratio: float

    def at(self, steps: int) -> tuple[Number, ...]:
        """The first `steps` terms."""
        return sequences.geometric(self.first, self.ratio, steps)


@dataclass(frozen=True, kw_only=True)
class Learned(StepConstant):
    """`learned(0.9)`: parameters that begin with this value."""

    value: float
    shared: bool

    def at(self, steps: int) -> tuple[Number, ...]:
        """The value, in every step."""
        return (self.value,) * steps


@dataclass(frozen=True, kw_only=True)
class Ramp(StepConstant):
    """`ramp(0, 0.9, epochs = 10)`: moved while training; of `epochs` and `steps` one is None."""

    start: float
    end: float
    epochs: float | None
    steps: int | None

    def at(self, steps: int) -> tuple[Number, ...]:
        """Where it ends, in every step."""
        return (self.end,) * steps


@dataclass(frozen=True, kw_only=True)
class Counted(StepConstant):
    """`n` in the lines of a scheme: the number of the step."""

    def at(self, steps: int) -> tuple[Number, ...]:
        """0, 1, 2 and so on."""
        return tuple(map(Fraction, range(steps)))


@dataclass(frozen=True)
class AtStep:
    """The numbers of a scheme in some step.

    Args:
        where: which step, in words.
        numbers: by name, `h` where it is known.
    """

    where: str
    numbers: Mapping[str, Number]


def at_steps(
    numbers: Mapping[str, Number], varying: Mapping[str, StepConstant], steps: int
) -> list[AtStep]:
    """The numbers in every step of a flow, constants that training moves at their ends.

    Args:
        numbers: of the scheme.
        varying: those of them that differ from step to step.
        steps: of the flow.
    """
    values = {name: constant.at(steps) for name, constant in varying.items()}
    return [
        AtStep(f"step {step}", {**numbers, **{name: v[step] for name, v in values.items()}})
        for step in range(steps)
    ]


def in_use(
    numbers: Mapping[str, Number], varying: Mapping[str, StepConstant], depths: Iterable[int]
) -> list[AtStep]:
    """The distinct numbers of all steps of some flows, ramps at their ends and at their starts.

    Args:
        numbers: of the scheme.
        varying: those of them that differ from step to step.
        depths: the steps of each flow.
    """
    found: dict[tuple[Number, ...], AtStep] = {}
    starts = {name: c.start for name, c in varying.items() if isinstance(c, Ramp)}
    for at in (at for depth in depths for at in at_steps(numbers, varying, depth)):
        found.setdefault(tuple(at.numbers.values()), at)
        if starts:
            begun = AtStep(f"{at.where} at the start of the ramp", {**at.numbers, **starts})
            found.setdefault(tuple(begun.numbers.values()), begun)
    return list(found.values())
