"""The equations, initial values and output of a file."""

from collections.abc import Mapping

from odenet.diagnostics import Report, suggest
from odenet.language import tree
from odenet.model import expr
from odenet.model.elaborate import Rejected
from odenet.model.expr import State
from odenet.model.fit import reads_input
from odenet.model.numbers import C, Width
from odenet.model.program import Dynamics
from odenet.model.scope import SpecScope
from odenet.model.widths import Widths


def read_dynamics(file: tree.File, scope: SpecScope, report: Report) -> Dynamics:
    """The dynamics of a file; whatever is wrong goes to the report.

    The widths of biases, diagonals and norms are found here and written to the scope's parameters.
    """
    if not scope.states:
        report.error("this file has no state", file.span if file.statements else None,
                     help="a model begins with `state Y` and an equation `Y' = …`")  # fmt: skip
    rates = _rates(file, scope, report)
    initial = _initial(file, scope, report)
    output = _output(file, scope, report)
    parts = sum(isinstance(value, expr.Split) for value in initial.values())
    widths = Widths(scope.parameters, C * max(parts, 1), report)
    for rate in rates.values():
        widths.check(rate, C)
    for value in initial.values():
        widths.check(value, C)
    width_out = widths.width(output)
    scope.parameters.update(widths.parameters)
    return Dynamics(
        dict(scope.states), rates, initial, output, max(parts, 1), width_out,
        any(reads_input(rate) for rate in rates.values()),
    )  # fmt: skip


def _rates(file: tree.File, scope: SpecScope, report: Report) -> Mapping[str, expr.Node]:
    found: dict[str, expr.Node] = {}
    for equation in file.of(tree.Equation):
        name = equation.name
        if name.id not in scope.states:
            near = suggest(name.spelling, scope.states)
            report.error(f"`{name.spelling}` has an equation but is not declared", name.span,
                         help=near or f"add `state {name.spelling}`")  # fmt: skip
            continue
        if name.id in found:
            report.error(f"`{name.spelling}` has two equations", name.span, help="remove one")
            continue
        try:
            found[name.id] = scope.elaborator.field(equation.value)
        except Rejected:
            found[name.id] = expr.Zero(span=equation.value.span)
    return {name: found[name] for name in scope.states if name in found}


def _initial(file: tree.File, scope: SpecScope, report: Report) -> Mapping[State, expr.Node]:
    """The initial values; by default the states share the input equally, and speeds are zero."""
    found: dict[State, expr.Node] = {}
    for line in file.of(tree.Initial):
        name, state = line.name, State(line.name.id, line.order)
        if line.time.value != 0:
            report.error("initial values are given at time 0", line.time.span,
                         help=f"write `{name.spelling}(0) = …`")  # fmt: skip
        elif scope.states.get(name.id, 0) <= line.order:
            what = f"{name.spelling}{chr(39) * line.order}"
            report.error(f"`{what}` is no unknown of these equations", name.span,
                         help=suggest(name.spelling, scope.states))  # fmt: skip
        elif state in found:
            report.error(f"`{name.spelling}(0)` is given twice", line.span)
        else:
            try:
                found[state] = scope.elaborator.field(line.value)
            except Rejected:
                found[state] = expr.Zero(span=line.value.span)
            _check_initial(found[state], report)
    for name, order in scope.states.items():
        found.setdefault(State(name), expr.Split(expr.Input()))
        if order == 2:
            found.setdefault(State(name, 1), expr.Zero())
    return found


def _check_initial(value: expr.Node, report: Report) -> None:
    for node in value.walk():
        if isinstance(node, State):
            report.error("an initial value reads the input `u`, not the states", node.span)


def _output(file: tree.File, scope: SpecScope, report: Report) -> expr.Node:
    lines = file.of(tree.Output)
    default = expr.Concat(tuple(State(name) for name in scope.states))
    if not lines:
        return default
    for extra in lines[1:]:
        report.error("a file has one output", extra.span, help="write `output concat(Y, Z)`")
    try:
        return scope.elaborator.field(lines[0].value)
    except Rejected:
        return default


def width_in(dynamics: Dynamics) -> Width:
    """The width of the flow's input."""
    return C * dynamics.parts
