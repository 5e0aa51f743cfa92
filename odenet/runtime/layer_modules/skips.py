"""Skip connections of a network, as in U-Nets (Ronneberger et al. 2015).

A `Keep` layer names the value that passes it, and a later `Join` layer reads it. The value
is kept in memory until its last `Join`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Keep(nn.Module):
    """The start of a skip connection: its input is kept under a name, and is its output too.

    Args:
        name: the name of the kept value.
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
    """The end of a skip connection: concatenates the channels of a kept value, or adds it.

    Args:
        name: the name of the kept value.
        add: add the two values instead of concatenating their channels.
    """

    def __init__(self, name: str, add: bool = False):
        super().__init__()
        self.name = name
        self.add = add

    def forward(self, x: Tensor, kept_value: Tensor) -> Tensor:
        """``(batch, c, *space)`` and ``(batch, c', *space)`` to ``(batch, c + c', *space)``.

        With ``add`` both have the same shape, and so has the result.
        """
        return x + kept_value if self.add else torch.cat((x, kept_value), 1)

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"{self.name!r}, add=True" if self.add else repr(self.name)


class WithSkips(nn.Sequential):
    """A sequence of layers with skip connections."""

    def forward(self, input: Tensor) -> Tensor:
        """The output of the last layer."""
        return run_layers(self, input)


def run_layers(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    """The output of a sequence of layers, with `Keep` and `Join` among them, for an input x."""
    layers = list(layers)
    last_use = {layer.name: i for i, layer in enumerate(layers) if isinstance(layer, Join)}
    kept: dict[str, Tensor] = {}
    for i, layer in enumerate(layers):
        if isinstance(layer, Join):
            x = layer(x, kept[layer.name] if last_use[layer.name] > i else kept.pop(layer.name))
        else:
            x = layer(x)
        if isinstance(layer, Keep):
            kept[layer.name] = x
    return x
