"""Along which axis modules expect their channels, as far as their layers tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from odenet.runtime.layers.tokens import Tokens

_LAST = (
    nn.Linear,
    nn.Bilinear,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.TransformerEncoderLayer,
)
_SECOND = (
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
    """The axis of the channels: 1 for layers of maps, -1 for layers of tokens; None if unclear.

    Layers of both kinds leave it open: a linear layer within a convolutional block may work on
    averages over space, and a convolution within a transformer on transposed tokens.
    """
    found = {axis for module in modules for axis in _axes(module)}
    return found.pop() if len(found) == 1 else None


def _axes(module: nn.Module) -> Iterator[int]:
    if isinstance(module, _SECOND):
        yield 1  # what is inside of Tokens sees them transposed
    elif isinstance(module, _LAST):
        yield -1
    else:
        for child in module.children():
            yield from _axes(child)
