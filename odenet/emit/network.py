"""Code of the network's class: the layers of a spec's `net`, some of which are flows."""

import json
from collections.abc import Mapping
from fractions import Fraction

from odenet.emit.constructors import layer_code, width_code
from odenet.emit.expressions import number
from odenet.emit.layout import docstring, lay_out
from odenet.emit.symbols import SymbolTable
from odenet.model.elaboration.library import library_names
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.typed.program import Model, ends_in_classes, flows_of
from odenet.model.typed.unit_entry import EntryMap, entry_maps, needs_shortcut, unit_channels


def network_class(model: Model, name: str, stem: str) -> list[str]:
    """The lines of the network's class.

    Args:
        model: the model of a file with a `net`.
        name: the name of the class.
        stem: the beginning of the other class names, `Digits` of `DigitsFlow`.
    """
    last = model.net[-1]
    has_classes = ends_in_classes(model)
    width = str(last.shape_out.channels)
    shapes = f"{model.input_shape} -> {last.shape_out}"
    base = "WithSkips" if any(layer.name == "keep" for layer in model.net) else "nn.Sequential"
    lines = [f"class {name}({base}):", *docstring([f"{shapes}."], 4), ""]
    map_arguments = _map_arguments(model)
    parameters = [f"classes={width}"] * has_classes + ["*"] * bool(map_arguments) + map_arguments
    lines.append(f"    def __init__({', '.join(['self', *parameters])}):")
    tied = last.name in LAYERS and LAYERS[last.name].tied(last.arguments)
    if tied:  # the head has no weights but those of this layer
        lines += lay_out(f"embed = {_layer_code(model, model.net[0], stem)}", 8)
    lines.append("        super().__init__(")
    for layer in model.net:
        code = "embed" if tied and layer is model.net[0] else _layer_code(model, layer, stem)
        if layer is last and has_classes:
            code = code.replace(f", {width}", ", classes", 1)
        lines += lay_out(f"{code},", 12)
    return [*lines, "        )"]


def has_entry_class(model: Model) -> bool:
    """Whether the net has units whose first steps need a class, which `EntryWriter` writes."""
    units = any(layer.name == "unit" for layer in flows_of(model.net))
    return units and _entry_maps(model) is not None


def _entry_maps(model: Model) -> Mapping[str, EntryMap] | None:
    """The maps of a unit's first step, by name; None if that step keeps the shape."""
    return entry_maps(model.dynamics, model.parameters, model.maps, model.discretisation)


def _layer_code(model: Model, layer: Layer, stem: str) -> str:
    """The code of a layer of the net."""
    if layer.name == "flow":
        channels = int(layer.shape_in.channels.constant)
        return _flow_code(model, layer, stem, channels, layer.arguments["N"])
    if layer.name == "unit":
        return _unit_code(model, layer, stem)
    if layer.name == "residual":
        return _residual_code(model, layer, stem)
    if layer.name in ("keep", "join"):
        return _skip_code(layer)
    if LAYERS[layer.name].is_network:
        return _existing_network(model, layer)
    return layer_code(layer)


def _existing_network(model: Model, layer: Layer) -> str:
    """The code of the layer `existing`, which has the scheme as further arguments."""
    discretisation = model.discretisation
    values = {"h": discretisation.h, "T": discretisation.final_time, **discretisation.constants}
    literals = {name: number(value) for name, value in values.items() if value is not None}
    literals |= {name: str(value) for name, value in discretisation.varying.items()}
    constants = ", ".join(f"{name} = {value}" for name, value in literals.items())
    scheme = [f"{discretisation.scheme.name}({constants})"]
    scheme += [] if discretisation.scheme.name in library_names() else [discretisation.scheme.text]
    code = layer_code(layer).removesuffix(")")
    arguments = [json.dumps(text, ensure_ascii=False) for text in scheme]
    return ", ".join([code, *arguments, *(["exact=True"] if discretisation.exact else [])]) + ")"


def _flow_code(model: Model, layer: Layer, stem: str, channels: int, steps: int) -> str:
    """The code of a flow with `steps` of a layer's steps: all, the first, or all but the first."""
    arguments = "".join(f", {name}={name}" for name in _map_arguments(model))
    return f"{stem}Flow({channels}, steps={steps}{_step_size(model, layer, steps)}{arguments})"


def _map_arguments(model: Model) -> list[str]:
    """The names of the arguments for maps whose modules come from Python."""
    if not any(flows_of(model.net)):
        return []
    return [SymbolTable(model).spec_name(definition.name) for definition in model.given_maps]


def _step_size(model: Model, layer: Layer, steps: int) -> str:
    """The code of the argument for the step size, `, h=…` or `, T=…`; empty for the default."""
    h, final_time = layer.arguments["h"], model.discretisation.final_time
    if h:
        return f", h={number(h)}" if final_time is None else f", T={number(h * steps)}"
    if final_time is not None and steps < layer.arguments["N"]:
        return f", T={number(final_time * Fraction(steps, layer.arguments['N']))}"
    return ""


def _unit_code(model: Model, layer: Layer, stem: str) -> str:
    """The code of a unit: its first step, and a flow with the others."""
    parts, arguments = model.dynamics.input_parts, layer.arguments
    channels = int(layer.shape_in.channels.constant)
    old, new = channels // parts, unit_channels(model.dynamics, layer.shape_out.channels)
    options = [f"stride={arguments['stride']}"] if arguments["stride"] != 1 else []
    options += [f'shortcut="{arguments["shortcut"]}"'] if arguments["shortcut"] != "stride" else []
    if _entry_maps(model) is None:
        step = _flow_code(model, layer, stem, channels, 1)
        entry = f"Coarsened({', '.join([step, str(old), str(new), *options])})"
    else:
        step_size = _step_size(model, layer, 1)
        entry = f"{stem}Entry({', '.join([str(channels), str(new), *options])}{step_size})"
    rest = _flow_code(model, layer, stem, new * parts, arguments["N"] - 1)
    return f"Unit({entry}, {rest})"


def _skip_code(layer: Layer) -> str:
    """The code of a layer `keep` or `join`, an end of a skip connection."""
    add = ", add=True" if layer.arguments.get("add") == "yes" else ""
    name = json.dumps(layer.arguments["name"], ensure_ascii=False)
    return f"{layer.name.capitalize()}({name}{add})"


def _residual_code(model: Model, layer: Layer, stem: str) -> str:
    """The code of a layer `residual`, which adds the input of its layers to their output."""
    arguments = layer.arguments
    inner = ", ".join(_layer_code(model, inside, stem) for inside in layer.inner)
    options = [f"nn.Sequential({inner})"]
    if needs_shortcut(layer):
        options.append(_shortcut_code(layer))
    activation = arguments["after"]
    if activation.name != "identity":
        options.append(f"after={layer_code(_activation_layer(layer, activation))}")
    return f"Residual({', '.join(options)})"


def _shortcut_code(layer: Layer) -> str:
    """The code of the module that gives the input of a layer `residual` the shape of its output."""
    kind, stride = layer.arguments["shortcut"], layer.arguments["stride"]
    width_in, width_out = layer.shape_in.channels, layer.shape_out.channels
    space = len(layer.shape_in.space)
    options = [f"stride={stride}"] if stride != 1 else []
    options += [f'kind="{kind}"'] if kind != "stride" else []
    options += [f"space={space}"] if space != 2 else []
    code = f"Shortcut({', '.join([width_code(width_in), width_code(width_out), *options])})"
    if kind == "conv":
        return f"nn.Sequential({code}, nn.BatchNorm{space or 1}d({width_code(width_out)}))"
    return code


def _activation_layer(layer: Layer, call: Call) -> Layer:
    """An activation as a layer of its own, on the output of `layer`."""
    shape = layer.shape_out
    return Layer(name=call.name, arguments=call.kwargs, shape_in=shape, shape_out=shape)
