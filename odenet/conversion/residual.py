"""The residual blocks of others that are known here: one row each.

A row is found by the name of the block's class, so that no library is imported for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class ResidualBlock:
    """A class of blocks that compute x + f(x), or an activation of that.

    Attributes:
        keeps: whether a block keeps the shape of x.
        speed: the shape of one value per channel of x, for a learned initial speed.
    """

    keeps: Callable[[Any], bool]
    speed: Callable[[Any], tuple[int, ...]]


def _plain(block: Any) -> bool:
    return block.downsample is None


def _resnet(norm: str) -> ResidualBlock:
    return ResidualBlock(_plain, lambda block: (len(getattr(block, norm).weight), 1, 1))


def _always(_: Any) -> bool:
    return True


def _inverted(block: Any) -> bool:
    return block.use_res_connect


def _out_channels(block: Any) -> tuple[int, ...]:
    return (block.out_channels, 1, 1)


def _layer_scale(block: Any) -> tuple[int, ...]:
    return tuple(block.layer_scale.shape)


BLOCKS = {
    "torchvision.models.resnet.BasicBlock": _resnet("bn2"),
    "torchvision.models.resnet.Bottleneck": _resnet("bn3"),
    "timm.models.resnet.BasicBlock": _resnet("bn2"),
    "timm.models.resnet.Bottleneck": _resnet("bn3"),
    "torchvision.models.mobilenetv2.InvertedResidual": ResidualBlock(_inverted, _out_channels),
    "torchvision.models.efficientnet.MBConv": ResidualBlock(_inverted, _out_channels),
    "torchvision.models.efficientnet.FusedMBConv": ResidualBlock(_inverted, _out_channels),
    "torchvision.models.convnext.CNBlock": ResidualBlock(_always, _layer_scale),
    "torchvision.models.vision_transformer.EncoderBlock": ResidualBlock(
        _always, lambda block: (block.hidden_dim,)
    ),
    "torchvision.models.swin_transformer.SwinTransformerBlock": ResidualBlock(
        _always, lambda block: tuple(block.norm1.normalized_shape)
    ),
    "torch.nn.modules.transformer.TransformerEncoderLayer": ResidualBlock(
        _always, lambda layer: (layer.self_attn.embed_dim,)
    ),
}


def find_row(block: nn.Module) -> ResidualBlock | None:
    """What is known of a block's class, or of one it is derived from."""
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(block).__mro__)
    return next((BLOCKS[name] for name in names if name in BLOCKS), None)


def keeps_shape(block: nn.Module) -> bool:
    """Whether a block is a residual one that is known and keeps the shape."""
    row = find_row(block)
    return row is not None and row.keeps(block)
