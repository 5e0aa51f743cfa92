"""Kinds of argument that parameters and layers share: channel counts, ratios, initialisations."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from odenet.model.expressions.numbers import STATE_WIDTH, Width, fixed_width
from odenet.model.tables.argument_kinds import MOST, Call, Number, Subject, Word, describe
from odenet.model.tables.choices import Choice, Parameter

MOST_RATIO = 1000  # the largest n of a channel count `n c`, and the largest value of a Ratio
COUNT = Number(1, whole=True)
ANY = Number(float("-inf"))
YES_NO = Word(("yes", "no"))


@dataclass(frozen=True)
class ChannelCount:
    """A channel count: a whole number, or a multiple of `c`, the channel count of a state."""

    def description(self) -> str:
        """The accepted values, for a message."""
        return "a number of channels such as `2c` or `16`"

    def check(self, value: Any, subject: Subject) -> Any:
        """The value as a Width."""
        if isinstance(value, Width):
            valid = 0 <= value.multiple <= MOST_RATIO and value.constant == int(value.constant)
            valid = valid and abs(value.constant) <= MOST
            return value if valid else subject.refuse(self, "no number of channels")
        number = COUNT.check(value, subject)
        return None if number is None else fixed_width(number)


@dataclass(frozen=True)
class Ratio:
    """The ratio of the channels inside a layer to those outside: an exact fraction, at least 1."""

    DEFAULT: ClassVar = Fraction(8, 3)  # gives `glu` as many weights as an `mlp` of ratio 4 has

    def description(self) -> str:
        """The accepted values, for a message."""
        return f"a number such as 8/3, at least 1 and at most {MOST_RATIO}"

    def check(self, value: Any, subject: Subject) -> Any:
        """The value as a Fraction."""
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
            return subject.refuse(self, f"this is {describe(value)}, not a number")
        if not 1 <= value <= MOST_RATIO:
            return subject.refuse(self, "too small" if value < 1 else "too large")
        return Fraction(value).limit_denominator(MOST_RATIO)


@dataclass(frozen=True)
class Initialisation:
    """The initial value of a parameter: a named rule or a number."""

    rules: Choice

    def description(self) -> str:
        """The accepted values, for a message."""
        return f"a number, or {self.rules.description()}"

    def check(self, value: Any, subject: Subject) -> Any:
        """The call of a rule; a number becomes `constant(number)`."""
        if isinstance(value, Call):
            return self.rules.check(value, subject)
        if not isinstance(value, int | float | Fraction):
            return subject.refuse(self, f"this is {describe(value)}")
        number = ANY.check(value, subject)
        return None if number is None else Call("constant", (), {"value": number})


INITIALISATIONS = Choice(
    "initialisation",
    {
        "he": {},
        "default": {},
        "xavier": {},
        "orthogonal": {},
        "zeros": {},
        "ones": {},
        "normal": {"std": Parameter(Number(0), "is the standard deviation")},
        "uniform": {"a": Parameter(Number(0), "bounds the values by ± a")},
        "constant": {"value": Parameter(ANY, "is the value")},
    },
)


def init_code(call: Call) -> str:
    """The code of the argument `init` that odenet.runtime takes."""
    if call.kwargs:
        (argument,) = call.kwargs.values()
        return f'("{call.name}", {argument:g})'
    return f'"{call.name}"'


def init(rule: str) -> Parameter:
    """The argument `init`, with its default rule."""
    return Parameter(Initialisation(INITIALISATIONS), "says how it begins", Call(rule))


def channels(meaning: str) -> Parameter:
    """An argument that is a channel count; by default that of a state, `c`."""
    return Parameter(ChannelCount(), meaning, STATE_WIDTH)
