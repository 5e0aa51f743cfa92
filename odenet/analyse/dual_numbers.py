"""Forward-mode differentiation: numpy arrays that carry their derivatives along.

A `DualArray` holds an array and its derivative with respect to all unknowns. It supports the
operations of numpy arrays, `d * x`, `K @ x`, `x.mean(0)`, in which the tables of layers and
parameters (odenet/model/tables) write what each of them computes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import nan, prod
from typing import Any

import numpy as np
from numpy import ndarray

ScalarFunction = Callable[[float], float]
ArrayFunction = Callable[[ndarray], ndarray]


@dataclass(frozen=True)
class DualArray:
    """An array and its derivative with respect to all unknowns.

    Args:
        value: the array; (channels, grid points) for a feature map, or of any other shape.
        derivative: of the shape of `value` followed by (unknowns,).
    """

    value: ndarray
    derivative: ndarray

    __array_ufunc__ = None  # numpy leaves `array @ dual` to __rmatmul__

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.value.shape

    def __len__(self) -> int:
        return len(self.value)

    # arithmetic with other dual arrays, arrays and numbers

    def __add__(self, other: Any) -> "DualArray":
        if isinstance(other, DualArray):
            return DualArray(self.value + other.value, self.derivative + other.derivative)
        value = self.value + other
        shape = (*value.shape, self.derivative.shape[-1])
        return DualArray(value, np.broadcast_to(self.derivative, shape))

    __radd__ = __add__

    def __neg__(self) -> "DualArray":
        return DualArray(-self.value, -self.derivative)

    def __sub__(self, other: Any) -> "DualArray":
        return self + (-other)

    def __rsub__(self, other: Any) -> "DualArray":
        return other + (-self)

    def __mul__(self, other: Any) -> "DualArray":
        if not isinstance(other, DualArray):
            factor = np.asarray(other)
            return DualArray(self.value * factor, self.derivative * factor[..., None])
        slope = self.value[..., None] * other.derivative + other.value[..., None] * self.derivative
        return DualArray(self.value * other.value, slope)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "DualArray":
        return self * (other.elementwise(lambda x: 1 / x, lambda x: -1 / x**2)
                       if isinstance(other, DualArray) else 1 / np.asarray(other))  # fmt: skip

    def __matmul__(self, other: Any) -> "DualArray":
        """The matrix product of two dual arrays."""
        derivative = np.einsum("iku,kj->iju", self.derivative, other.value)
        derivative = derivative + np.einsum("ik,kju->iju", self.value, other.derivative)
        return DualArray(self.value @ other.value, derivative)

    def __rmatmul__(self, matrix: ndarray) -> "DualArray":
        return DualArray(matrix @ self.value, np.tensordot(matrix, self.derivative, axes=1))

    def __getitem__(self, index: Any) -> "DualArray":
        return DualArray(self.value[index], self.derivative[index])

    def reshape(self, *shape: int) -> "DualArray":
        """The same entries in another shape."""
        value = self.value.reshape(*shape)
        return DualArray(value, self.derivative.reshape(*value.shape, -1))

    @property
    def T(self) -> "DualArray":
        """The transpose of a matrix."""
        return DualArray(self.value.T, self.derivative.swapaxes(0, 1))

    def sum(self, axis: int) -> "DualArray":
        """The sum along an axis, which is kept with length 1."""
        derivative = self.derivative.sum(axis, keepdims=True)
        return DualArray(self.value.sum(axis, keepdims=True), derivative)

    def mean(self, axis: int) -> "DualArray":
        """The mean along an axis, which is kept with length 1."""
        return self.sum(axis) / self.value.shape[axis]

    def elementwise(self, function: ArrayFunction, derivative: ArrayFunction) -> "DualArray":
        """An elementwise function, given with its derivative as functions of whole arrays."""
        return DualArray(function(self.value), derivative(self.value)[..., None] * self.derivative)

    def exp(self) -> "DualArray":
        """The exponential of every entry."""
        return self.elementwise(np.exp, np.exp)

    def sqrt(self) -> "DualArray":
        """The square root of every entry."""
        return self.elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(x))

    def softmax(self, causal: bool = False) -> "DualArray":
        """The softmax of every row of a matrix.

        Args:
            causal: whether row i is over its first i + 1 entries only; the others become 0.
        """
        visible = np.tri(len(self)) if causal else np.ones(self.shape)
        highest = np.where(visible > 0, self.value, -np.inf).max(1, keepdims=True)
        # Masked entries may be larger than all others and must not overflow: they become 0 first.
        weights = (self * visible - highest * visible).exp() * visible
        return weights / weights.sum(1)

    def stacked(self, others: Sequence["DualArray"]) -> "DualArray":
        """This array and others, concatenated along the first axis."""
        parts = (self, *others)
        return DualArray(np.concatenate([p.value for p in parts]),
                   np.concatenate([p.derivative for p in parts]))  # fmt: skip

    # functions of feature maps, (channels, grid points)

    def convolved(
        self, kernel: ndarray, space: tuple[int, ...], groups: int = 1, dilation: int = 1
    ) -> "DualArray":
        """A convolution with zero padding; see `conv_matrix` for the arguments."""
        matrix = conv_matrix(kernel, space, groups, dilation)
        return (matrix @ self.reshape(-1)).reshape(len(kernel), -1)

    def pointwise(self, function: ScalarFunction, derivative: ScalarFunction) -> "DualArray":
        """An elementwise function, given with its derivative for floats; nan outside its domain."""
        points = self.value.reshape(-1).tolist()
        value, slope = (
            np.array([_value_or_nan(f, x) for x in points]).reshape(self.value.shape)
            for f in (function, derivative)
        )
        return DualArray(value, slope[..., None] * self.derivative)


def _value_or_nan(function: ScalarFunction, x: float) -> float:
    try:
        return float(function(x))
    except (ValueError, ArithmeticError):  # outside its domain, or overflow
        return nan


def independent_variables(shape: tuple[int, ...]) -> DualArray:
    """An array at 0 whose entries are themselves the unknowns, in order: its derivative is I.

    The derivative of a linear function of it is the matrix of that function.
    """
    size = prod(shape)
    return DualArray(np.zeros(shape), np.eye(size).reshape(*shape, size))


def conv_matrix(
    kernel: ndarray, space: tuple[int, ...], groups: int = 1, dilation: int = 1
) -> ndarray:
    """The matrix of a zero-padded convolution on flattened feature maps.

    Args:
        kernel: (out, in / groups, *sizes); without sizes a matrix that mixes channels only.
        space: the length of each spatial axis of the feature map.
        groups: number of channel groups, which do not mix.
        dilation: distance between the grid points that a kernel reads.

    Returns:
        A matrix of shape (out * grid points, in * grid points).
    """
    out_channels, group_channels = kernel.shape[:2]
    if kernel.ndim == 2:
        shifts = np.eye(prod(space))[None]
    else:
        shifts = _shift_matrices(space, kernel.shape[2:], dilation)
    blocks = np.zeros((out_channels, group_channels * groups, len(shifts)))
    for o in range(out_channels):
        start = o * groups // out_channels * group_channels  # first input channel of its group
        blocks[o, start : start + group_channels] = kernel[o].reshape(group_channels, -1)
    matrix = np.tensordot(blocks, shifts, axes=1)
    return matrix.swapaxes(1, 2).reshape(out_channels * prod(space), -1)


@cache
def _shift_matrices(space: tuple[int, ...], lengths: tuple[int, ...], dilation: int) -> ndarray:
    """The shift of a feature map by each kernel entry: (entries, grid points, grid points)."""
    matrices: list[ndarray] = []
    for entry in np.ndindex(*lengths):
        shift = np.ones((1, 1))
        for size, length, place in zip(space, lengths, entry, strict=True):
            shift = np.kron(shift, np.eye(size, k=dilation * (place - (length - 1) // 2)))
        matrices.append(shift)
    return np.array(matrices)
