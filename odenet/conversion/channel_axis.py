"""The axis along which modules expect their channels, inferred from the types of their layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from odenet.runtime.layer_modules.tokens import Tokens

_CHANNELS_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.TransformerEncoderLayer,
)
_CHANNELS_SECOND = (
    _ConvNd,
    _NormBase,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    Tokens,
)


def channel_axis(modules: Iterable[nn.Module]) -> int | None:
    """The axis of the channels: 1 as for convolutions, -1 as for linear layers; None if unclear.

    It is unclear where modules have layers of both kinds: a linear layer within a convolutional
    block may work on averages over space, and a convolution in a transformer on transposed tokens.
    """
    axes = {axis for module in modules for axis in _axes_of_layers(module)}
    return axes.pop() if len(axes) == 1 else None


def _axes_of_layers(module: nn.Module) -> Iterator[int]:
    """The axis of the channels of each layer in a module whose type tells it."""
    if isinstance(module, _CHANNELS_SECOND):
        yield 1  # of Tokens too: it transposes the channels for the layers inside
    elif isinstance(module, _CHANNELS_LAST):
        yield -1
    else:
        for child in module.children():
            yield from _axes_of_layers(child)
