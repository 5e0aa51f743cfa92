"""Reads the constants of a scheme on the `discretise` line, with the step size h and the time T."""

from dataclasses import replace
from typing import Any

from odenet.diagnostics import Rejected, Report
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import evaluate
from odenet.model.reading import step_constants
from odenet.model.reading.settings import Settings
from odenet.model.tables.argument_kinds import Call, Number, Subject
from odenet.model.tables.choices import Parameter
from odenet.model.tables.synonyms import help_for_name
from odenet.model.typed.scheme import STEP_NUMBER, TORCHDIFFEQ_METHODS, Scheme
from odenet.model.typed.step_constants import StepConstant, StepNumber, StepValues, distinct_values

LEARNED_EXAMPLE = "`learned(0.9)`"
POSITIVE = Number(0, open_low=True, double=True)
# `SchemeConstants.read` reports what is missing; the defaults here, 0.0, are not used.
STEP_SIZE = Parameter(replace(POSITIVE, learned_form=LEARNED_EXAMPLE), "is the step size", 0.0)
FINAL_TIME = Parameter(POSITIVE, "is the final time, for h = T / steps", 0.0)
TOLERANCE = Parameter(POSITIVE, "is an error allowed per step", 0.0)
ANY_NUMBER = Number(float("-inf"), double=True, learned_form=LEARNED_EXAMPLE)
CONSTANT = Parameter(ANY_NUMBER, "is a constant of the scheme")


class SchemeConstants:
    """Reads the constants in the brackets after a scheme, such as `verlet(h = 0.1)`.

    Args:
        call: the scheme with its brackets, as a call.
        scheme: the scheme.
        report: collects the errors.

    Attributes:
        step_parameters: `h` and `T`, if the scheme has a step size.
        parameters: the constants that can be given, in order, with the numbers they take.
        spellings: the same names, as the author wrote them.
        varying: the constants that differ from step to step.
    """

    def __init__(self, call: Call, scheme: Scheme, report: Report):
        self.call = call
        self.scheme = scheme
        self.report = report
        self.step_parameters = {"h": STEP_SIZE, "T": FINAL_TIME} if scheme.uses_step_size else {}
        names = [name for name, _ in scheme.constants if name not in scheme.implied_constants]
        self.parameters = {**dict.fromkeys(names, CONSTANT), **self.step_parameters}
        if scheme.name in TORCHDIFFEQ_METHODS:
            self.parameters |= {"rtol": TOLERANCE, "atol": TOLERANCE}
        self.spellings = {name: scheme.spellings.get(name, name) for name in self.parameters}
        self.errors_before = report.error_count
        self.varying: dict[str, StepConstant] = {}

    @property
    def failed(self) -> bool:
        """Whether errors in the constants were reported."""
        return self.report.error_count > self.errors_before

    def read(self, argument_reader: ArgumentReader, settings: Settings) -> dict[str, Any]:
        """The values of the constants by name; raises Rejected after reporting errors.

        `h` and `T` are None where they are not given. A constant that differs from step to step
        has one of its values here, and is in `varying`.

        Args:
            argument_reader: evaluates the settings.
            settings: the settings from outside the file, which replace constants.
        """
        given = self._given_constants()
        new_entries = settings.take(self.parameters, argument_reader)
        if {"h", "T"} & {entry.key for entry in new_entries}:
            given = {n: value for n, value in given.items() if n not in self.step_parameters}
        for entry in new_entries:
            given[entry.key] = entry.value, entry.value_span
        constants: dict[str, Any] = {"h": None, "T": None}
        for name, parameter in self.parameters.items():
            if name in given:
                value, span = given[name]
                meaning = f"in {self.scheme.name} {parameter.meaning}"
                subject = Subject(self.spellings[name], meaning, span, self.report.add)
                constants[name] = self._checked_value(name, value, subject)
        for name, default in self.scheme.constants:
            if name in self.parameters and name not in given:
                constants[name] = self._default_value(name, default)
        if self.step_parameters and not self.failed and ("h" in given) == ("T" in given):
            neither = f"{self.scheme.name} needs a step size"
            message = "both h and T are given" if "h" in given else neither
            help_ = f"write {self.scheme.name}(h = 0.1), or T = 1 for h = T / steps"
            self.report.error("step-size", message, self.call.span, help_)
        if "atol" in given and "rtol" not in given:
            _, span = given["atol"]
            help_ = f"write {self.scheme.name}(rtol = …), and atol with it where they differ"
            self.report.error("tolerance", "an error is allowed by `rtol`", span, help_)
        if self.varying and "rtol" in given:
            constant = next(iter(self.varying.values()))
            message = "steps to a tolerance take numbers that are the same in all of them"
            help_ = "remove rtol, or write one number"
            self.report.error("tolerance", message, constant.span, help_)
        if self.failed:
            raise Rejected
        if self.scheme.uses_step_number:
            self.varying[STEP_NUMBER] = StepNumber(text=STEP_NUMBER, span=self.call.span)
        numbers = {name: value for name, value in constants.items() if value is not None}
        values_by_step = [StepValues(step_name="", values=numbers)]
        if self.varying:
            values_by_step = distinct_values(numbers, self.varying, self._step_counts_to_check())
        problem = step_constants.undefined_number_message(self.scheme, values_by_step)
        if problem:
            help_ = step_constants.STEP_NUMBER_HELP * self.scheme.uses_step_number
            self.report.reject("undefined-number", problem, self.call.span, help_)
        return constants

    def _checked_value(self, name: str, value: Any, subject: Subject) -> Any:
        """The value of a constant; None after reporting an error.

        Of a constant that differs from step to step it is one of its values, as an example.
        """
        kind = self.parameters[name].kind
        assert isinstance(kind, Number)
        if not step_constants.is_step_constant(value) or name in ("T", "rtol", "atol"):
            return value if kind.check(value, subject) is not None else None
        constant = step_constants.read_step_constant(value, kind, subject)
        if constant is None:
            return None
        self.varying[name] = constant
        return constant.first_value

    def _step_counts_to_check(self) -> list[int]:
        """One number of steps: the length of the shortest listed constant; 1 if there is none.

        The constants are checked again for the flows of the net, once these are known.
        """
        lengths = [constant.length for constant in self.varying.values() if constant.length]
        return [min(lengths, default=1)]

    def _given_constants(self) -> dict[str, tuple[Any, Any]]:
        """The arguments of the call by name, each with its span."""
        help_ = f"it takes {', '.join(self.spellings.values()) or 'none'}"
        by_position = dict(zip(self.parameters, enumerate(self.call.args), strict=False))
        span_of = self.call.argument_span
        given = {name: (value, span_of(i)) for name, (i, value) in by_position.items()}
        if len(self.call.args) > len(self.parameters):
            message = f"too many constants for {self.scheme.name}"
            span = self.call.argument_span(len(self.parameters))
            self.report.error("scheme-constant", message, span, help_)
        for name, value in self.call.kwargs.items():
            span = self.call.argument_span(name)
            if name not in self.parameters:
                reason = ": no line of it reads h" if name in ("h", "T") else ""
                message = f"{self.scheme.name} has no constant `{name}`"
                label = help_for_name("argument", name, self.parameters)
                self.report.error("scheme-constant", message, span, help_ + reason, label=label)
            elif name in given:
                message = f"`{self.spellings[name]}` is given twice"
                self.report.error("given-twice", message, span, "remove one")
            else:
                given[name] = value, span
        return given

    def _default_value(self, name: str, default: expr.Node | None) -> Any:
        """The value of a default; None after reporting that there is none."""
        if default is not None:
            return evaluate(default, {})
        message = f"{self.scheme.name} needs a value for `{self.spellings[name]}`"
        help_ = f"write {self.scheme.name}({self.spellings[name]} = …)"
        self.report.error("scheme-constant", message, self.call.span, help_)
        return None
