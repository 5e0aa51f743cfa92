"""A typed program, which is a checked `.ode` file, as text: `odenet compile --emit program`."""

from collections.abc import Iterable, Iterator, Mapping

from odenet.counted import counted
from odenet.model.expressions.expr import State, with_primes
from odenet.model.expressions.numbers import Width
from odenet.model.tables.argument_kinds import show
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import Layer, Shape
from odenet.model.typed.dialects import OdeDialect
from odenet.model.typed.group_sizes import group_unknowns
from odenet.model.typed.notation import Notation
from odenet.model.typed.program import Model


def overview(model: Model) -> str:
    """A table for each: numbers, parameters, maps, equations, steps, claims, network, recipe."""
    tables = {
        "numbers": [(model.spellings.get(n, n), show(v)) for n, v in model.constants.items()],
        "parameters": [_parameter_row(model, parameter) for parameter in model.parameters.values()],
        "maps": [_map_row(model, name) for name in model.maps],
        "equations": list(_equation_rows(model)),
        "steps": list(_scheme_rows(model)),
        "claims": [(claim.span.text, "") for claim in model.claims],
        "network": list(_network_rows(model)),
        "recipe": [(key, show(value)) for key, value in model.recipe.non_default_items()],
    }
    head = f"{model.name}: {model.description}" if model.description else model.name
    sections = [f"{title}\n{_table(rows)}" for title, rows in tables.items() if rows]
    return "\n\n".join([head, *sections])


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = (" ".join(f"{t:<{w + 2}}" for t, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"    {line}".rstrip() for line in cells)


def _parameter_row(model: Model, parameter: DeclaredParameter) -> tuple[str, ...]:
    """Name, role, type, channels and number of copies of a parameter."""
    options = {k: v for k, v in parameter.options.items() if k not in ("in", "out", "knots")}
    arguments = ", ".join(f"{key} = {_value_text(value)}" for key, value in options.items())
    kind = f"{parameter.type}({arguments})" if arguments else parameter.type
    width = f"{parameter.width_in} -> {parameter.width_out} channels"
    if parameter.kind.role != "operator":
        width = "a number" if parameter.kind.role == "scalar" else f"{parameter.width_out} channels"
    copies = f"{parameter.knots} knots in time" if parameter.knots else _copies(parameter.shared)
    return model.spellings[parameter.name], parameter.kind.role, kind, width, copies


def _copies(shared: bool) -> str:
    return "shared by all steps" if shared else "one for each step"


def _map_row(model: Model, name: str) -> tuple[str, ...]:
    definition = model.maps[name]
    if definition.is_given:  # `map f = given`, a module from Python
        return model.spellings[name], "given", "c -> c channels", _copies(definition.shared)
    first, last = definition.layers[0], definition.layers[-1]
    shapes = f"{first.shape_in.channels} -> {last.shape_out.channels} channels"
    layers = " -> ".join(map(_layer_text, definition.layers))
    return model.spellings[name], layers, shapes, _copies(definition.shared)


def _equation_rows(model: Model) -> Iterator[tuple[str, ...]]:
    """The equations with their roles in the scheme, the initial values, and the output.

    Every row has the formula, then its role or width.
    """
    notation = Notation(OdeDialect(model.spellings))
    roles = _roles(model)
    for name, order in model.dynamics.states.items():
        left = notation.dialect.derivative(name, order)
        yield f"{left} = {notation.show(model.dynamics.rates[name])}", roles.get(State(name), "")
    for state, value in model.dynamics.initial.items():
        start = f"{notation.dialect.derivative(state.name, state.order)}(0)"
        yield f"{start} = {notation.show(value)}", ""
    yield f"output {notation.show(model.dynamics.output)}", f"{model.dynamics.width_out} channels"


def _roles(model: Model) -> Mapping[State, str]:
    """For each state its role, as in `F of verlet, for its Y'`; empty without a scheme.

    `verlet` solves `Y' = F(Z)`: F is the function whose place the state's equation takes.
    """
    if model.discretisation_or_none is None:
        return {}
    scheme = model.scheme
    printer = Notation(OdeDialect(scheme.spellings))
    return {
        State(state.name): f"{' + '.join(printer.name(f.function) for f in summands)} of "
        f"{scheme.name}, for its {with_primes(printer.name(name), summands[0].order)}"
        for name, summands in scheme.equations.items()
        for state in model.discretisation.groups[name]
    }


def _scheme_rows(model: Model) -> Iterator[tuple[str, ...]]:
    """The lines of the scheme with the states that each computes, start values, constants."""
    discretisation = model.discretisation_or_none
    if discretisation is None:
        return
    scheme = discretisation.scheme
    notation = Notation(OdeDialect(scheme.spellings))
    state_notation = Notation(OdeDialect(model.spellings))
    group_of = group_unknowns(scheme)
    for update in scheme.updates:
        states = discretisation.groups[group_of[update.target.name]]
        names = ", ".join(map(state_notation.show, states))
        yield notation.equation(update), f"for {names}"
    for unknown, value in discretisation.starts:
        start = f"start {notation.show(unknown)} = {state_notation.show(value)}"
        yield start.replace("[n-", "[-"), ""
    for name, value in discretisation.displayed_constants.items():
        yield f"{notation.name(name)} = {value}", ""


def _network_rows(model: Model) -> Iterator[tuple[str, ...]]:
    """Every layer with its output shape, and its number of steps if it solves the equations."""
    if model.input_shape is None:
        return
    yield "input", str(model.input_shape), ""
    for layer in model.net:
        count = layer.arguments["N"] if layer.name in ("flow", "unit") else 0
        yield _layer_text(layer), str(layer.shape_out), counted(count, "step") if count else ""


def _layer_text(layer: Layer) -> str:
    return " ".join(layer.span.text.split()) if layer.span else layer.name


def _value_text(value: object) -> str:
    return str(value) if isinstance(value, Width | Shape) else show(value)
