"""The `discretise` line: the scheme, its constants, and how it fits the equations."""

from typing import Any

from odenet.diagnostics import Diagnostic, Report, suggest
from odenet.language import tree
from odenet.model import expr
from odenet.model.declarations import Declarations
from odenet.model.elaborate import Rejected
from odenet.model.fit import fit
from odenet.model.numbers import evaluate
from odenet.model.program import Discretisation, Dynamics
from odenet.model.recipe_values import Call, Number, Parameter, Problem, Subject
from odenet.model.scheme import Scheme
from odenet.model.schemes import SchemeReader, elaborate_scheme, library, library_scheme

STEP = Parameter(Number(0, open_low=True), "is the step size", 0.0)
HORIZON = Parameter(Number(0, open_low=True), "is the final time, for h = T / steps", 0.0)
CONSTANT = Parameter(Number(float("-inf")), "is a constant of the scheme")


def read_discretisation(
    declared: Declarations, dynamics: Dynamics, settings: dict[str, Any], report: Report
) -> Discretisation | None:
    """The discretisation of a file; None after reporting why there is none."""
    lines = declared.file.of(tree.Discretise)
    if len(lines) != 1:
        span = lines[1].span if lines else None
        message = "a file has one `discretise` line" if lines else "this file has no discretisation"
        report.error(message, span or declared.file.span, help="write, say, `discretise verlet(h = 0.1)`")
        return None
    line = lines[0]
    try:
        call = declared.values.call(line.scheme)
        scheme = find_scheme(call, declared, report)
        constants = _constants(call, scheme, settings, report)
        starts = _starts(line, scheme, declared, report)
    except Rejected:
        return None
    fitted = fit(scheme, dynamics, line.scheme.span)
    if isinstance(fitted, Diagnostic):
        report.add(_with_alternatives(fitted, dynamics, line))
        return None
    h, horizon = constants.pop("h"), constants.pop("T")
    return Discretisation(scheme, h, horizon, constants, starts, fitted, line.exact, line.span)


def find_scheme(call: Call, declared: Declarations, report: Report) -> Scheme:
    """A scheme of the file or of the library, by name; raises Rejected."""
    if call.name in declared.schemes:
        scheme = elaborate_scheme(declared.schemes[call.name], report)
        if scheme is None:
            raise Rejected
        return scheme
    if call.name in library():
        return library_scheme(call.name)
    known = [*library(), *declared.schemes]
    report.error(f"unknown scheme `{call.name}`", call.span, suggest(call.name, known),
                 f"known: {', '.join(sorted(known))}; or write `scheme {call.name} {{ … }}`")  # fmt: skip
    raise Rejected


def _constants(
    call: Call, scheme: Scheme, settings: dict[str, Any], report: Report
) -> dict[str, Any]:
    """The scheme's constants with `h` and `T`; raises Rejected."""
    form = {name: CONSTANT for name, _ in scheme.constants}
    steps = {"h": STEP, "T": HORIZON} if scheme.uses_step_size else {}
    given = dict(zip([*form, *steps], call.args, strict=False)) | dict(call.kwargs)
    given |= {name: settings.pop(name).value for name in (*form, *steps) if name in settings}
    fine = len(call.args) <= len(form) + len(steps)

    def problem(found: Problem) -> None:
        nonlocal fine
        fine = False
        report.error(found.message, found.span, found.label, found.help)

    for name in given:
        if name not in form and name not in steps:
            takes = ", ".join([*form, *steps]) or "no constants"
            if name in ("h", "T"):
                takes += ": no line of it reads h"
            problem(Problem(call.span, f"{scheme.name} has no constant `{name}`", suggest(name, form),
                            f"{scheme.name} takes {takes}"))  # fmt: skip
    values: dict[str, Any] = {"h": None, "T": None}
    for name, parameter in {**form, **steps}.items():
        if name in given:
            about = Subject(f"{name} in {scheme.name}", parameter.meaning, call.span, problem)
            checked = parameter.kind.check(given[name], about)
            values[name] = None if checked is None else given[name]
    for name, default in scheme.constants:
        if name not in values:
            values[name] = _default(name, default, scheme, call, problem)
    if steps and (values["h"] is None) == (values["T"] is None) and fine:
        both = "both h and T are given" if values["h"] else f"{scheme.name} needs a step size"
        problem(Problem(call.span, both, help=f"write {scheme.name}(h = 0.1), or T = 1 for h = T / steps"))
    if not fine:
        raise Rejected
    return values


def _default(name: str, default: expr.Node | None, scheme: Scheme, call: Call, problem) -> Any:
    if isinstance(default, expr.Node):
        return evaluate(default, {})
    problem(Problem(call.span, f"{scheme.name} needs a value for `{name}`",
                    help=f"write {scheme.name}({name} = …)"))  # fmt: skip
    return None


class StartScope(SchemeReader):
    """The names of a `start` line where a scheme is used: the scheme's, then the file's."""

    def __init__(self, scheme: Scheme, declared: Declarations, report: Report):
        block = tree.Scheme(tree.Name(scheme.name, scheme.name, span=scheme.span), None, (), span=scheme.span)
        super().__init__(block, report)
        self.file_scope = declared.scope
        self.unknowns = list(scheme.unknowns)
        self.functions = {p.function: p for p in scheme.patterns}
        self.numbers |= {name for name, _ in (*scheme.constants, *scheme.lets)}
        self.spellings = dict(scheme.spellings)
        self.inside_start = True

    def name(self, node: tree.Name):
        """The scheme's names hide the file's."""
        return super().name(node) or self.file_scope.name(node)


def _starts(line: tree.Discretise, scheme: Scheme, declared: Declarations, report: Report):
    """The scheme's start lines, replaced where the file gives its own; raises Rejected."""
    given = StartScope(scheme, declared, report).starts(line.starts)
    if len(given) < len(line.starts):
        raise Rejected
    starts = {slot: value for slot, value in scheme.starts}
    for slot, value in given:
        if slot not in scheme.slots:
            report.error(f"{scheme.name} keeps no such value", slot.span,
                         help="it starts from " + ", ".join(f"{s.name}[{s.offset}]" for s in starts))  # fmt: skip
            raise Rejected
        starts[slot] = value
    return tuple(starts.items())


def _with_alternatives(misfit: Diagnostic, dynamics: Dynamics, line: tree.Discretise) -> Diagnostic:
    """The misfit, with the schemes of the library that take these equations."""
    fitting = [
        name
        for name in library()
        if not isinstance(fit(library_scheme(name), dynamics, line.span), Diagnostic)
    ]
    help_ = f"these equations suit {', '.join(fitting)}" if fitting else ""
    text = "; or ".join(part for part in (help_, misfit.help) if part)
    return Diagnostic(misfit.message, misfit.span, misfit.label, text)
