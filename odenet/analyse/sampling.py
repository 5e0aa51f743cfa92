"""Random weights and states of a model, at small sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from odenet.model.expressions.numbers import Width
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.tensors import Tensor, Tensors
from odenet.model.typed.program import Model

LARGEST_STATE = 40  # entries of all states together; a Jacobian of 40 x 40 takes a millisecond


@dataclass(frozen=True)
class Size:
    """Channels of each state, and sizes of the axes."""

    channels: int
    space: tuple[int, ...]

    @property
    def cells(self) -> int:
        """How many points a map has."""
        return prod(self.space)

    def count(self, width: Width | None) -> int:
        """A channel count; that of a state where nothing tells it."""
        return int(width.at(self.channels)) if width is not None else self.channels


@dataclass(frozen=True)
class Point:
    """Weights, a state and an input.

    Args:
        weights: name -> tensor of one step; see odenet.analyse.Witness.
        state: (unknowns,), all states one after the other.
        input: (channels, cells) of `u`.
        positive: the weights whose values stay above 0.
    """

    weights: Mapping[str, ndarray]
    state: ndarray
    input: ndarray
    positive: frozenset[str] = frozenset()

    def moved(self, rng: Generator, step: float) -> "Point":
        """A neighbour; what must stay positive is scaled."""
        weights = {
            name: tensor * np.exp(step * rng.standard_normal(tensor.shape))
            if name in self.positive
            else tensor + step * rng.standard_normal(tensor.shape)
            for name, tensor in self.weights.items()
        }
        state = self.state + step * rng.standard_normal(self.state.shape)
        moved_input = self.input + step * rng.standard_normal(self.input.shape)
        return Point(weights, state, moved_input, self.positive)


def sizes(model: Model) -> list[Size]:
    """Small sizes at which the model makes sense, smallest first."""
    channels = base_channels(model)
    axes = space_axes(model)
    found: list[Size] = []
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
    mixing = [p.kind.mixes_places for p in model.parameters.values()]
    mixing += [LAYERS[layer.name].mixes_places for layer in _layers(model)]
    return 2 if any(mixing) else 0


def _layers(model: Model) -> list[Layer]:
    return [layer for definition in model.maps.values() for layer in definition.layers]


def base_channels(model: Model) -> int:
    """The fewest channels of a state at which all widths and groups come out whole."""
    widths = [
        *((w, p.groups) for p in model.parameters.values() for w in (p.width_in, p.width_out) if w),
        *((s.channels, x.groups) for x in _layers(model) for s in (x.shape_in, x.shape_out)),
    ]
    for channels in range(1, 65):
        # a multiple of a whole number is whole
        if all(w.at(channels) >= 1 and w.at(channels) % groups == 0 for w, groups in widths):
            return channels
    return 1


def draw(model: Model, size: Size, rng: Generator) -> Point:
    """Random weights, state and input; norms have positive gains and stored statistics."""
    scale = float(rng.choice([0.5, 1.0, 2.0, 4.0]))
    wanted = tensors(model, size)
    weights = {name: _drawn(tensor, scale, rng) for name, tensor in wanted.items()}
    positive = frozenset(name for name, tensor in wanted.items() if tensor.positive)
    unknowns = len(model.dynamics.system(1)) * size.channels * size.cells
    channels_in = size.channels * model.dynamics.input_parts
    state = scale * rng.standard_normal(unknowns)
    return Point(weights, state, rng.standard_normal((channels_in, size.cells)), positive)


def tensors(model: Model, size: Size) -> dict[str, Tensor]:
    """Every tensor of one step, by its name in the generated module."""
    axes = space_axes(model)
    found: dict[str, Tensor] = {}
    for p in model.parameters.values():
        own = p.kind.tensors(p.options, size.count(p.width_in), size.count(p.width_out), axes)
        found |= _named(p.name, own)
    for name, definition in model.maps.items():
        for i, layer in enumerate(definition.layers):
            counts = size.count(layer.shape_in.channels), size.count(layer.shape_out.channels)
            found |= _named(f"{name}.{i}", LAYERS[layer.name].tensors(layer, *counts, axes))
    return found


def _named(name: str, own: Tensors) -> dict[str, Tensor]:
    return {f"{name}.{key}" if key else name: tensor for key, tensor in own.items()}


def _drawn(tensor: Tensor, scale: float, rng: Generator) -> ndarray:
    normal = rng.standard_normal(tensor.shape)
    match tensor.distribution:
        case "weight":
            return scale * normal
        case "shift":
            return normal
        case "gain":
            return np.exp(0.5 * normal)
        case "variance":
            return np.exp(normal)
