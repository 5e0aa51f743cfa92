"""Fields with their derivatives: numpy values that carry their Jacobian along.

A jet holds an array and its derivative with respect to all unknowns, and takes part in array code
as numpy's own arrays do: `d * x`, `K @ x`, `x.mean(0)`. The rows of layers and parameters
(odenet/model) are written in these operations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import nan, prod
from typing import Any

import numpy as np
from numpy import ndarray

Function = Callable[[float], float]
Mapped = Callable[[ndarray], ndarray]


@dataclass(frozen=True)
class Jet:
    """An array and its derivative.

    Args:
        value: (channels, cells) for a field, or of any other shape.
        slope: the same shape and (unknowns,).
    """

    value: ndarray
    slope: ndarray

    __array_ufunc__ = None  # `array * jet` and `array @ jet` are left to the jet

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value, which is that of the slope."""
        return self.value.shape

    def __len__(self) -> int:
        return len(self.value)

    # arithmetic, with jets, arrays and numbers

    def __add__(self, other: Any) -> "Jet":
        if isinstance(other, Jet):
            return Jet(self.value + other.value, self.slope + other.slope)
        value = self.value + other
        return Jet(value, np.broadcast_to(self.slope, (*value.shape, self.slope.shape[-1])))

    __radd__ = __add__

    def __neg__(self) -> "Jet":
        return Jet(-self.value, -self.slope)

    def __sub__(self, other: Any) -> "Jet":
        return self + (-other)

    def __rsub__(self, other: Any) -> "Jet":
        return other + (-self)

    def __mul__(self, other: Any) -> "Jet":
        if not isinstance(other, Jet):
            factor = np.asarray(other)
            return Jet(self.value * factor, self.slope * factor[..., None])
        slope = self.value[..., None] * other.slope + other.value[..., None] * self.slope
        return Jet(self.value * other.value, slope)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Jet":
        return self * (other.through(lambda x: 1 / x, lambda x: -1 / x**2)
                       if isinstance(other, Jet) else 1 / np.asarray(other))  # fmt: skip

    def __matmul__(self, other: Any) -> "Jet":
        """A matrix product of two jets."""
        slope = np.einsum("iku,kj->iju", self.slope, other.value)
        slope = slope + np.einsum("ik,kju->iju", self.value, other.slope)
        return Jet(self.value @ other.value, slope)

    def __rmatmul__(self, matrix: ndarray) -> "Jet":
        return Jet(matrix @ self.value, np.tensordot(matrix, self.slope, axes=1))

    def __getitem__(self, index: Any) -> "Jet":
        return Jet(self.value[index], self.slope[index])

    def reshape(self, *shape: int) -> "Jet":
        """The same entries in another shape."""
        value = self.value.reshape(*shape)
        return Jet(value, self.slope.reshape(*value.shape, -1))

    @property
    def T(self) -> "Jet":
        """The transpose of a matrix."""
        return Jet(self.value.T, self.slope.swapaxes(0, 1))

    def sum(self, axis: int) -> "Jet":
        """The sum along an axis, which stays with length 1."""
        return Jet(self.value.sum(axis, keepdims=True), self.slope.sum(axis, keepdims=True))

    def mean(self, axis: int) -> "Jet":
        """The mean along an axis, which stays with length 1."""
        return self.sum(axis) / self.value.shape[axis]

    def through(self, function: Mapped, derivative: Mapped) -> "Jet":
        """A function of arrays, with its derivative, of each value."""
        return Jet(function(self.value), derivative(self.value)[..., None] * self.slope)

    def exp(self) -> "Jet":
        """The exponential of every value."""
        return self.through(np.exp, np.exp)

    def sqrt(self) -> "Jet":
        """Its square root."""
        return self.through(np.sqrt, lambda x: 0.5 / np.sqrt(x))

    def softmax(self, causal: bool = False) -> "Jet":
        """Positive weights that add up to 1 in every row, as exponentials of its entries.

        Args:
            causal: whether row i has the entries up to i only.
        """
        seen = np.tri(len(self)) if causal else np.ones(self.shape)
        highest = np.where(seen > 0, self.value, -np.inf).max(1, keepdims=True)
        # What is not seen may be larger than all that is, and must not overflow.
        weights = (self * seen - highest * seen).exp() * seen
        return weights / weights.sum(1)

    def stacked(self, others: Sequence["Jet"]) -> "Jet":
        """Itself and others, one below the other."""
        parts = (self, *others)
        return Jet(np.concatenate([p.value for p in parts]),
                   np.concatenate([p.slope for p in parts]))  # fmt: skip

    # functions of fields

    def convolved(
        self, kernel: ndarray, space: tuple[int, ...], groups: int = 1, dilation: int = 1
    ) -> "Jet":
        """A convolution with zeros around the map, see `conv_matrix`."""
        matrix = conv_matrix(kernel, space, groups, dilation)
        return (matrix @ self.reshape(-1)).reshape(len(kernel), -1)

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


def unknown(shape: tuple[int, ...]) -> Jet:
    """Zero, all of whose entries are the unknowns, in order."""
    size = prod(shape)
    return Jet(np.zeros(shape), np.eye(size).reshape(*shape, size))


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
    found: list[ndarray] = []
    for tap in np.ndindex(*lengths):
        shift = np.ones((1, 1))
        for size, length, offset in zip(space, lengths, tap, strict=True):
            shift = np.kron(shift, np.eye(size, k=dilation * (offset - (length - 1) // 2)))
        found.append(shift)
    return np.array(found)
