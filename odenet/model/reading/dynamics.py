"""The equations, initial values and output of a file."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from odenet.diagnostics import Rejected, Report, suggest
from odenet.language import tree
from odenet.model.elaboration.elaborate import reads_sample
from odenet.model.elaboration.scope import SpecScope
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.fold import rebuilt
from odenet.model.expressions.numbers import C, NotANumber, closed, evaluate
from odenet.model.fitting.fit import reads_input
from odenet.model.fitting.widths import WidthInference
from odenet.model.typed.program import Dynamics


def read_dynamics(file: tree.File, scope: SpecScope, report: Report) -> Dynamics:
    """The dynamics of a file; whatever is wrong goes to the report.

    The widths of biases, diagonals and norms are found here and written to the scope's parameters.
    """
    lost = any(
        statement.kind in ("state", "use") for statement in file.statements_of(tree.Unparsed)
    )
    if not file.statements_of(tree.State) and not lost:
        help_ = "a model begins with `state Y` and an equation `Y' = …`"
        brought = (tree.Let, tree.Scheme, tree.MadeScheme)
        beside = (tree.Version, tree.Description, tree.Use)
        if file.statements and all(isinstance(s, (*brought, *beside)) for s in file.statements):
            name = Path(file.span.source.name).name
            help_ += f'; `use "{name}"` in one brings in the schemes and `let`s of this file'
        first = next(iter((*file.statements_of(tree.Equation), *file.statements)), file)
        report.error("missing-state", "this file has no state", first.span, help_)
    rates = _rates(file, scope, report)
    initial = _initial(file, scope, report)
    output = _output(file, scope, report)
    parts = sum(isinstance(value, expr.Split) for value in initial.values())
    widths = WidthInference(scope.parameters, C * max(parts, 1), report)
    for name, rate in rates.items():
        widths.check(rate, C, f"the state `{scope.declared[name].spelling}`")
    for state, value in initial.items():
        widths.check(value, C, f"the state `{scope.declared[state.name].spelling}`")
    width_out = widths.width(output)
    scope.parameters.update(widths.parameters)
    return Dynamics(
        states=dict(scope.states),
        rates=rates,
        initial=initial,
        output=output,
        input_parts=max(parts, 1),
        width_out=width_out,
        exogenous=any(reads_input(rate) for rate in rates.values()),
    )


def _rates(file: tree.File, scope: SpecScope, report: Report) -> Mapping[str, expr.Node]:
    found: dict[str, expr.Node] = {}
    lost = any(statement.kind == "state" for statement in file.statements_of(tree.Unparsed))
    for equation in file.statements_of(tree.Equation):
        name = equation.name
        if name.id in found:
            message = f"`{name.spelling}` has two equations"
            report.error("given-twice", message, name.span, "remove one")
        elif name.id not in scope.states:
            _undeclared(name, scope, lost, report)
        rate = _field(equation.value, scope)
        _check_no_split(rate, report)
        _check_beginning(rate, scope, report)
        found.setdefault(name.id, rate)
    return {name: found[name] for name in scope.states if name in found}


def _field(value: tree.Value, scope: SpecScope) -> expr.Node:
    """A formula for a field; zero after reporting what is wrong with it."""
    try:
        found = scope.elaborator.field(value)
        for number in closed(found, lambda node: isinstance(node, expr.VARYING)):
            scope.evaluate(number)
        _check_places(found, scope)
    except Rejected:
        scope.used |= _named(value, scope)
        return expr.Zero(span=value.span)
    return found


def _named(value: tree.Value, scope: SpecScope) -> set[str]:
    """The names in a formula, and in the lets that it names."""
    found: set[str] = set()
    left = [value]
    while left:
        new = {node.id for node in left.pop().walk() if isinstance(node, tree.Name)} - found
        found |= new
        left += [scope.lets[name].value for name in new if name in scope.lets]
    return found


def _undeclared(name: tree.Name, scope: SpecScope, lost: bool, report: Report) -> None:
    """Report an equation for something that is not a state, unless a `state` line was lost."""
    if name.id in scope.broken or scope.incomplete or lost:
        return
    scope.broken.add(name.id)
    if name.id in scope.declared:
        first = scope.declared[name.id].span
        message = f"`{name.spelling}` has an equation but is not a state"
        report.error("not-a-state", message, name.span, f"it is declared in line {first.line}")
        return
    near = suggest(name.spelling, scope.states)
    report.error("not-a-state", f"`{name.spelling}` has an equation but is not declared", name.span,
                 near or f"add `state {name.spelling}`")  # fmt: skip


def _initial(file: tree.File, scope: SpecScope, report: Report) -> Mapping[State, expr.Node]:
    """The initial values; by default the states share the input equally, and speeds are zero."""
    found: dict[State, expr.Node] = {}
    for line in file.statements_of(tree.Initial):
        name, state = line.name, State(line.name.id, line.order)
        if line.time.value != 0:
            report.error("initial-value", "initial values are given at time 0", line.time.span,
                         f"write `{name.spelling}(0) = …`")  # fmt: skip
        elif scope.states.get(name.id, 0) <= line.order:
            if name.id in scope.broken:
                continue
            what = expr.derivative(name.spelling, line.order)
            help_ = suggest(name.spelling, [s for s in scope.states if s != name.id])
            if name.id in scope.states:
                help_ = f"the equation of `{name.spelling}` is of first order"
            message = f"`{what}` is not an unknown of these equations"
            report.error("initial-value", message, name.span, help_)
        elif state in found:
            shown = f"{expr.derivative(name.spelling, line.order)}(0)"
            report.error("given-twice", f"`{shown}` is given twice", line.span, "remove one")
        else:
            found[state] = _field(line.value, scope)
            _check_initial(found[state], report)
    for name, order in scope.states.items():
        found.setdefault(State(name), expr.Split(expr.Input()))
        if order == 2:
            found.setdefault(State(name, 1), expr.Zero())
    return found


def _check_initial(value: expr.Node, report: Report) -> None:
    for node in value.walk():
        if isinstance(node, State):
            message = "an initial value reads the input `u`, not the states"
            report.error("initial-value", message, node.span, "at time 0 no state is known yet")
            return
    _check_no_time(value, "an initial value is that at time 0", report)
    if not isinstance(value, expr.Split):
        _check_no_split(value, report)


def _check_beginning(rate: expr.Node, scope: SpecScope, report: Report) -> None:
    """Report numbers that have no value at t = 0, where the first step begins, such as 1/t."""
    for number in closed(rate, lambda node: False):
        if any(isinstance(node, expr.Time) for node in number.walk()):
            try:
                evaluate(_begun(number), scope.constants())
            except NotANumber as error:
                message = f"at t = 0, where the first step begins, {error}"
                help_ = "shift the time, as in 1 / (1 + t)"
                report.error("undefined-number", message, number.span, help_)


def _begun(node: expr.Node) -> expr.Node:
    """A number at t = 0; what is learned in it is 1, as anything but 0 would do."""
    if isinstance(node, expr.VARYING):
        value = 0 if isinstance(node, expr.Time) else 1
        return expr.Number(Fraction(value), str(value), span=node.span)
    return rebuilt(node, _begun)


def _check_places(value: expr.Node, scope: SpecScope) -> None:
    """Report a convolution of what is the same at all places.

    It would be no bias: fewer terms are summed at the edges of a map, whose size a step is not
    told.
    """
    for node in value.walk():
        if not isinstance(node, expr.Apply) or reads_sample(node.operand):
            continue
        params = [part.name for part in node.operator.walk() if isinstance(part, expr.Param)]
        learned = [scope.parameters[name] for name in params]
        if any(each.kind.mixes_places and each.options.get("k") != 1 for each in learned):
            message = "this sums over places, and what it acts on is the same at all of them"
            help_ = (
                "put a formula inside that reads a state or `u`, as in `K (Y + b)`; alone, write "
                "the bias"
            )
            scope.report.error("wrong-kind", message, node.span, help_)


def _check_no_time(value: expr.Node, when: str, report: Report) -> None:
    for node in value.walk():
        if isinstance(node, expr.Time):
            message = f"`t` is the time in an equation, and {when}"
            report.error("no-time", message, node.span, "write a number, or a `param … : scalar`")
            return


def _check_no_split(value: expr.Node, report: Report) -> None:
    for node in value.walk():
        if isinstance(node, expr.Split):
            message = "`split(u)` must be the whole of an initial value"
            help_ = "write `Y(0) = split(u)`, or read `u` whole"
            report.error("initial-value", message, node.span, help_)


def _output(file: tree.File, scope: SpecScope, report: Report) -> expr.Node:
    lines = file.statements_of(tree.Output)
    states = tuple(State(name) for name in scope.states)
    default = expr.Concat(states) if states else expr.Zero()
    if not lines:
        return default
    for extra in lines[1:]:
        message = "a file has one output"
        report.error("given-twice", message, extra.span, "write `output concat(Y, Z)`")
    output = _field(lines[0].value, scope)
    _check_no_split(output, report)
    _check_no_time(output, "an output is taken after the last step", report)
    return output
