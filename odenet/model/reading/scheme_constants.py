"""The constants of a scheme where it is used, with h and T."""

from typing import Any

from odenet.diagnostics import Rejected, Report
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import evaluate
from odenet.model.reading.settings import Settings
from odenet.model.reading.step_constants import (
    is_step_constant,
    not_a_number,
    read_step_constant,
)
from odenet.model.tables.argument_kinds import Call, Number, Subject
from odenet.model.tables.choices import Parameter
from odenet.model.tables.synonyms import help_for_name
from odenet.model.typed.scheme import STEP_NUMBER, TORCHDIFFEQ_METHODS, Scheme
from odenet.model.typed.step_constants import StepConstant, StepNumber, StepValues, distinct_values

TRAINED = "`learned(0.9)`"
STEP = Parameter(
    Number(0, open_low=True, double=True, learned_form=TRAINED), "is the step size", 0.0
)
HORIZON = Parameter(
    Number(0, open_low=True, double=True), "is the final time, for h = T / steps", 0.0
)
TOLERANCE = Parameter(Number(0, open_low=True, double=True), "is an error allowed per step", 0.0)
CONSTANT = Parameter(
    Number(float("-inf"), double=True, learned_form=TRAINED), "is a constant of the scheme"
)


class SchemeConstants:
    """Reads the constants of a scheme with `h` and `T`."""

    def __init__(self, call: Call, scheme: Scheme, report: Report):
        self.call = call
        self.scheme = scheme
        self.report = report
        self.steps = {"h": STEP, "T": HORIZON} if scheme.uses_step_size else {}
        free = [name for name, _ in scheme.constants if name not in scheme.implied_constants]
        self.form = {**dict.fromkeys(free, CONSTANT), **self.steps}
        if scheme.name in TORCHDIFFEQ_METHODS:
            self.form |= {"rtol": TOLERANCE, "atol": TOLERANCE}
        self.shown = {name: scheme.spellings.get(name, name) for name in self.form}
        self.before = report.errors
        self.varying: dict[str, StepConstant] = {}

    @property
    def failed(self) -> bool:
        """Whether something is wrong with them."""
        return self.report.errors > self.before

    def read(self, arguments: ArgumentReader, overrides: Settings) -> dict[str, Any]:
        """The values by name; raises Rejected."""
        given = self._given()
        replacing = overrides.take(self.form, arguments)
        if {"h", "T"} & {entry.key for entry in replacing}:
            given = {name: value for name, value in given.items() if name not in self.steps}
        for entry in replacing:
            given[entry.key] = entry.value, entry.value_span
        found: dict[str, Any] = {"h": None, "T": None}
        for name, parameter in self.form.items():
            if name in given:
                value, place = given[name]
                meaning = f"in {self.scheme.name} {parameter.meaning}"
                about = Subject(self.shown[name], meaning, place, self.report.add)
                found[name] = self._value(name, value, about)
        for name, default in self.scheme.constants:
            if name in self.form and name not in given:
                found[name] = self._default(name, default)
        if self.steps and not self.failed and ("h" in given) == ("T" in given):
            neither = f"{self.scheme.name} needs a step size"
            wrong = "both h and T are given" if "h" in given else neither
            help_ = f"write {self.scheme.name}(h = 0.1), or T = 1 for h = T / steps"
            self.report.error("step-size", wrong, self.call.span, help_)
        if "atol" in given and "rtol" not in given:
            help_ = f"write {self.scheme.name}(rtol = …), and atol with it where they differ"
            self.report.error("tolerance", "an error is allowed by `rtol`", given["atol"][1], help_)
        if self.varying and "rtol" in given:
            constant = next(iter(self.varying.values()))
            message = "steps to a tolerance take numbers that are the same in all of them"
            help_ = "remove rtol, or write one number"
            self.report.error("tolerance", message, constant.span, help_)
        if self.failed:
            raise Rejected
        if self.scheme.uses_step_number:
            self.varying[STEP_NUMBER] = StepNumber(text=STEP_NUMBER, span=self.call.span)
        numbers = {name: value for name, value in found.items() if value is not None}
        every = distinct_values(numbers, self.varying, self._lengths()) if self.varying else ()
        wrong = not_a_number(self.scheme, every or [StepValues("", numbers)])
        if wrong:
            counted = (
                "n is 0 in the first step, and counts up to the last" * self.scheme.uses_step_number
            )
            self.report.reject("undefined-number", wrong, self.call.span, counted)
        return found

    def _value(self, name: str, value: Any, about: Subject) -> Any:
        """A number; one of its numbers for what differs from step to step. None if it is wrong."""
        kind = self.form[name].kind
        assert isinstance(kind, Number)
        if not is_step_constant(value) or name in ("T", "rtol", "atol"):
            return value if kind.check(value, about) is not None else None
        constant = read_step_constant(value, kind, about)
        if constant is None:
            return None
        self.varying[name] = constant
        return constant.first_value

    def _lengths(self) -> list[int]:
        """How many steps to look at: those that lists have, else one."""
        lengths = [constant.length for constant in self.varying.values() if constant.length]
        return [min(lengths, default=1)]

    def _given(self) -> dict[str, tuple[Any, Any]]:
        """The arguments by name, each with its place."""
        takes = f"it takes {', '.join(self.shown.values())}" if self.form else "it takes none"
        by_position = dict(zip(self.form, enumerate(self.call.args), strict=False))
        given = {
            name: (value, self.call.argument_span(i)) for name, (i, value) in by_position.items()
        }
        if len(self.call.args) > len(self.form):
            message = f"too many constants for {self.scheme.name}"
            self.report.error(
                "scheme-constant", message, self.call.argument_span(len(self.form)), takes
            )
        for name, value in self.call.kwargs.items():
            place = self.call.argument_span(name)
            if name not in self.form:
                unused = ": no line of it reads h" if name in ("h", "T") else ""
                message = f"{self.scheme.name} has no constant `{name}`"
                near = help_for_name("argument", name, self.form)
                self.report.error("scheme-constant", message, place, takes + unused, label=near)
            elif name in given:
                message = f"`{self.shown[name]}` is given twice"
                self.report.error("given-twice", message, place, "remove one")
            else:
                given[name] = value, place
        return given

    def _default(self, name: str, default: expr.Node | None) -> Any:
        if default is not None:
            return evaluate(default, {})
        message = f"{self.scheme.name} needs a value for `{self.shown[name]}`"
        help_ = f"write {self.scheme.name}({self.shown[name]} = …)"
        self.report.error("scheme-constant", message, self.call.span, help_)
        return None
