"""Layers on feature maps ``(batch, channels, *space)`` that torch lacks."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

SkipKind = Literal["stride", "pool", "conv"]
# By the number of spatial axes.
_CONV = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Widen(nn.Module):
    """Appends channels of zeros up to a given number (Chang et al. 2018, AAAI, between units).

    Args:
        channels: number of channels of the result.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c, *space)`` to ``(batch, channels, *space)``."""
        return append_channels(x, self.channels)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return str(self.channels)


class Squeeze(nn.Module):
    """Turns the pixels of each square into channels of one pixel (Dinh et al. 2017, section 3.6).

    Args:
        side: length of the squares, or of cubes in volumes.
    """

    def __init__(self, side: int):
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c, *space)`` to ``(batch, c * side^axes, *space / side)``.

        Raises:
            ValueError: if the size of an axis is not a multiple of ``side``.
        """
        if any(n % self.side for n in x.shape[2:]):
            raise ValueError(f"{tuple(x.shape[2:])} does not divide into squares of {self.side}")
        axes = x.ndim - 2
        sizes = [size for n in x.shape[2:] for size in (n // self.side, self.side)]
        split = x.reshape(*x.shape[:2], *sizes)
        # (batch, c, n₁ / side, side, n₂ / side, side, …): which square, then the place within it
        squares, places = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
        return split.permute(0, 1, *places, *squares).flatten(1, 1 + axes)

    def inverse(self, y: Tensor) -> Tensor:
        """The input of ``forward`` that gives ``y``."""
        axes = y.ndim - 2
        split = y.reshape(len(y), -1, *(self.side,) * axes, *y.shape[2:])
        order = [axis for i in range(axes) for axis in (2 + axes + i, 2 + i)]
        sizes = [n * self.side for n in y.shape[2:]]
        return split.permute(0, 1, *order).reshape(len(y), -1, *sizes)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return str(self.side)


class Mean(nn.Module):
    """The global average over space, ``(batch, c, *space)`` to ``(batch, c)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Averages every axis after the channels."""
        return x.flatten(2).mean(2) if x.ndim > 2 else x


class Elementwise(nn.Module):
    """An elementwise function as a layer.

    Args:
        function: is applied to every element of the input.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Applies the function to every element of the input."""
        return self.function(x)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return getattr(self.function, "__name__", repr(self.function))


class Shortcut(nn.Module):
    """The skip connection around a block that changes the shape: a linear map to the new shape.

    Args:
        c_in: number of channels of the input, ``(batch, c_in, *space)``.
        c_out: number of channels of the result.
        stride: the factor by which sizes shrink, rounded up as by a convolution.
        kind: "stride" takes every ``stride``-th pixel, "pool" averages over squares of that side,
            and both append zero channels (He et al. 2016, option A); "conv" learns a 1 × 1
            convolution (option B, without its norm).
        space: number of spatial axes.
    """

    def __init__(
        self, c_in: int, c_out: int, stride: int = 1, kind: SkipKind = "stride", space: int = 2
    ):
        super().__init__()
        self.c_out = c_out
        self.stride = stride
        self.kind = kind
        options = {"bias": False} if space == 0 else {"stride": stride, "bias": False}
        sizes = (c_in, c_out) if space == 0 else (c_in, c_out, 1)
        self.project = _CONV[space](*sizes, **options) if kind == "conv" else None

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c_in, *space)`` to ``(batch, c_out, *space / stride)``."""
        if self.project is not None:
            return self.project(x)
        axes = x.ndim - 2
        if self.stride > 1 and self.kind == "pool":
            x = _POOL[axes](x, self.stride, ceil_mode=True)
        elif self.stride > 1:
            x = x[(..., *(slice(None, None, self.stride),) * axes)]
        return append_channels(x, self.c_out)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{self.c_out}, stride={self.stride}, kind={self.kind!r}"


class Residual(nn.Module):
    """after(inner(x) + shortcut(x)); without a shortcut the input itself is added.

    Args:
        inner: a module ``(batch, c, *space)`` to ``(batch, c', *space / stride)``.
        shortcut: a module between the same shapes.
        after: a module that is applied to the sum.
    """

    def __init__(
        self, inner: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None
    ):
        super().__init__()
        self.inner = inner
        self.shortcut = shortcut
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """Adds the shortcut of the input to the result of ``inner``."""
        y = self.inner(x) + (x if self.shortcut is None else self.shortcut(x))
        return y if self.after is None else self.after(y)


def append_channels(x: Tensor, channels: int) -> Tensor:
    """x, with channels of zeros appended until it has ``channels``.

    Raises:
        ValueError: if x has more channels already.
    """
    missing = channels - x.shape[1]
    if missing < 0:
        raise ValueError(f"cannot widen {x.shape[1]} channels to {channels}: that is fewer")
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing)) if missing else x
