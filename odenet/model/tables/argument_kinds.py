"""Kinds of argument: what values a key of the recipe or an argument of a layer takes.

A kind checks a value as it was written and converts it to the value that is used, or reports why it
is not accepted. Messages state the range of a number from the same fields as the check.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any, Protocol, TypeGuard

from odenet.diagnostics import Diagnostic

SINGLE_RANGE, DOUBLE_RANGE = (2e-38, 3e38), (1e-300, 1e300)  # least and largest absolute value
MOST = 10**9  # the largest whole number, for anything that is counted


@dataclass(frozen=True)
class Call:
    """A name with arguments, as in `sgd(lr = 0.1)`; a word alone is a call without arguments.

    Args:
        name: the name of what is called, such as a layer or an optimiser.
        args: values given by position.
        kwargs: values given by name. A checked call has all of its arguments here.
        span: the place of the whole call in the text; not compared.
        name_span: the span of its name.
        argument_spans: the spans of its arguments, by name or by position.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    span: Any = field(default=None, compare=False, repr=False)
    name_span: Any = field(default=None, compare=False, repr=False)
    argument_spans: Mapping[str | int, Any] = field(
        default_factory=dict[str | int, Any], compare=False, repr=False
    )

    def argument_span(self, argument: str | int) -> Any:
        """The span of an argument, or of the call if that is not known."""
        return self.argument_spans.get(argument, self.span)

    def __getitem__(self, argument: str) -> Any:
        return self.kwargs[argument]

    def __str__(self) -> str:
        named = [f"{key} = {show(value)}" for key, value in self.kwargs.items()]
        inside = ", ".join([*map(show, self.args), *named])
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class LayerChain:
    """An argument that is a chain of layers, `a -> b`, as text.

    Only `residual` takes one, and it reads the layers from the syntax tree.
    """

    source: str

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True)
class Subject:
    """The argument that is being checked, as messages describe it.

    Args:
        name: what messages call it.
        meaning: what they say after the name, such as "is the learning rate".
        span: its place in the text.
        report: takes the messages.
    """

    name: str
    meaning: str
    span: Any
    report: Callable[[Diagnostic], None]

    def refuse(self, kind: "ArgumentKind", label: str, help: str = "") -> None:
        """Report that a value is not accepted; `label` says why at the place in the text."""
        message = f"{self.name} {self.meaning}: {kind.description()}"
        self.report(Diagnostic("wrong-argument", message, self.span, help, label=label))


class ArgumentKind(Protocol):
    """What values an argument takes."""

    def description(self) -> str:
        """The accepted values, for a message."""
        ...

    def check(self, value: Any, subject: Subject) -> Any:
        """The converted value; None after reporting a problem."""
        ...


@dataclass(frozen=True)
class Number:
    """A number in a range.

    Args:
        low, high: the ends of the range, which belong to it unless `open_low`, `open_high`.
        whole: whether it is an integer.
        double: whether it may be out of the range of single precision.
        learned_form: for a message, what to write to have the number learned in training.
        help_if_too_small: for a message, what to write instead of a number that is too small.
    """

    low: float
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    whole: bool = False
    double: bool = False
    learned_form: str = ""
    help_if_too_small: str = ""

    def description(self) -> str:
        """The range, for example "above 0, at most 1"."""
        parts = ["a whole number"] if self.whole else []
        if self.low > float("-inf"):
            parts.append(f"{'above' if self.open_low else 'at least'} {_digits(self.low)}")
        if self.high is not None:
            parts.append(f"{'below' if self.open_high else 'at most'} {_digits(self.high)}")
        return ", ".join(parts) or "a number"

    def check(self, value: Any, subject: Subject) -> Any:
        """An int when whole, else a float."""
        if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
            word = str(value) if isinstance(value, Call) and str(value) == value.name else ""
            # The time and words of the language are not names to declare.
            is_name = word.lower() not in ("", "nan", "inf", "t", "yes", "no")
            form = self.learned_form
            learned = f"; one that is trained is written {form}" if form else ""
            advice = f"write a number, or declare this one: `let {word} = …`{learned}"
            help_ = advice if is_name else ""
            return subject.refuse(self, f"this is {describe(value)}, not a number", help_)
        least, most = DOUBLE_RANGE if self.double else SINGLE_RANGE
        most = max(MOST, self.high or 0) if self.whole else most
        if not abs(value) <= most:  # true of nan, too
            return subject.refuse(self, "out of reach")
        if self.whole and value != int(value):
            return subject.refuse(self, "not a whole number")
        converted = int(value) if self.whole else float(value)  # may round to an end of the range
        if value and abs(converted) < least:
            return subject.refuse(self, "too close to 0")
        below = converted <= self.low if self.open_low else converted < self.low
        above = self.high is not None and (
            converted >= self.high if self.open_high else converted > self.high
        )
        if below or above:
            label = "too small" if below else "too large"
            return subject.refuse(self, label, self.help_if_too_small * below)
        return converted


def _digits(number: float) -> str:
    """A number as text, a whole one with all its digits."""
    return str(int(number)) if number == int(number) else f"{number:g}"


@dataclass(frozen=True)
class Word:
    """One of a few words."""

    options: tuple[str, ...]

    def description(self) -> str:
        """The words in quotes, for a message."""
        return " or ".join(f"`{option}`" for option in self.options)

    def check(self, value: Any, subject: Subject) -> Any:
        """The word; a call without arguments counts as its name."""
        word = value.name if isinstance(value, Call) else value
        if word in self.options:
            return word
        return subject.refuse(self, f"this is {describe(value)}")


@dataclass(frozen=True)
class Text:
    """A quoted text, such as a path."""

    def description(self) -> str:
        """An example, for a message."""
        return 'a quoted text, as in "my pictures"'

    def check(self, value: Any, subject: Subject) -> Any:
        """The text; an empty one is refused."""
        if isinstance(value, str) and value:
            return value
        return subject.refuse(self, f"this is {describe(value)}" if value else "this is empty")


@dataclass(frozen=True)
class ListOf:
    """A list in brackets whose items are of one kind; of any length if `length` is None."""

    item: ArgumentKind
    increasing: bool = False
    length: int | None = None

    def description(self) -> str:
        """The number and kind of the items, for a message."""
        several = "a list" if self.length is None else f"a list of {self.length}"
        order = ", and larger than the one before" if self.increasing else ""
        return f"{several}, each {self.item.description()}{order}"

    def check(self, value: Any, subject: Subject) -> Any:
        """A tuple; a single item counts as a list of one."""
        items = value if is_list(value) else (value,)
        checked = tuple(self.item.check(item, subject) for item in items)
        if any(item is None for item in checked):
            return None
        if self.length not in (None, len(checked)):
            return subject.refuse(self, f"a list of {len(checked)}")
        if self.increasing and any(b <= a for a, b in pairwise(checked)):
            return subject.refuse(self, "not in increasing order")
        return checked


@dataclass(frozen=True)
class WordOr:
    """A word, or a value of another kind."""

    word: str
    kind: ArgumentKind

    def description(self) -> str:
        """The word in quotes and the other kind, for a message."""
        return f"`{self.word}`, or {self.kind.description()}"

    def check(self, value: Any, subject: Subject) -> Any:
        """The word, or the value as converted by the other kind."""
        if value == self.word or (isinstance(value, Call) and value.name == self.word):
            return self.word
        return self.kind.check(value, subject)


def describe(value: Any) -> str:
    """A value in words, for messages."""
    if isinstance(value, Call | LayerChain):
        return f"`{value}`"
    if isinstance(value, tuple | list):
        return "a list"
    if isinstance(value, str):
        return f'the text "{value}"'
    return show(value)


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether a value is a list of others; a text is not."""
    return isinstance(value, tuple | list)


def show(value: Any) -> str:
    """A value as it is written in a recipe."""
    if is_list(value):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, str):
        return value if value.isidentifier() else f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
