"""A typed program as text: every name with its kind and shape, every equation with its part."""

from collections.abc import Iterable, Iterator, Mapping

from odenet.model.expressions.expr import State, derivative
from odenet.model.expressions.numbers import Width
from odenet.model.tables.argument_kinds import show
from odenet.model.tables.declared import DeclaredParameter
from odenet.model.tables.layers import Layer, Shape
from odenet.model.typed.components import owners_of
from odenet.model.typed.dialects import Language
from odenet.model.typed.notation import Notation
from odenet.model.typed.program import Model


def overview(model: Model) -> str:
    """States, parameters, maps, equations, steps, network and recipe, a table each."""
    tables = {
        "numbers": [(model.spellings.get(n, n), show(v)) for n, v in model.constants.items()],
        "parameters": [_parameter(model, learned) for learned in model.parameters.values()],
        "maps": [_map(model, name) for name in model.maps],
        "equations": list(_equations(model)),
        "steps": list(_steps(model)),
        "claims": [(claim.span.text, "") for claim in model.claims],
        "network": list(_network(model)),
        "recipe": [(key, show(value)) for key, value in model.recipe.given()],
    }
    head = f"{model.name}: {model.description}" if model.description else model.name
    shown = [f"{title}\n{_table(rows)}" for title, rows in tables.items() if rows]
    return "\n\n".join([head, *shown])


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    cells = (" ".join(f"{t:<{w + 2}}" for t, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"    {line}".rstrip() for line in cells)


def _parameter(model: Model, learned: DeclaredParameter) -> tuple[str, ...]:
    """Name, type, channels, number of copies."""
    options = {k: v for k, v in learned.options.items() if k not in ("in", "out", "knots")}
    given = ", ".join(f"{key} = {_shown(value)}" for key, value in options.items())
    kind = f"{learned.type}({given})" if given else learned.type
    width = f"{learned.width_in} -> {learned.width_out} channels"
    if learned.kind.role != "operator":
        width = "a number" if learned.kind.role == "scalar" else f"{learned.width_out} channels"
    copies = f"{learned.knots} knots in time" if learned.knots else _copies(learned.shared)
    return model.spellings[learned.name], learned.kind.role, kind, width, copies


def _copies(shared: bool) -> str:
    return "shared by all steps" if shared else "one for each step"


def _map(model: Model, name: str) -> tuple[str, ...]:
    found = model.maps[name]
    if found.given:
        return model.spellings[name], "given", "c -> c channels", _copies(found.shared)
    shapes = f"{found.layers[0].before.channels} -> {found.layers[-1].after.channels} channels"
    layers = " -> ".join(_text(layer) for layer in found.layers)
    return model.spellings[name], layers, shapes, _copies(found.shared)


def _equations(model: Model) -> Iterator[tuple[str, ...]]:
    """Each equation, what it is in the scheme, the values at time 0, the output."""
    write = Notation(Language(model.spellings))
    roles = _roles(model)
    for name, order in model.dynamics.states.items():
        left = write.dialect.derivative(name, order)
        yield f"{left} = {write.show(model.dynamics.rates[name])}", roles.get(State(name), "")
    for state, value in model.dynamics.initial.items():
        start = f"{write.dialect.derivative(state.name, state.order)}(0)"
        yield f"{start} = {write.show(value)}", ""
    yield f"output {write.show(model.dynamics.output)}", f"{model.dynamics.width_out} channels"


def _roles(model: Model) -> Mapping[State, str]:
    """`F of verlet, Y there`, for each state; nothing in a file without steps."""
    if model.discretisation_or_none is None:
        return {}
    scheme, groups = model.scheme, model.discretisation.groups
    spelled = Notation(Language(scheme.spellings))
    return {
        State(state.name): f"{' + '.join(spelled.name(p.function) for p in parts)} of "
        f"{scheme.name}, for its {derivative(spelled.name(name), parts[0].order)}"
        for name, parts in scheme.equations.items()
        for state in groups[name]
    }


def _steps(model: Model) -> Iterator[tuple[str, ...]]:
    """The lines of the scheme with the states that each is for."""
    chosen = model.discretisation_or_none
    if chosen is None:
        return
    scheme = chosen.scheme
    write = Notation(Language(scheme.spellings))
    spelled = Notation(Language(model.spellings))
    owners = owners_of(scheme)
    for update in scheme.updates:
        states = chosen.groups[owners[update.target.name]]
        kept = ", ".join(map(spelled.show, states))
        yield write.equation(update), f"for {kept}"
    for slot, value in chosen.starts:
        yield f"start {write.show(slot)} = {spelled.show(value)}".replace("[n-", "[-"), ""
    for name, value in chosen.shown.items():
        yield f"{write.name(name)} = {value}", ""


def _network(model: Model) -> Iterator[tuple[str, ...]]:
    """Every layer with the shape of what it gives."""
    if model.input_shape is None:
        return
    yield "input", str(model.input_shape), ""
    for layer in model.net:
        count = layer.arguments["N"] if layer.name in ("flow", "unit") else 0
        steps = f"{count} step{'s' if count > 1 else ''}" if count else ""
        yield _text(layer), str(layer.after), steps


def _text(layer: Layer) -> str:
    return " ".join(layer.span.text.split()) if layer.span else layer.name


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Width | Shape) else show(value)
