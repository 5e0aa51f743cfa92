"""Reads the `discretise` line: the scheme, its constants, and its match with the equations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from odenet.diagnostics import Diagnostic, Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.made_schemes import split_made_scheme
from odenet.model.elaboration.scheme_reader import scheme_cost
from odenet.model.expressions import expr
from odenet.model.fitting.fit import canonical_for_line, fit, schemes_for
from odenet.model.fitting.velocity import unsupported_velocity
from odenet.model.reading.declarations import Declarations
from odenet.model.reading.scheme_constants import SchemeConstants
from odenet.model.reading.settings import Settings
from odenet.model.reading.start_values import read_starts
from odenet.model.tables.argument_kinds import Call
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.group_sizes import unequal_groups_error
from odenet.model.typed.program import Dynamics
from odenet.model.typed.right_hand_sides import decay_factors
from odenet.model.typed.scheme import Scheme

MOST_NAMED = 3  # schemes in a message


def read_discretisation(
    declarations: Declarations, dynamics: Dynamics | None, settings: Settings, report: Report
) -> Discretisation | None:
    """The discretisation of a file; None without the line, or after reporting an error.

    Args:
        declarations: the declarations of the file.
        dynamics: its equations; None if they have an error, so that nothing is matched with them.
        settings: the settings from outside the file; those of the scheme's constants are used.
        report: collects the errors.
    """
    line = _line(declarations, report)
    if line is None:
        return None
    try:
        call, scheme = _scheme_in_use(line.scheme, declarations)
        reader = SchemeConstants(call, scheme, report)
        constants = reader.read(declarations.argument_reader, settings)
        starts = read_starts(line, scheme, declarations, report)
    except Rejected:
        return None
    if dynamics is None:
        return None
    declarations.scope.used_names |= set(scheme.maps)
    scheme = replace(scheme, starts=starts)
    groups = fit(scheme, dynamics, line.scheme.span)
    if isinstance(groups, Diagnostic):
        report.add(_with_alternatives(groups, dynamics, line))
        return None
    problem = unsupported_velocity(scheme, dynamics, declarations.file.statements_of(tree.Initial))
    problem = problem or unequal_groups_error(scheme, groups, line.scheme.span)
    if problem is not None:
        report.add(problem)
        return None
    try:
        constants |= _decays(scheme, dynamics, groups, declarations, report)
    except Rejected:
        return None
    h, final_time = constants.pop("h"), constants.pop("T")
    rtol, atol = constants.pop("rtol", None), constants.pop("atol", None)
    return Discretisation(
        scheme=scheme,
        h=h,
        final_time=final_time,
        constants=constants,
        starts=starts,
        groups=groups,
        exact=line.exact,
        span=line.span,
        tolerance=None if rtol is None else (rtol, rtol if atol is None else atol),
        varying=reader.varying,
    )


def _decays(
    scheme: Scheme,
    dynamics: Dynamics,
    groups: Mapping[str, tuple[expr.State, ...]],
    declarations: Declarations,
    report: Report,
) -> dict[str, Any]:
    """The values of the scheme's decay constants, read off the equations; raises Rejected."""
    values: dict[str, Any] = {}
    system = dynamics.system(scheme.patterns[0].order)
    for name, decay in decay_factors(system, scheme, groups).items():
        if any(isinstance(node, expr.NON_CONSTANT) for node in decay.walk()):
            message = f"{scheme.name} takes the decay out of the equation, and needs it as a number"
            help_ = "write it as a number, or `let γ = 0.1`"
            report.reject("not-a-number", message, decay.span, help_)
        values[name] = declarations.scope.evaluate(decay)
    return values


def _line(declarations: Declarations, report: Report) -> tree.Discretise | None:
    """The one `discretise` line; None without one, or after reporting that there are more."""
    lines = declarations.file.statements_of(tree.Discretise)
    for extra in lines[1:]:
        report.error("given-twice", "a file has one `discretise` line", extra.span, "remove one")
    return lines[0] if len(lines) == 1 else None


def _scheme_in_use(node: tree.Value, declarations: Declarations) -> tuple[Call, Scheme]:
    """The scheme of the line, named or made in place, and its constants as a call.

    Raises Rejected after reporting an error.
    """
    split = split_made_scheme(node)
    if split is None:
        call = declarations.argument_reader.call(node, "a scheme")
        return call, declarations.schemes.find(tree.Name(call.name, call.name, span=call.name_span))
    head, args = split
    scheme = declarations.schemes.make(head)
    name = tree.Name(scheme.name, scheme.name, span=head.span)
    call_node = name if args is None else tree.Term((("", name), ("", args)), span=node.span)
    return declarations.argument_reader.call(call_node, "a scheme"), scheme


def _with_alternatives(misfit: Diagnostic, dynamics: Dynamics, line: tree.Discretise) -> Diagnostic:
    """An error of a scheme that does not fit, with the cheapest library schemes that do."""
    schemes_by_equations: dict[str, list[Scheme]] = {}
    for scheme in schemes_for(dynamics, line.span):
        schemes_by_equations.setdefault(canonical_for_line(scheme), []).append(scheme)
    lines: list[str] = []
    damped_first = sorted(schemes_by_equations.items(), key=lambda item: not item[1][0].decays)
    for equations, schemes in damped_first:
        names = [s.name for s in sorted(schemes, key=scheme_cost)]
        ellipsis = ", …" if len(names) > MOST_NAMED else ""
        verb = "takes" if len(names) == 1 else "take"
        lines.append(f"{', '.join(names[:MOST_NAMED])}{ellipsis} {verb} {equations}")
    help_ = "; or ".join([*lines, *([misfit.help] if misfit.help else [])])
    return replace(misfit, help=help_)
