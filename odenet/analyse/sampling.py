"""Random weights and states of a model, at small sizes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from odenet.model.layers import Layer
from odenet.model.numbers import Width
from odenet.model.parameters import Learned
from odenet.model.program import Model

LARGEST_STATE = 40  # entries of all states together; a Jacobian of 40 x 40 takes a millisecond


@dataclass(frozen=True)
class Size:
    """Channels of each state, and sizes of the axes."""

    channels: int
    space: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Points of the map."""
        return prod(self.space)


@dataclass(frozen=True)
class Point:
    """Weights, a state and an input.

    Args:
        weights: name -> tensor of one step; see odenet.analyse.Witness.
        state: (unknowns,), all states one after the other.
        input: (channels, cells) of `u`.
    """

    weights: Mapping[str, ndarray]
    state: ndarray
    input: ndarray

    def moved(self, rng: Generator, step: float) -> "Point":
        """A neighbour; what must stay positive is scaled."""
        weights = {
            name: tensor * np.exp(step * rng.standard_normal(tensor.shape))
            if name.endswith((".weight", ".running_var")) and _is_norm(name, self.weights)
            else tensor + step * rng.standard_normal(tensor.shape)
            for name, tensor in self.weights.items()
        }
        state = self.state + step * rng.standard_normal(self.state.shape)
        return Point(weights, state, self.input + step * rng.standard_normal(self.input.shape))


def sizes(model: Model) -> list[Size]:
    """Small sizes at which the model makes sense, smallest first."""
    channels = base_channels(model)
    axes = space_axes(model)
    found = []
    for cells in (1, 2, 3) if axes else (1,):
        for multiple in (1, 2, 3, 4):
            size = Size(channels * multiple, (cells,) * axes)
            if size.channels * size.cells * len(model.dynamics.system(1)) <= LARGEST_STATE:
                found.append(size)
    return found or [Size(channels, (1,) * axes)]


def space_axes(model: Model) -> int:
    """Spatial axes of the maps: those of the flows of the net, none if nothing is a convolution."""
    if model.axes is not None:
        return model.axes
    layers = [layer for m in model.maps.values() for layer in m.layers]
    convolved = any(p.type in ("conv", "depthwise") for p in model.parameters.values())
    return 2 if convolved or any(layer.name == "conv" for layer in layers) else 0


def base_channels(model: Model) -> int:
    """The fewest channels of a state at which all widths and groups come out whole."""
    widths = [w for p in model.parameters.values() for w in (p.width_in, p.width_out) if w]
    layers = [layer for m in model.maps.values() for layer in m.layers]
    widths += [w for layer in layers for w in (layer.before.channels, layer.after.channels)]
    groups = [
        (width, int(count))
        for width, count in (*_parameter_groups(model), *_layer_groups(layers))
        if width is not None
    ]
    for channels in range(1, 65):
        whole = all(w.at(channels) >= 1 and w.at(channels).denominator == 1 for w in widths)
        if whole and all(w.at(channels) % count == 0 for w, count in groups):
            return channels
    return 1


def _parameter_groups(model: Model) -> Iterator[tuple[Width | None, Fraction | int]]:
    for p in model.parameters.values():
        count = p.options.get("groups", 1) if p.type == "conv" else p.options.get("group") or 1
        yield p.width_in, count
        yield p.width_out, count


def _layer_groups(layers: list[Layer]) -> Iterator[tuple[Width | None, Fraction | int]]:
    for layer in layers:
        count = layer.arguments.get("groups", layer.arguments.get("g", 1))
        yield layer.before.channels, count
        yield layer.after.channels, count


def draw(model: Model, size: Size, rng: Generator) -> Point:
    """Random weights, state and input; norms have positive gains and stored statistics."""
    scale = float(rng.choice([0.5, 1.0, 2.0, 4.0]))
    weights: dict[str, ndarray] = {}
    for p in model.parameters.values():
        if p.is_module:
            frozen = p.options["kind"] == "batch"
            weights |= _norm(p.name, _count(p.width_in, size), frozen, rng)
        else:
            weights[p.name] = scale * rng.standard_normal(shape(p, size, space_axes(model)))
    for name, definition in model.maps.items():
        for i, layer in enumerate(definition.layers):
            weights |= _layer(f"{name}.{i}", layer, size, space_axes(model), scale, rng)
    unknowns = len(model.dynamics.system(1)) * size.channels * size.cells
    channels_in = size.channels * model.dynamics.parts
    state = scale * rng.standard_normal(unknowns)
    return Point(weights, state, rng.standard_normal((channels_in, size.cells)))


def shape(p: Learned, size: Size, axes: int) -> tuple[int, ...]:
    """The shape of a parameter's tensor for one step, as in the generated module."""
    out, inner = _count(p.width_out, size), _count(p.width_in, size)
    match p.type:
        case "conv":
            return (out, inner // int(p.options["groups"]), *(int(p.options["k"]),) * axes)
        case "depthwise":
            return (out, 1, *(int(p.options["k"]),) * axes)
        case "pointwise":
            return (out, inner, *(1,) * axes)
        case "dense":
            return (out, inner)
        case "scalar":
            return ()
    return (inner, *(1,) * axes)


def _count(width: Width | None, size: Size) -> int:
    return int(width.at(size.channels)) if width is not None else size.channels


def _is_norm(name: str, weights: Mapping[str, ndarray]) -> bool:
    return f"{name.rpartition('.')[0]}.running_var" in weights


def _norm(name: str, channels: int, frozen: bool, rng: Generator) -> dict[str, ndarray]:
    found = {
        f"{name}.weight": np.exp(0.5 * rng.standard_normal(channels)),
        f"{name}.bias": rng.standard_normal(channels),
    }
    if frozen:
        found[f"{name}.running_mean"] = rng.standard_normal(channels)
        found[f"{name}.running_var"] = np.exp(rng.standard_normal(channels))
    return found


def _layer(
    name: str, layer: Layer, size: Size, axes: int, scale: float, rng: Generator
) -> dict[str, ndarray]:
    before, after = (_count(s.channels, size) for s in (layer.before, layer.after))
    if layer.name in ("bn", "gn"):
        return _norm(name, before, layer.name == "bn", rng)
    if layer.name not in ("conv", "dense"):
        return {}
    inner, kernel = before, ()
    if layer.name == "conv":
        inner = before // int(layer.arguments["groups"])
        kernel = (int(layer.arguments["k"]),) * axes
    found = {f"{name}.weight": scale * rng.standard_normal((after, inner, *kernel))}
    if layer.arguments["bias"] == "yes":
        found[f"{name}.bias"] = rng.standard_normal(after)
    return found
