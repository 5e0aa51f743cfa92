"""The kinds of argument that parameters and layers share: channel counts, how values begin."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from odenet.model.expressions.numbers import C, Width, fixed
from odenet.model.tables.argument_kinds import MOST, Call, Number, Subject, Word, describe
from odenet.model.tables.choices import Choice, Parameter

MOST_TIMES = 1000  # the channels of a state
COUNT = Number(1, whole=True)
ANY = Number(float("-inf"))
YES = Word(("yes", "no"))


@dataclass(frozen=True)
class ChannelCount:
    """A width: a whole number of channels, or a multiple of `c`."""

    def words(self) -> str:
        """What to write."""
        return "a number of channels such as `2c` or `16`"

    def check(self, value: Any, subject: Subject) -> Any:
        """The value as a Width."""
        if isinstance(value, Width):
            good = 0 <= value.multiple <= MOST_TIMES and value.constant == int(value.constant)
            good = good and abs(value.constant) <= MOST
            return value if good else subject.refuse(self, "no number of channels")
        number = COUNT.check(value, subject)
        return None if number is None else fixed(number)


@dataclass(frozen=True)
class Ratio:
    """How much wider something is: an exact fraction, at least 1."""

    USUAL: ClassVar = Fraction(8, 3)  # of a gated layer with as many weights as one without, 4 wide

    def words(self) -> str:
        """What to write."""
        return f"a number such as 8/3, at least 1 and at most {MOST_TIMES}"

    def check(self, value: Any, subject: Subject) -> Any:
        """The value as a Fraction."""
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
            return subject.refuse(self, f"this is {describe(value)}, not a number")
        if not 1 <= value <= MOST_TIMES:
            return subject.refuse(self, "too small" if value < 1 else "too large")
        return Fraction(value).limit_denominator(MOST_TIMES)


@dataclass(frozen=True)
class Initialisation:
    """How a parameter begins: a named rule or a number."""

    rules: Choice

    def words(self) -> str:
        """What to write."""
        return f"a number, or {self.rules.words()}"

    def check(self, value: Any, subject: Subject) -> Any:
        """The Call of a rule; a number is `constant(number)`."""
        if isinstance(value, Call):
            return self.rules.check(value, subject)
        if isinstance(value, str | tuple):
            return subject.refuse(self, f"this is {describe(value)}")
        number = ANY.check(value, subject)
        return None if number is None else Call("constant", (), {"value": number})


RULES = Choice(
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
    """A rule as the argument that odenet.runtime takes."""
    if call.kwargs:
        (argument,) = call.kwargs.values()
        return f'("{call.name}", {argument:g})'
    return f'"{call.name}"'


def init(rule: str) -> Parameter:
    """The argument `init`, with the rule that holds where none is given."""
    return Parameter(Initialisation(RULES), "says how it begins", Call(rule))


def channels(meaning: str) -> Parameter:
    """An argument that counts channels; as many as a state has where none is given."""
    return Parameter(ChannelCount(), meaning, C)
