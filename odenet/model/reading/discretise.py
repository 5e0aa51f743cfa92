"""The `discretise` line: the scheme, its constants, and how it fits the equations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from odenet.diagnostics import Diagnostic, Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.made import split_use
from odenet.model.elaboration.schemes import cost
from odenet.model.expressions import expr
from odenet.model.fitting.fit import canonical_for_line, fit, schemes_for
from odenet.model.fitting.velocity import unsupported_velocity
from odenet.model.reading.declarations import Declarations
from odenet.model.reading.scheme_constants import SchemeConstants
from odenet.model.reading.settings import Settings
from odenet.model.reading.starts import read_starts
from odenet.model.tables.argument_kinds import Call
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.group_sizes import unequal_groups
from odenet.model.typed.program import Dynamics
from odenet.model.typed.right_hand_sides import decay_factors
from odenet.model.typed.scheme import Scheme

MOST_NAMED = 3  # schemes in a message


def read_discretisation(
    declared: Declarations, dynamics: Dynamics | None, overrides: Settings, report: Report
) -> Discretisation | None:
    """The discretisation of a file; None without the line, or after reporting what is wrong.

    Args:
        declared: what the file declares.
        dynamics: its equations; None when they have an error, so that nothing can fit them.
        overrides: values for the scheme's constants from overrides.
        report: takes what is wrong.
    """
    line = _line(declared, report)
    if line is None:
        return None
    try:
        call, scheme = _scheme_in_use(line.scheme, declared)
        read = SchemeConstants(call, scheme, report)
        constants = read.read(declared.arguments, overrides)
        starts = read_starts(line, scheme, declared, report)
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
    wrong = unsupported_velocity(scheme, dynamics, declared.file.statements_of(tree.Initial))
    wrong = wrong or unequal_groups(scheme, fitted, line.scheme.span)
    if wrong is not None:
        report.add(wrong)
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
    for name, decay in decay_factors(
        dynamics.system(scheme.patterns[0].order), scheme, groups
    ).items():
        if any(isinstance(node, expr.VARYING) for node in decay.walk()):
            message = f"{scheme.name} takes the decay out of the equation, and needs it as a number"
            help_ = "write it as a number, or `let γ = 0.1`"
            report.reject("not-a-number", message, decay.span, help_)
        found[name] = declared.scope.evaluate(decay)
    return found


def _line(declared: Declarations, report: Report) -> tree.Discretise | None:
    """The one `discretise` line; None without one, or after reporting that there are more."""
    lines = declared.file.statements_of(tree.Discretise)
    for extra in lines[1:]:
        report.error("given-twice", "a file has one `discretise` line", extra.span, "remove one")
    return lines[0] if len(lines) == 1 else None


def _scheme_in_use(node: tree.Value, declared: Declarations) -> tuple[Call, Scheme]:
    """A scheme by name, or made in place, with the values of its constants; raises Rejected."""
    made = split_use(node)
    if made is None:
        call = declared.arguments.call(node, "a scheme")
        return call, declared.schemes.find(tree.Name(call.name, call.name, span=call.name_span))
    head, group = made
    scheme = declared.schemes.made(head)
    name = tree.Name(scheme.name, scheme.name, span=head.span)
    use = name if group is None else tree.Term((("", name), ("", group)), span=node.span)
    return declared.arguments.call(use, "a scheme"), scheme


def _with_alternatives(misfit: Diagnostic, dynamics: Dynamics, line: tree.Discretise) -> Diagnostic:
    """The misfit, with the cheapest schemes of the library that take these equations."""
    alike: dict[str, list[Scheme]] = {}
    for scheme in schemes_for(dynamics, line.span):
        alike.setdefault(canonical_for_line(scheme), []).append(scheme)
    lines: list[str] = []
    damped_first = sorted(alike.items(), key=lambda taken: not taken[1][0].decays)
    for form, schemes in damped_first:
        names = [s.name for s in sorted(schemes, key=cost)]
        more = ", …" if len(names) > MOST_NAMED else ""
        verb = "takes" if len(names) == 1 else "take"
        lines.append(f"{', '.join(names[:MOST_NAMED])}{more} {verb} {form}")
    text = "; or ".join([*lines, *([misfit.help] if misfit.help else [])])
    return replace(misfit, help=text)
