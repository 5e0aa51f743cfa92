"""Fields with their derivatives: numpy values that carry their Jacobian along.

A jet holds a field of shape (channels, cells) and its derivative with respect to all unknowns. The
layers here repeat what torch computes, in evaluation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import nan, prod

import numpy as np
from numpy import ndarray

Function = Callable[[float], float]

EPS = 1e-5  # torch's, in every norm


@dataclass(frozen=True)
class Jet:
    """A field and its derivative.

    Args:
        value: (channels, cells).
        slope: (channels, cells, unknowns).
    """

    value: ndarray
    slope: ndarray

    def __add__(self, other: "Jet") -> "Jet":
        return Jet(self.value + other.value, self.slope + other.slope)

    def scaled(self, factor: float) -> "Jet":
        """Factor * self."""
        return Jet(factor * self.value, factor * self.slope)

    def times(self, other: "Jet") -> "Jet":
        """The element-wise product."""
        slope = self.value[..., None] * other.slope + other.value[..., None] * self.slope
        return Jet(self.value * other.value, slope)

    def through(self, matrix: ndarray, channels: int) -> "Jet":
        """A linear map (channels * cells, own channels * cells) of the flattened field."""
        cells = self.value.shape[1]
        value = matrix @ self.value.reshape(-1)
        slope = matrix @ self.slope.reshape(matrix.shape[1], -1)
        return Jet(value.reshape(channels, cells), slope.reshape(channels, cells, -1))

    def pointwise(self, function: Function, derivative: Function) -> "Jet":
        """A function of floats, with its derivative, of each value; nan where it has none."""
        points = self.value.reshape(-1).tolist()
        value, slope = (
            np.array([_at(f, x) for x in points]).reshape(self.value.shape)
            for f in (function, derivative)
        )
        return Jet(value, slope[..., None] * self.slope)


def _at(function: Function, x: float) -> float:
    try:
        return float(function(x))
    except (ValueError, ArithmeticError):  # outside its domain, or out of reach
        return nan


# --- operators and norms -------------------------------------------------------------------------


def conv_matrix(
    kernel: ndarray, space: tuple[int, ...], groups: int = 1, dilation: int = 1
) -> ndarray:
    """A convolution with zeros around the map, as a matrix of the flattened field.

    Args:
        kernel: (out, in / groups, *sizes); without sizes a matrix on the channels.
        space: sizes of the map.
        groups: channel groups that do not mix.
        dilation: distance of the cells a kernel reads.

    Returns:
        (out * cells, in * cells).
    """
    out, inner = kernel.shape[:2]
    if kernel.ndim == 2:
        shifts = np.eye(prod(space))[None]
    else:
        shifts = _shifts(space, kernel.shape[2:], dilation)
    blocks = np.zeros((out, inner * groups, len(shifts)))
    for o in range(out):
        first = o * groups // out * inner
        blocks[o, first : first + inner] = kernel[o].reshape(inner, -1)
    matrix = np.tensordot(blocks, shifts, axes=1)
    return matrix.swapaxes(1, 2).reshape(out * prod(space), -1)


@cache
def _shifts(space: tuple[int, ...], lengths: tuple[int, ...], dilation: int) -> ndarray:
    """What each entry of a kernel does to a map, (entries, cells, cells)."""
    found = []
    for tap in np.ndindex(*lengths):
        shift = np.ones((1, 1))
        for size, length, offset in zip(space, lengths, tap, strict=True):
            shift = np.kron(shift, np.eye(size, k=dilation * (offset - (length - 1) // 2)))
        found.append(shift)
    return np.array(found)


def frozen_batch_norm(x: Jet, weights: Mapping[str, ndarray], name: str) -> Jet:
    """A batch norm with stored statistics: one factor and one shift per channel."""
    gain = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + EPS)
    shift = weights[f"{name}.bias"] - gain * weights[f"{name}.running_mean"]
    return Jet(gain[:, None] * x.value + shift[:, None], gain[:, None, None] * x.slope)


def group_norm(x: Jet, weights: Mapping[str, ndarray], name: str, groups: int) -> Jet:
    """A norm over groups of channels and all cells, with the statistics of the field itself."""
    shape, unknowns = x.value.shape, x.slope.shape[-1]
    value = x.value.reshape(groups, -1)
    slope = x.slope.reshape(groups, -1, unknowns)
    centred = value - value.mean(1, keepdims=True)
    scale = np.sqrt((centred**2).mean(1) + EPS)[:, None]
    unit = centred / scale
    slope = slope - slope.mean(1, keepdims=True)
    slope = slope - unit[..., None] * (unit[..., None] * slope).mean(1, keepdims=True)
    slope = slope / scale[..., None]
    gain, shift = weights[f"{name}.weight"][:, None], weights[f"{name}.bias"][:, None]
    unit = gain * unit.reshape(shape) + shift
    return Jet(unit, gain[..., None] * slope.reshape(*shape, unknowns))
