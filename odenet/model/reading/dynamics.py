"""Reads the equations, initial values and output of a file."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from odenet.diagnostics import Rejected, Report, suggest
from odenet.language import tree
from odenet.model.elaboration.elaborate import depends_on_sample
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.fold import map_children
from odenet.model.expressions.numbers import STATE_WIDTH, EvaluationError, evaluate, known_scalars
from odenet.model.fitting.fit import reads_input
from odenet.model.fitting.widths import WidthInference
from odenet.model.typed.program import Dynamics


def read_dynamics(file: tree.File, scope: SpecScope, report: Report) -> Dynamics:
    """The dynamics of a file; errors go to the report.

    The widths (channel counts) of biases, diagonal operators and norms follow from the equations.
    They are found here, and written to the parameters of the scope.
    """
    lost_statements = file.statements_of(tree.Unparsed)
    may_have_state = any(statement.kind in ("state", "use") for statement in lost_statements)
    if not file.statements_of(tree.State) and not may_have_state:
        help_ = "a model begins with `state Y` and an equation `Y' = …`"
        for_use = (tree.Let, tree.Scheme, tree.MadeScheme)  # what another file can bring in
        neutral = (tree.Version, tree.Description, tree.Use)
        if file.statements and all(isinstance(s, (*for_use, *neutral)) for s in file.statements):
            name = Path(file.span.source.name).name
            help_ += f'; `use "{name}"` in one brings in the schemes and `let`s of this file'
        first_statement = next(iter((*file.statements_of(tree.Equation), *file.statements)), file)
        report.error("missing-state", "this file has no state", first_statement.span, help_)
    rates = _read_rates(file, scope, report)
    initial = _read_initial(file, scope, report)
    output = _read_output(file, scope, report)
    split_count = sum(isinstance(value, expr.Split) for value in initial.values())
    widths = WidthInference(scope.parameters, STATE_WIDTH * max(split_count, 1), report)
    for name, rate in rates.items():
        widths.check(rate, STATE_WIDTH, f"the state `{scope.declared[name].spelling}`")
    for state, value in initial.items():
        widths.check(value, STATE_WIDTH, f"the state `{scope.declared[state.name].spelling}`")
    width_out = widths.width(output)
    scope.parameters.update(widths.parameters)
    return Dynamics(
        states=dict(scope.states),
        rates=rates,
        initial=initial,
        output=output,
        input_parts=max(split_count, 1),
        width_out=width_out,
        reads_input=any(reads_input(rate) for rate in rates.values()),
    )


def _read_rates(file: tree.File, scope: SpecScope, report: Report) -> Mapping[str, expr.Node]:
    """The right-hand side of each state's equation."""
    rates: dict[str, expr.Node] = {}
    state_lost = any(statement.kind == "state" for statement in file.statements_of(tree.Unparsed))
    for equation in file.statements_of(tree.Equation):
        name = equation.name
        if name.id in rates:
            message = f"`{name.spelling}` has two equations"
            report.error("given-twice", message, name.span, "remove one")
        elif name.id not in scope.states:
            _report_undeclared(name, scope, state_lost, report)
        rate = _read_field(equation.value, scope)
        _check_no_split(rate, report)
        _check_first_time(rate, scope, report)
        rates.setdefault(name.id, rate)
    return {name: rates[name] for name in scope.states if name in rates}


def _read_field(value: tree.Value, scope: SpecScope) -> expr.Node:
    """The expression of a formula for a field; zero after reporting its errors."""
    try:
        expression = scope.elaborator.field(value)
        for number in known_scalars(expression, lambda node: isinstance(node, expr.NON_CONSTANT)):
            scope.evaluate(number)
        _check_pixels(expression, scope)
    except Rejected:
        scope.used_names |= _names_in(value, scope)
        return expr.Zero(span=value.span)
    return expression


def _names_in(value: tree.Value, scope: SpecScope) -> set[str]:
    """The names in a formula, and in the lets that it names directly or through other lets."""
    names: set[str] = set()
    remaining = [value]
    while remaining:
        new = {node.id for node in remaining.pop().walk() if isinstance(node, tree.Name)} - names
        names |= new
        remaining += [scope.lets[name].value for name in new if name in scope.lets]
    return names


def _report_undeclared(name: tree.Name, scope: SpecScope, state_lost: bool, report: Report) -> None:
    """Report an equation for a name that is not a state, unless a `state` line was not parsed."""
    if name.id in scope.broken_names or scope.incomplete or state_lost:
        return
    scope.broken_names.add(name.id)
    if name.id in scope.declared:
        help_ = f"it is declared in line {scope.declared[name.id].span.line}"
        message = f"`{name.spelling}` has an equation but is not a state"
        report.error("not-a-state", message, name.span, help_)
        return
    suggestion = suggest(name.spelling, scope.states)
    report.error("not-a-state", f"`{name.spelling}` has an equation but is not declared", name.span,
                 suggestion or f"add `state {name.spelling}`")  # fmt: skip


def _read_initial(file: tree.File, scope: SpecScope, report: Report) -> Mapping[State, expr.Node]:
    """The initial values; by default the states share the input equally, and velocities are 0."""
    values: dict[State, expr.Node] = {}
    for line in file.statements_of(tree.Initial):
        name, state = line.name, State(line.name.id, line.order)
        if line.time.value != 0:
            report.error("initial-value", "initial values are given at time 0", line.time.span,
                         f"write `{name.spelling}(0) = …`")  # fmt: skip
        elif scope.states.get(name.id, 0) <= line.order:
            if name.id in scope.broken_names:
                continue
            target = expr.with_primes(name.spelling, line.order)
            help_ = suggest(name.spelling, [s for s in scope.states if s != name.id])
            if name.id in scope.states:
                help_ = f"the equation of `{name.spelling}` is of first order"
            message = f"`{target}` is not an unknown of these equations"
            report.error("initial-value", message, name.span, help_)
        elif state in values:
            target = f"{expr.with_primes(name.spelling, line.order)}(0)"
            report.error("given-twice", f"`{target}` is given twice", line.span, "remove one")
        else:
            values[state] = _read_field(line.value, scope)
            _check_initial(values[state], report)
    for name, order in scope.states.items():
        values.setdefault(State(name), expr.Split(expr.Input()))
        if order == 2:
            values.setdefault(State(name, 1), expr.Zero())
    return values


def _check_initial(value: expr.Node, report: Report) -> None:
    """Report an initial value that reads a state or the time, or has `split(u)` in a formula."""
    for node in value.walk():
        if isinstance(node, State):
            message = "an initial value reads the input `u`, not the states"
            report.error("initial-value", message, node.span, "at time 0 no state is known yet")
            return
    _check_no_time(value, "an initial value is that at time 0", report)
    if not isinstance(value, expr.Split):
        _check_no_split(value, report)


def _check_first_time(rate: expr.Node, scope: SpecScope, report: Report) -> None:
    """Report numbers without a value at t = 0, where the first step begins, such as 1/t."""
    for number in known_scalars(rate, lambda node: False):
        if any(isinstance(node, expr.Time) for node in number.walk()):
            try:
                evaluate(_at_time_zero(number), scope.constants())
            except EvaluationError as error:
                message = f"at t = 0, where the first step begins, {error}"
                help_ = "shift the time, as in 1 / (1 + t)"
                report.error("undefined-number", message, number.span, help_)


def _at_time_zero(node: expr.Node) -> expr.Node:
    """A scalar formula at t = 0, with 1, an arbitrary value but 0, for learned numbers."""
    if isinstance(node, expr.NON_CONSTANT):
        value = 0 if isinstance(node, expr.Time) else 1
        return expr.Number(Fraction(value), str(value), span=node.span)
    return map_children(node, _at_time_zero)


def _check_pixels(value: expr.Node, scope: SpecScope) -> None:
    """Report a convolution of a field that is the same at all pixels, as a bias is.

    Its result would not be the same at all pixels: at the edges fewer terms are summed. It would
    depend on the size of the feature map, which a step does not know.
    """
    for node in value.walk():
        if not isinstance(node, expr.Apply) or depends_on_sample(node.operand):
            continue
        names = [p.name for p in node.operator.walk() if isinstance(p, expr.LearnedOperator)]
        parameters = [scope.parameters[name] for name in names]
        if any(p.kind.mixes_places and p.options.get("k") != 1 for p in parameters):
            message = "this sums over places, and what it acts on is the same at all of them"
            help_ = (
                "put a formula inside that reads a state or `u`, as in `K (Y + b)`; alone, write "
                "the bias"
            )
            scope.report.error("wrong-kind", message, node.span, help_)


def _check_no_time(value: expr.Node, reason: str, report: Report) -> None:
    """Report the time in a formula that is not an equation; `reason` says why it is wrong there."""
    for node in value.walk():
        if isinstance(node, expr.Time):
            message = f"`t` is the time in an equation, and {reason}"
            report.error("no-time", message, node.span, "write a number, or a `param … : scalar`")
            return


def _check_no_split(value: expr.Node, report: Report) -> None:
    """Report `split(u)` in a formula."""
    for node in value.walk():
        if isinstance(node, expr.Split):
            message = "`split(u)` must be the whole of an initial value"
            help_ = "write `Y(0) = split(u)`, or read `u` whole"
            report.error("initial-value", message, node.span, help_)


def _read_output(file: tree.File, scope: SpecScope, report: Report) -> expr.Node:
    """The output of the flow; by default all states, stacked along the channels."""
    lines = file.statements_of(tree.Output)
    states = tuple(State(name) for name in scope.states)
    default = expr.Concat(states) if states else expr.Zero()
    if not lines:
        return default
    for extra in lines[1:]:
        message = "a file has one output"
        report.error("given-twice", message, extra.span, "write `output concat(Y, Z)`")
    output = _read_field(lines[0].value, scope)
    _check_no_split(output, report)
    _check_no_time(output, "an output is taken after the last step", report)
    return output
