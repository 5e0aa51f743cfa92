"""Code of the `__init__` of a flow: scheme constants, parameters and the layers of maps."""

from collections.abc import Callable

from odenet.derive import Derivation
from odenet.derive.describe import conditions
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import number
from odenet.emit.layout import lay_out, string_literal
from odenet.emit.step_constants import StepConstantWriter
from odenet.emit.symbols import SymbolTable
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import Width
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.arguments import init_code
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.parameter_kinds import Construction
from odenet.model.typed.program import MapDefinition
from odenet.model.typed.scheme import STEP_NUMBER


def initialiser(symbols: SymbolTable, derivation: Derivation, space: int) -> list[str]:
    """The lines of `__init__`.

    Args:
        symbols: the Python names of the step.
        derivation: the derivation of the scheme, for the conditions of its inverse.
        space: number of spatial axes.
    """
    model = symbols.model
    body = [f"super().__init__(channels, steps, space={space})"]
    if model.maps or any(p.kind.width_source != "none" for p in model.parameters.values()):
        body.append(f"c = self.width({model.dynamics.input_parts})")
    keywords, constants = constant_lines(symbols, derivation, h="T / steps")
    body += [*constants, *_inverse_checks(symbols, derivation), *let_lines(symbols)]
    body += [parameter_line(symbols, p, space) for p in model.parameters.values()]
    body += [_map_line(symbols, m) for m in model.maps.values()]
    starred = ["*", *keywords] if keywords else []
    lines = lay_out(f"def __init__({', '.join(['self', 'channels', 'steps', *starred])}):", 4)
    return lines + [part for line in body for part in lay_out(line, 8)]


def constant_lines(symbols: SymbolTable, derivation: Derivation, h: str) -> tuple[list[str], ...]:
    """Two lists: keyword arguments for the scheme's constants, and lines that set attributes.

    Args:
        symbols: the Python names of the step.
        derivation: the derivation of the scheme, for the ranges of learned constants.
        h: the code of the step size where the file gives the final time T.
    """
    model, discretisation = symbols.model, symbols.model.discretisation
    step_constants = StepConstantWriter(symbols, derivation)
    keywords: list[str] = []
    body: list[str] = []
    if discretisation.final_time is not None:
        keywords.append(f"T={number(discretisation.final_time)}")
        body.append(f"self.h = {h}")
    elif "h" in discretisation.varying:
        keywords.append(step_constants.keyword("h"))
        body.append(step_constants.attribute("h"))
    elif discretisation.h is not None:
        keywords.append(f"h={number(discretisation.h)}")
        body.append("self.h = h")
    for name, value in zip(("rtol", "atol"), discretisation.tolerance or (), strict=False):
        keywords.append(f"{name}={number(value)}")
        body.append(f"self.{name} = {name}")
    keywords += [symbols.spec_name(definition.name) for definition in model.given_maps]
    for name, value in discretisation.constants.items():
        if name in discretisation.varying:
            keywords.append(step_constants.keyword(name))
            body.append(step_constants.attribute(name))
            continue
        attribute = symbols.constant(name)
        argument = attribute.removeprefix("self.")
        keywords.append(f"{argument}={number(value)}")
        body.append(f"{attribute} = {argument}")
    if model.scheme.uses_step_number:
        body.append(f"{symbols.constant(STEP_NUMBER)} = range(steps)")
    for name, value in model.scheme.lets:
        if symbols.varies(value):
            continue  # expanded where it is read
        body.append(f"{symbols.constant(name)} = {symbols.scalar_code(value).text}")
    return keywords, body


def let_lines(symbols: SymbolTable) -> list[str]:
    """The lines that set the `let`s of the file that formulas of the flow read."""
    dynamics = symbols.model.dynamics
    formulas = [*dynamics.rates.values(), *dynamics.initial.values(), dynamics.output]
    names = {n.name for f in formulas for n in f.walk() if isinstance(n, expr.Constant)}
    # start values may also name the scheme's own constants, which are set elsewhere
    starts = [value for _, value in symbols.model.discretisation.starts]
    start_names = {n.name for f in starts for n in f.walk() if isinstance(n, expr.Constant)}
    names = (names | (start_names - set(symbols.scheme_constants))) - set(symbols.decay_names)
    values = symbols.model.constants
    return [f"{symbols.let(name)} = {number(values[name])}" for name in values if name in names]


def _inverse_checks(symbols: SymbolTable, derivation: Derivation) -> list[str]:
    """The lines that check divisors of the step, and whether it has an inverse."""
    lines = ["self.require_numbers()"] * bool(StepConstantWriter(symbols, derivation).divisors())
    for condition, shown in zip(derivation.conditions, conditions(derivation), strict=True):
        if symbols.varies(scalar(condition)):
            continue
        why = f"{symbols.model.scheme.name} has an inverse only where {shown}"
        lines += [f"if {symbols.scalar_code(scalar(condition)).text} == 0:",
                  f"    self.give_up_reversing({string_literal(why)})"]  # fmt: skip
    if any(symbols.varies(scalar(condition)) for condition in derivation.conditions):
        lines.append("self.require_inverse()")
    return lines


def _map_line(symbols: SymbolTable, definition: MapDefinition) -> str:
    """The line of `__init__` that makes the modules of a map, one for each step or one for all."""
    steps, name = "1" if definition.shared else "steps", symbols.spec_name(definition.name)
    if definition.is_given:
        location = f"{symbols.model.name}.ode:{definition.span.line}"
        spelling = string_literal(symbols.model.spellings[definition.name])
        origin = f"{spelling}, {string_literal(location)}"
        return f"self.{name} = given_layers({steps}, {name}, c, {origin})"
    inner = ", ".join(layer_code(layer) for layer in definition.layers)
    return f"self.{name} = layers({steps}, lambda: nn.Sequential({inner}))"


def width_code(width: Width) -> str:
    """The code of a channel count, a multiple of `c`, the states' channels, plus a constant.

    In a unit's first step it may be a multiple of `c_new` instead, the channels after the unit.
    """
    if not width.multiple:
        return number(width.constant)
    c = "c_new" if width.has_new_c else "c"
    if width.multiple.denominator == 1:
        text = c if width.multiple == 1 else f"{width.multiple} * {c}"
    else:
        text = f"{width.multiple.numerator} * {c} // {width.multiple.denominator}"
    return text if not width.constant else f"{text} + {number(width.constant)}"


def layer_code(layer: Layer) -> str:
    """The torch code of one layer."""
    return LAYERS[layer.name].code(layer, width_code)


def parameter_line(symbols: SymbolTable, param: DeclaredParameter, space: int) -> str:
    """The line of `__init__` that makes a parameter; `space` is the number of spatial axes."""
    steps = "1" if param.shared else str(param.knots or "steps")
    c_in, c_out = (width_code(w) if w else "c" for w in (param.width_in, param.width_out))
    init = _init_code(param.options["init"])
    code = param.kind.construct(param.options, Construction(steps, c_in, c_out, space, init))
    if param.knots:  # knots are points in time, so the sizes of the steps matter where they differ
        code = f"Knotted(steps, {code}{', self.h' if 'h' in symbols.varying else ''})"
    return f"self.{symbols.spec_name(param.name)} = {code}"


def _init_code(call: Call) -> Callable[[str], str]:
    """A function that gives the code of the argument `init`: `, init=…`, or empty for the default.

    It takes the name of the rule that is the parameter's default.
    """
    return lambda default: "" if call.name == default else f", init={init_code(call)}"
