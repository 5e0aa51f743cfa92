"""The `discretise` line: the scheme, its constants, and how it fits the equations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from odenet.diagnostics import Diagnostic, Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.library import library, library_scheme
from odenet.model.elaboration.made import split_use
from odenet.model.elaboration.scheme_scope import SchemeScope
from odenet.model.elaboration.schemes import cost
from odenet.model.elaboration.values import Values
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import evaluate
from odenet.model.fitting.fit import fit, shape
from odenet.model.fitting.velocity import unread_velocity
from odenet.model.reading.declarations import Declarations
from odenet.model.reading.settings import Settings
from odenet.model.reading.step_constants import (
    is_step_constant,
    not_a_number,
    read_step_constant,
)
from odenet.model.tables.also_called import meant
from odenet.model.tables.argument_kinds import Call, Number, Parameter, Subject
from odenet.model.typed.components import mixed_groups
from odenet.model.typed.decay import decays_of
from odenet.model.typed.program import Discretisation, Dynamics
from odenet.model.typed.scheme import ADAPTIVE, COUNT, Scheme
from odenet.model.typed.step_constants import AtStep, Counted, StepConstant, in_use

STEP = Parameter(Number(0, open_low=True, double=True), "is the step size", 0.0)
HORIZON = Parameter(
    Number(0, open_low=True, double=True), "is the final time, for h = T / steps", 0.0
)
TOLERANCE = Parameter(Number(0, open_low=True, double=True), "is an error allowed per step", 0.0)
MOST_NAMED = 3  # schemes in a message
CONSTANT = Parameter(Number(float("-inf"), double=True), "is a constant of the scheme")


def read_discretisation(
    declared: Declarations, dynamics: Dynamics | None, outside: Settings, report: Report
) -> Discretisation | None:
    """The discretisation of a file; None without the line, or after reporting what is wrong.

    Args:
        declared: what the file declares.
        dynamics: its equations; None when they have an error, so that nothing can fit them.
        outside: values for the scheme's constants from outside.
        report: takes what is wrong.
    """
    line = _line(declared, report)
    if line is None:
        return None
    try:
        call, scheme = _scheme_in_use(line.scheme, declared)
        read = _Constants(call, scheme, report)
        constants = read.read(declared.values, outside)
        starts = _starts(line, scheme, declared, report)
    except Rejected:
        return None
    if dynamics is None:
        return None
    declared.scope.used |= set(scheme.maps)
    scheme = replace(scheme, starts=starts)
    fitted = fit(scheme, dynamics, line.scheme.span)
    if isinstance(fitted, Diagnostic):
        report.add(_with_alternatives(fitted, dynamics, line))
        return None
    unread = unread_velocity(scheme, dynamics, declared.file.of(tree.Initial))
    if unread is not None:
        report.add(unread)
        return None
    mixed = mixed_groups(scheme, fitted, line.scheme.span)
    if mixed is not None:
        report.add(mixed)
        return None
    try:
        constants |= _decays(scheme, dynamics, fitted, declared, report)
    except Rejected:
        return None
    h, horizon = constants.pop("h"), constants.pop("T")
    rtol, atol = constants.pop("rtol", None), constants.pop("atol", None)
    return Discretisation(
        scheme=scheme,
        h=h,
        horizon=horizon,
        constants=constants,
        starts=starts,
        groups=fitted,
        exact=line.exact,
        span=line.span,
        tolerance=None if rtol is None else (rtol, rtol if atol is None else atol),
        varying=read.varying,
    )


def _decays(
    scheme: Scheme,
    dynamics: Dynamics,
    groups: Mapping[str, tuple[expr.State, ...]],
    declared: Declarations,
    report: Report,
) -> dict[str, Any]:
    """The values that the equations give to the decays of a scheme; raises Rejected."""
    found: dict[str, Any] = {}
    for name, decay in decays_of(dynamics.system(scheme.patterns[0].order), scheme, groups).items():
        if any(isinstance(node, expr.VARYING) for node in decay.walk()):
            message = f"{scheme.name} takes the decay out of the equation, and needs it as a number"
            report.reject(
                "not-a-number", message, decay.span, help="write it as a number, or `let γ = 0.1`"
            )
        found[name] = declared.scope.evaluate(decay)
    return found


def _line(declared: Declarations, report: Report) -> tree.Discretise | None:
    """The one `discretise` line; None without one, or after reporting that there are more."""
    lines = declared.file.of(tree.Discretise)
    for extra in lines[1:]:
        report.error(
            "given-twice", "a file has one `discretise` line", extra.span, help="remove one"
        )
    return lines[0] if len(lines) == 1 else None


def _scheme_in_use(node: tree.Value, declared: Declarations) -> tuple[Call, Scheme]:
    """A scheme by name, or made in place, with the values of its constants; raises Rejected."""
    made = split_use(node)
    if made is None:
        call = declared.values.call(node, "a scheme")
        return call, declared.schemes.find(tree.Name(call.name, call.name, span=call.word))
    head, group = made
    scheme = declared.schemes.made(head)
    name = tree.Name(scheme.name, scheme.name, span=head.span)
    use = name if group is None else tree.Term((("", name), ("", group)), span=node.span)
    return declared.values.call(use, "a scheme"), scheme


class _Constants:
    """Reads the constants of a scheme with `h` and `T`."""

    def __init__(self, call: Call, scheme: Scheme, report: Report):
        self.call = call
        self.scheme = scheme
        self.report = report
        self.steps = {"h": STEP, "T": HORIZON} if scheme.uses_step_size else {}
        free = [name for name, _ in scheme.constants if name not in scheme.implied]
        self.form = {**dict.fromkeys(free, CONSTANT), **self.steps}
        if scheme.name in ADAPTIVE:
            self.form |= {"rtol": TOLERANCE, "atol": TOLERANCE}
        self.shown = {name: scheme.spellings.get(name, name) for name in self.form}
        self.before = report.errors
        self.varying: dict[str, StepConstant] = {}

    @property
    def failed(self) -> bool:
        """Whether something is wrong with them."""
        return self.report.errors > self.before

    def read(self, values: Values, outside: Settings) -> dict[str, Any]:
        """The values by name; raises Rejected."""
        given = self._given()
        replacing = outside.take(self.form, values)
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
            wrong = (
                "both h and T are given"
                if "h" in given
                else f"{self.scheme.name} needs a step size"
            )
            help_ = f"write {self.scheme.name}(h = 0.1), or T = 1 for h = T / steps"
            self.report.error("step-size", wrong, self.call.span, help=help_)
        if "atol" in given and "rtol" not in given:
            help_ = f"write {self.scheme.name}(rtol = …), and atol with it where they differ"
            self.report.error(
                "tolerance", "an error is allowed by `rtol`", given["atol"][1], help=help_
            )
        if self.varying and "rtol" in given:
            constant = next(iter(self.varying.values()))
            message = "steps to a tolerance take numbers that are the same in all of them"
            self.report.error(
                "tolerance", message, constant.span, help="remove rtol, or write one number"
            )
        if self.failed:
            raise Rejected
        if self.scheme.counts:
            self.varying[COUNT] = Counted(text=COUNT, span=self.call.span)
        numbers = {name: value for name, value in found.items() if value is not None}
        every = in_use(numbers, self.varying, self._lengths()) if self.varying else ()
        wrong = not_a_number(self.scheme, every or [AtStep("", numbers)])
        if wrong:
            counted = "n is 0 in the first step, and counts up to the last" * self.scheme.counts
            self.report.reject("undefined-number", wrong, self.call.span, help=counted)
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
        return constant.number

    def _lengths(self) -> list[int]:
        """How many steps to look at: those that lists have, else one."""
        lengths = [constant.length for constant in self.varying.values() if constant.length]
        return [min(lengths, default=1)]

    def _given(self) -> dict[str, tuple[Any, Any]]:
        """The arguments by name, each with its place."""
        takes = f"it takes {', '.join(self.shown.values())}" if self.form else "it takes none"
        by_position = dict(zip(self.form, enumerate(self.call.args), strict=False))
        given = {name: (value, self.call.place(i)) for name, (i, value) in by_position.items()}
        if len(self.call.args) > len(self.form):
            message = f"too many constants for {self.scheme.name}"
            self.report.error(
                "scheme-constant", message, self.call.place(len(self.form)), help=takes
            )
        for name, value in self.call.kwargs.items():
            place = self.call.place(name)
            if name not in self.form:
                unused = ": no line of it reads h" if name in ("h", "T") else ""
                message = f"{self.scheme.name} has no constant `{name}`"
                near = meant("argument", name, self.form)
                self.report.error("scheme-constant", message, place, near, takes + unused)
            elif name in given:
                self.report.error(
                    "given-twice", f"`{self.shown[name]}` is given twice", place, help="remove one"
                )
            else:
                given[name] = value, place
        return given

    def _default(self, name: str, default: expr.Node | None) -> Any:
        if default is not None:
            return evaluate(default, {})
        message = f"{self.scheme.name} needs a value for `{self.shown[name]}`"
        help_ = f"write {self.scheme.name}({self.shown[name]} = …)"
        self.report.error("scheme-constant", message, self.call.span, help=help_)
        return None


class StartScope(SchemeScope):
    """The names of a `start` line where a scheme is used: the scheme's, then the file's."""

    def __init__(self, scheme: Scheme, declared: Declarations, report: Report):
        block = tree.Scheme(
            tree.Name(scheme.name, scheme.name, span=scheme.span), None, (), span=scheme.span
        )
        super().__init__(block, report)
        self.file_scope = declared.scope
        self.unknowns = list(scheme.unknowns)
        self.functions = {p.function: p for p in scheme.patterns}
        self.numbers |= {name for name, _ in (*scheme.constants, *scheme.lets)}
        self.spellings = dict(scheme.spellings)
        self.inside_start = True

    def name(self, node: tree.Name):
        """The scheme's names, then the numbers and what is learned in the file."""
        found = super().name(node)
        if found is not None or node.id in self.unknowns:
            return found
        learned = {**self.file_scope.parameters, **self.file_scope.maps}
        if node.id in learned or self.file_scope.number(node) is not None:
            return self.file_scope.name(node)
        if node.id in self.file_scope.declared or node.id == "u":
            message = f"a start value reads the unknowns of the scheme, not `{node.spelling}`"
            known = [f"{self.spellings.get(n, n)}[0]" for n in self.unknowns]
            self.report.reject(
                "scheme-start", message, node.span, help=f"write {' or '.join(known)}"
            )
        return None


def _starts(line: tree.Discretise, scheme: Scheme, declared: Declarations, report: Report):
    """The scheme's start lines, replaced where the file gives its own; raises Rejected."""
    given = StartScope(scheme, declared, report).starts(line.starts)
    failed = len(given) < len(line.starts)
    starts = {slot: value for slot, value in scheme.starts}
    for slot, value in given:
        if slot not in starts:
            known = [f"{scheme.spellings[s.name]}[{s.offset}]" for s in starts]
            help_ = f"it starts from {', '.join(known)}" if known else "it starts from the states"
            report.error("scheme-start", f"{scheme.name} has no such start", slot.span, help=help_)
            failed = True
        starts[slot] = value
    if failed:
        raise Rejected
    return tuple(starts.items())


def _with_alternatives(misfit: Diagnostic, dynamics: Dynamics, line: tree.Discretise) -> Diagnostic:
    """The misfit, with the cheapest schemes of the library that take these equations."""
    takers: dict[str, list[Scheme]] = {}
    for name in library():
        scheme = library_scheme(name)
        if not isinstance(fit(scheme, dynamics, line.span), Diagnostic):
            takers.setdefault(shape(scheme), []).append(scheme)
    lines: list[str] = []
    damped_first = sorted(takers.items(), key=lambda taken: not taken[1][0].decays)
    for form, schemes in damped_first:
        names = [s.name for s in sorted(schemes, key=cost)]
        more = ", …" if len(names) > MOST_NAMED else ""
        verb = "takes" if len(names) == 1 else "take"
        lines.append(f"{', '.join(names[:MOST_NAMED])}{more} {verb} {form}")
    text = "; or ".join([*lines, *([misfit.help] if misfit.help else [])])
    return Diagnostic(misfit.code, misfit.message, misfit.span, misfit.label, text)
