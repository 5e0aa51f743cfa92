"""Layers that networks of flows need and torch lacks."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


class Widen(nn.Module):
    """Appends zero channels up to a given number (Chang et al. 2018, between units).

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


class Mean(nn.Module):
    """The global average over space, ``(batch, c, *space)`` to ``(batch, c)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Averages every axis after the channels."""
        return x.flatten(2).mean(2) if x.ndim > 2 else x


class Elementwise(nn.Module):
    """A function of single values as a layer.

    Args:
        function: applied to the map.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """The function of every value."""
        return self.function(x)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return getattr(self.function, "__name__", repr(self.function))


class Residual(nn.Module):
    """inner(x) + shortcut(x) without a learned shortcut (He et al. 2016, option A).

    The shortcut takes every ``stride``-th cell and appends the channels that ``inner`` adds, zero.

    Args:
        inner: a module ``(batch, c, *space)`` to ``(batch, c', *space / stride)``.
        stride: by how much ``inner`` coarsens the map.
    """

    def __init__(self, inner: nn.Module, stride: int = 1):
        super().__init__()
        self.inner = inner
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Adds the subsampled, widened input."""
        y = self.inner(x)
        if self.stride > 1:
            x = x[(..., *(slice(None, None, self.stride),) * (x.ndim - 2))]
        return y + append_channels(x, y.shape[1])


def append_channels(x: Tensor, channels: int) -> Tensor:
    """Zero channels after those of x.

    Raises:
        ValueError: if x has more channels already.
    """
    missing = channels - x.shape[1]
    if missing < 0:
        raise ValueError(f"cannot widen {x.shape[1]} channels to {channels}: that is fewer")
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing)) if missing else x
