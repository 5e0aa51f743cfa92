"""How many numbers a network holds, before anything is allocated."""

from dataclasses import dataclass
from math import prod

from odenet.model.expressions.numbers import Width
from odenet.model.tables.layers import LAYERS, Layer, Shape
from odenet.model.tables.tensors import Tensors
from odenet.model.typed.entry import (
    entry_maps,
    maps_used,
    needs_shortcut,
    renewed,
    unit_channels,
)
from odenet.model.typed.program import Model, inside


@dataclass(frozen=True)
class NetworkSize:
    """Counts of numbers.

    Args:
        parameters: learned numbers.
        heaviest: the layer that has most of them.
        values: of one sample, what is before and after a layer where that is the most.
        widest: that layer.
    """

    parameters: int
    heaviest: Layer
    values: int
    widest: Layer


def network_size(model: Model) -> NetworkSize:
    """The size of the `net` of a model."""
    layers = list(inside(model.net))
    weights = [_layer(model, layer) for layer in layers]
    values = [_numbers_in(layer.before) + _numbers_in(layer.after) for layer in layers]
    heaviest, widest = (layers[counts.index(max(counts))] for counts in (weights, values))
    return NetworkSize(sum(weights), heaviest, max(values), widest)


def layer_parameters(model: Model, layer: Layer) -> int:
    """The learned numbers of a layer of the `net`, with those of the layers in it."""
    return sum(_layer(model, one) for one in inside([layer]))


def _numbers_in(shape: Shape) -> int:
    return prod(shape.space) * (1 if shape.numbers else int(shape.channels.constant))


def flow_size(model: Model, channels: int, steps: int, axes: int) -> int:
    """The numbers that the parameters of a flow are.

    Args:
        model: the typed program.
        channels: of the flow's input.
        steps: how many.
        axes: spatial axes of its maps.
    """
    c = channels // model.dynamics.parts

    def count(width: Width | None) -> int:
        return c if width is None else int(width.at(c))

    total = 0
    for p in model.parameters.values():
        own = p.kind.tensors(p.options, count(p.width_in), count(p.width_out), axes)
        total += _numbers(own) * (1 if p.shared else p.knots or steps)
    for definition in model.maps.values():
        own_ = sum(
            _numbers(LAYERS[layer.name].tensors(
                layer, count(layer.before.channels), count(layer.after.channels), axes
            ))
            for layer in definition.layers
        )  # fmt: skip
        total += own_ * (1 if definition.shared else steps)
    return total


def _layer(model: Model, layer: Layer) -> int:
    before, after = int(layer.before.channels.constant), int(layer.after.channels.constant)
    axes = len(layer.before.space)
    if layer.name == "flow":
        return flow_size(model, before, layer.arguments["N"], axes)
    if layer.name == "unit":
        return _unit(model, layer, axes)
    if layer.name == "residual":
        projected = layer.arguments["shortcut"] == "conv" and needs_shortcut(layer)
        return (before + 2) * after if projected else 0  # a kernel, and a batch norm
    if layer.name not in LAYERS:
        return 0  # keep and join
    return _numbers(LAYERS[layer.name].tensors(layer, before, after, axes))


def _unit(model: Model, layer: Layer, axes: int) -> int:
    """The numbers of the first step, of its shortcut and of the other steps."""
    dynamics, steps = model.dynamics, layer.arguments["N"]
    old = int(layer.before.channels.constant) // dynamics.parts
    new = unit_channels(dynamics, layer.after.channels)
    entering = entry_maps(dynamics, model.parameters, model.maps, model.discretisation)
    if entering is None:
        first = flow_size(model, old * dynamics.parts, 1, axes)
    else:  # parameters, unlike maps, have no width here
        kinds = ((p.kind, p.options) for p in model.parameters.values())
        first = sum(_numbers(kind.tensors(options, 1, 1, axes)) for kind, options in kinds)
    for name, enters in maps_used(model) if entering else ():
        assert entering is not None
        own = entering[name].layers if enters else map(renewed, model.maps[name].layers)
        for part in own:
            widths = (part.before.channels, part.after.channels)
            before, after = (int(w.at(new if w.new else old)) for w in widths)
            first += _numbers(LAYERS[part.name].tensors(part, before, after, axes))
    shortcut = old * new if layer.arguments["shortcut"] == "conv" else 0
    return first + shortcut + flow_size(model, new * dynamics.parts, steps - 1, axes)


def _numbers(tensors: Tensors) -> int:
    return sum(prod(tensor.shape) for tensor in tensors.values() if tensor.learned)
