"""Code of the `__init__` of a flow: scheme constants, parameters and the layers of maps."""

from collections.abc import Callable

from odenet.derive import Derivation
from odenet.derive.describe import conditions
from odenet.derive.to_expr import scalar
from odenet.emit.expressions import number
from odenet.emit.frame import Frame
from odenet.emit.layout import lay_out, string_literal
from odenet.emit.step_constants import StepConstants
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import Width
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.arguments import init_code
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.parameter_kinds import Construction
from odenet.model.typed.program import MapDefinition
from odenet.model.typed.scheme import STEP_NUMBER


def initialiser(frame: Frame, derivation: Derivation, space: int) -> list[str]:
    """The lines of `__init__`.

    Args:
        frame: the names.
        derivation: the derivation of the scheme, for the conditions of its inverse.
        space: number of spatial axes.
    """
    model = frame.model
    body = [f"super().__init__(channels, steps, space={space})"]
    if model.maps or any(p.kind.width_source != "none" for p in model.parameters.values()):
        body.append(f"c = self.width({model.dynamics.input_parts})")
    keywords, numbers = number_lines(frame, derivation, "T / steps")
    body += [*numbers, *_inverse_checks(frame, derivation), *let_lines(frame)]
    body += [parameter_line(frame, p, space) for p in model.parameters.values()]
    body += [_map_line(frame, m) for m in model.maps.values()]
    starred = ["*", *keywords] if keywords else []
    lines = lay_out(f"def __init__({', '.join(['self', 'channels', 'steps', *starred])}):", 4)
    return lines + [part for line in body for part in lay_out(line, 8)]


def number_lines(frame: Frame, derivation: Derivation, h: str) -> tuple[list[str], list[str]]:
    """The keyword arguments for the constants of the scheme, and the lines that set attributes.

    Args:
        frame: the names.
        derivation: the derivation of the scheme, for the ranges of learned constants.
        h: the code of the step size where the file gives the final time T.
    """
    model, discretisation = frame.model, frame.model.discretisation
    step_constants = StepConstants(frame, derivation)
    keywords: list[str] = []
    body: list[str] = []
    if discretisation.horizon is not None:
        keywords.append(f"T={number(discretisation.horizon)}")
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
    keywords += [frame.names("spec", definition.name) for definition in model.given_maps]
    for name, value in discretisation.constants.items():
        if name in discretisation.varying:
            keywords.append(step_constants.keyword(name))
            body.append(step_constants.attribute(name))
            continue
        attribute = frame.constant(name)
        argument = attribute.removeprefix("self.")
        keywords.append(f"{argument}={number(value)}")
        body.append(f"{attribute} = {argument}")
    if model.scheme.uses_step_number:
        body.append(f"{frame.constant(STEP_NUMBER)} = range(steps)")
    for name, value in model.scheme.lets:
        if frame.varies(value):
            continue  # written out where it is read
        body.append(f"{frame.constant(name)} = {frame.scalar_code(value).text}")
    return keywords, body


def let_lines(frame: Frame) -> list[str]:
    """The lines that set the `let`s of the file that formulas of the flow read."""
    dynamics = frame.model.dynamics
    values = [*dynamics.rates.values(), *dynamics.initial.values(), dynamics.output]
    names = {n.name for v in values for n in v.walk() if isinstance(n, expr.Constant)}
    starts = [value for _, value in frame.model.discretisation.starts]
    start_names = {n.name for v in starts for n in v.walk() if isinstance(n, expr.Constant)}
    names = (names | (start_names - set(frame.scheme_constants))) - set(frame.decays)
    values = frame.model.constants
    return [f"{frame.let(name)} = {number(values[name])}" for name in values if name in names]


def _inverse_checks(frame: Frame, derivation: Derivation) -> list[str]:
    """The lines that check divisors of the step, and whether it has an inverse."""
    lines = ["self.require_numbers()"] * bool(StepConstants(frame, derivation).divisors())
    for condition, shown in zip(derivation.conditions, conditions(derivation), strict=True):
        if frame.varies(scalar(condition)):
            continue
        why = f"{frame.model.scheme.name} has an inverse only where {shown}"
        lines += [f"if {frame.scalar_code(scalar(condition)).text} == 0:",
                  f"    self.give_up_reversing({string_literal(why)})"]  # fmt: skip
    if any(frame.varies(scalar(condition)) for condition in derivation.conditions):
        lines.append("self.require_inverse()")
    return lines


def _map_line(frame: Frame, definition: MapDefinition) -> str:
    steps, name = "1" if definition.shared else "steps", frame.names("spec", definition.name)
    if definition.is_given:
        place = f"{frame.model.name}.ode:{definition.span.line}"
        spelling = string_literal(frame.model.spellings[definition.name])
        origin = f"{spelling}, {string_literal(place)}"
        return f"self.{name} = given_layers({steps}, {name}, c, {origin})"
    inner = ", ".join(layer_code(layer) for layer in definition.layers)
    return f"self.{name} = layers({steps}, lambda: nn.Sequential({inner}))"


def width_code(width: Width) -> str:
    """The code of a channel count: `c` is that of the states, `c_new` that after a unit."""
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


def parameter_line(frame: Frame, param: DeclaredParameter, space: int) -> str:
    """The line of `__init__` that makes a parameter; `space` is the number of spatial axes."""
    steps = "1" if param.shared else str(param.knots or "steps")
    before, after = (width_code(w) if w else "c" for w in (param.width_in, param.width_out))
    init = _init_code(param.options["init"])
    code = param.kind.construct(param.options, Construction(steps, before, after, space, init))
    if param.knots:  # in time, where steps may differ in size
        code = f"Knotted(steps, {code}{', self.h' if 'h' in frame.varying else ''})"
    return f"self.{frame.names('spec', param.name)} = {code}"


def _init_code(call: Call) -> Callable[[str], str]:
    """A function of the default initialiser, which returns the `init` argument if it differs."""
    return lambda usual: "" if call.name == usual else f", init={init_code(call)}"
