"""Random weights, states and inputs of a model, at sizes small enough for dense Jacobians."""

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

MAX_STATE_ENTRIES = 40  # of all states together; a Jacobian of 40 x 40 takes a millisecond


@dataclass(frozen=True)
class StateSize:
    """The shape of each state.

    Args:
        channels: number of channels.
        space: the length of each spatial axis; empty for plain vectors.
    """

    channels: int
    space: tuple[int, ...]

    @property
    def grid_points(self) -> int:
        """The number of grid points of a feature map."""
        return prod(self.space)

    def channels_of(self, width: Width | None) -> int:
        """The channels of a declared width, such as 2c, at this size; None is a state's width."""
        return int(width.channels(self.channels)) if width is not None else self.channels


@dataclass(frozen=True)
class Point:
    """A point at which a Jacobian is evaluated: weights, state and input.

    Args:
        weights: name -> tensor of one step; see odenet.analyse.Witness for the names.
        state: the entries of all states, flattened and concatenated: a vector.
        input: the flow's input `u`, of shape (channels, grid points).
        positive: names of the weights that have to stay above 0.
    """

    weights: Mapping[str, ndarray]
    state: ndarray
    input: ndarray
    positive: frozenset[str] = frozenset()

    def perturbed(self, rng: Generator, step: float) -> "Point":
        """A random neighbour at about distance `step`; positive weights are scaled, to stay so."""
        weights = {
            name: tensor * np.exp(step * rng.standard_normal(tensor.shape))
            if name in self.positive
            else tensor + step * rng.standard_normal(tensor.shape)
            for name, tensor in self.weights.items()
        }
        state = self.state + step * rng.standard_normal(self.state.shape)
        moved_input = self.input + step * rng.standard_normal(self.input.shape)
        return Point(weights, state, moved_input, self.positive)


def state_sizes(model: Model) -> list[StateSize]:
    """Small sizes that the widths, groups and axes of the model allow, smallest first."""
    channels = smallest_channel_count(model)
    axes = spatial_axis_count(model)
    small_sizes: list[StateSize] = []
    for axis_length in (1, 2, 3) if axes else (1,):
        for multiple in (1, 2, 3, 4):
            size = StateSize(channels * multiple, (axis_length,) * axes)
            entries = size.channels * size.grid_points * len(model.dynamics.system(order=1))
            if entries <= MAX_STATE_ENTRIES:
                small_sizes.append(size)
    return small_sizes or [StateSize(channels, (1,) * axes)]


def spatial_axis_count(model: Model) -> int:
    """The number of spatial axes; if unknown, 2 if anything mixes grid points, else 0."""
    if model.axes is not None:
        return model.axes
    mixing = [p.kind.mixes_places for p in model.parameters.values()]
    mixing += [LAYERS[layer.name].mixes_places for layer in _layers(model)]
    return 2 if any(mixing) else 0


def _layers(model: Model) -> list[Layer]:
    return [layer for definition in model.maps.values() for layer in definition.layers]


def smallest_channel_count(model: Model) -> int:
    """The smallest channel count of a state at which all widths and groups are whole numbers.

    All multiples of that count have this property, too.
    """
    widths_and_groups = [
        *((w, p.groups) for p in model.parameters.values() for w in (p.width_in, p.width_out) if w),
        *((s.channels, x.groups) for x in _layers(model) for s in (x.shape_in, x.shape_out)),
    ]
    for channels in range(1, 65):
        counts = [(w.channels(channels), groups) for w, groups in widths_and_groups]
        if all(count >= 1 and count % groups == 0 for count, groups in counts):
            return channels
    return 1


def draw_point(model: Model, size: StateSize, rng: Generator) -> Point:
    """A random point; norms get positive gains and positive stored variances."""
    scale = float(rng.choice([0.5, 1.0, 2.0, 4.0]))
    declared = parameter_tensors(model, size)
    weights = {name: _random_values(tensor, scale, rng) for name, tensor in declared.items()}
    positive = frozenset(name for name, tensor in declared.items() if tensor.positive)
    entries = len(model.dynamics.system(order=1)) * size.channels * size.grid_points
    input_channels = size.channels * model.dynamics.input_parts
    state = scale * rng.standard_normal(entries)
    return Point(weights, state, rng.standard_normal((input_channels, size.grid_points)), positive)


def parameter_tensors(model: Model, size: StateSize) -> dict[str, Tensor]:
    """The shape and distribution of every tensor of one step: name in the module -> tensor."""
    axes = spatial_axis_count(model)
    by_name: dict[str, Tensor] = {}
    for p in model.parameters.values():
        c_in, c_out = map(size.channels_of, (p.width_in, p.width_out))
        by_name |= _with_prefix(p.name, p.kind.tensors(p.options, c_in, c_out, axes))
    for name, definition in model.maps.items():
        for i, layer in enumerate(definition.layers):
            shapes = (layer.shape_in, layer.shape_out)
            c_in, c_out = (size.channels_of(shape.channels) for shape in shapes)
            tensors = LAYERS[layer.name].tensors(layer, c_in, c_out, axes)
            by_name |= _with_prefix(f"{name}.{i}", tensors)
    return by_name


def _with_prefix(name: str, tensors: Tensors) -> dict[str, Tensor]:
    return {f"{name}.{key}" if key else name: tensor for key, tensor in tensors.items()}


def _random_values(tensor: Tensor, scale: float, rng: Generator) -> ndarray:
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
