"""The numbers of parameters and activations of a network, computed before it is built."""

from dataclasses import dataclass
from math import prod

from odenet.model.expressions.numbers import Width
from odenet.model.tables.layers import LAYERS, Layer, Shape
from odenet.model.tables.tensors import Tensors
from odenet.model.typed.program import Model, walk_layers
from odenet.model.typed.unit_entry import (
    entry_maps,
    maps_in_first_step,
    needs_shortcut,
    unit_channels,
    with_new_width,
)


@dataclass(frozen=True)
class NetworkSize:
    """The size of a network.

    Args:
        parameters: the number of learned parameters.
        heaviest: the layer with most of them.
        widest_values: the number of input and output values of the widest layer, for one sample.
        widest: the layer where that number is largest.
    """

    parameters: int
    heaviest: Layer
    widest_values: int
    widest: Layer


def network_size(model: Model) -> NetworkSize:
    """The size of the `net` of a model."""
    layers = list(walk_layers(model.net))
    parameters = [_own_parameter_count(model, layer) for layer in layers]
    values = [_value_count(layer.shape_in) + _value_count(layer.shape_out) for layer in layers]
    heaviest, widest = (layers[counts.index(max(counts))] for counts in (parameters, values))
    return NetworkSize(sum(parameters), heaviest, max(values), widest)


def layer_parameter_count(model: Model, layer: Layer) -> int:
    """The number of parameters of a layer of the `net`, including the layers inside it."""
    return sum(_own_parameter_count(model, inner) for inner in walk_layers([layer]))


def _value_count(shape: Shape) -> int:
    return prod(shape.space) * (1 if shape.token_ids else int(shape.channels.constant))


def flow_parameter_count(model: Model, channels: int, steps: int, axes: int) -> int:
    """The number of parameters of a flow.

    Args:
        model: the typed program.
        channels: the channels of its input.
        steps: the number of its steps.
        axes: the number of spatial axes.
    """
    c = channels // model.dynamics.input_parts

    def channel_count(width: Width | None) -> int:
        return c if width is None else int(width.channels(c))

    total = 0
    for p in model.parameters.values():
        widths = channel_count(p.width_in), channel_count(p.width_out)
        per_step = _learned_size(p.kind.tensors(p.options, *widths, axes))
        total += per_step * (1 if p.shared else p.knots or steps)
    for definition in model.maps.values():
        per_step = 0
        for layer in definition.layers:
            widths = channel_count(layer.shape_in.channels), channel_count(layer.shape_out.channels)
            per_step += _learned_size(LAYERS[layer.name].tensors(layer, *widths, axes))
        total += per_step * (1 if definition.shared else steps)
    return total


def _own_parameter_count(model: Model, layer: Layer) -> int:
    """The number of parameters of a layer, without those of layers inside it."""
    shapes = (layer.shape_in, layer.shape_out)
    channels_in, channels_out = (int(shape.channels.constant) for shape in shapes)
    axes = len(layer.shape_in.space)
    if layer.name == "flow":
        return flow_parameter_count(model, channels_in, layer.arguments["N"], axes)
    if layer.name == "unit":
        return _unit_parameter_count(model, layer, axes)
    if layer.name == "residual":
        projected = layer.arguments["shortcut"] == "conv" and needs_shortcut(layer)
        return (channels_in + 2) * channels_out if projected else 0  # the kernel and a batch norm
    if layer.name not in LAYERS:
        return 0  # keep and join have none
    return _learned_size(LAYERS[layer.name].tensors(layer, channels_in, channels_out, axes))


def _unit_parameter_count(model: Model, layer: Layer, axes: int) -> int:
    """The number of parameters of a unit: the first step, its shortcut and the other steps."""
    dynamics, steps = model.dynamics, layer.arguments["N"]
    old = int(layer.shape_in.channels.constant) // dynamics.input_parts
    new = unit_channels(dynamics, layer.shape_out.channels)
    entries = entry_maps(dynamics, model.parameters, model.maps, model.discretisation)
    if entries is None:
        total = flow_parameter_count(model, old * dynamics.input_parts, 1, axes)
    else:  # no parameter here depends on channel counts; the maps are counted below
        rows = ((p.kind, p.options) for p in model.parameters.values())
        total = sum(_learned_size(kind.tensors(options, 1, 1, axes)) for kind, options in rows)
    for name, reshapes in maps_in_first_step(model) if entries else ():
        assert entries is not None
        layers = entries[name].layers if reshapes else map(with_new_width, model.maps[name].layers)
        for part in layers:
            widths = (part.shape_in.channels, part.shape_out.channels)
            c_in, c_out = (int(w.channels(new if w.has_new_c else old)) for w in widths)
            total += _learned_size(LAYERS[part.name].tensors(part, c_in, c_out, axes))
    total += old * new if layer.arguments["shortcut"] == "conv" else 0
    return total + flow_parameter_count(model, new * dynamics.input_parts, steps - 1, axes)


def _learned_size(tensors: Tensors) -> int:
    return sum(prod(tensor.shape) for tensor in tensors.values() if tensor.learned)
