"""Skips of a network: what is kept at one place of it and joined at a later one.

The skips of U-Nets (Ronneberger et al. 2015). What is kept lives until its last join.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Keep(nn.Module):
    """Where a value is kept; hands it on as it is.

    Args:
        name: of what is kept.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        return x

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return repr(self.name)


class Join(nn.Module):
    """Where a kept value is joined: its channels after those that come, or added to them.

    Args:
        name: of what is joined.
        add: add the two, in place of putting their channels side by side.
    """

    def __init__(self, name: str, add: bool = False):
        super().__init__()
        self.name = name
        self.add = add

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """``(batch, c, *space)`` and ``(batch, c', *space)`` to ``(batch, c + c', *space)``.

        With ``add`` both have one shape, and so has the result.
        """
        return x + kept if self.add else torch.cat((x, kept), 1)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{self.name!r}, add=True" if self.add else repr(self.name)


class WithSkips(nn.Sequential):
    """Layers one after the other, of which some keep values that later ones join."""

    def forward(self, input: Tensor) -> Tensor:
        """The layers of an input."""
        return through(self, input)


def through(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """Layers one after the other, `Keep` and `Join` among them, of an input."""
    layers = list(layers)
    last = {layer.name: i for i, layer in enumerate(layers) if isinstance(layer, Join)}
    kept: dict[str, Tensor] = {}
    for i, layer in enumerate(layers):
        if isinstance(layer, Join):
            x = layer(x, kept[layer.name] if last[layer.name] > i else kept.pop(layer.name))
        else:
            x = layer(x)
        if isinstance(layer, Keep):
            kept[layer.name] = x
    return x
