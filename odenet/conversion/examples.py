"""Inputs that are made up for a model, to see how it calls its blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

SIZES = (64, 224, 32)  # of pictures, where nothing says it


@dataclass(frozen=True)
class Example:
    """What a model is called with."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(given: Any) -> Example:
        """A tensor, a tuple of what follows each other, or keywords."""
        if isinstance(given, dict):
            return Example((), given)
        return Example(given) if isinstance(given, tuple) else Example((given,))

    def __str__(self) -> str:
        shown = [_shown(value) for value in self.args]
        shown += [f"{name}={_shown(value)}" for name, value in self.kwargs.items()]
        return ", ".join(shown)


def examples(model: nn.Module) -> Iterator[Example]:
    """Inputs that may suit a model, the likely ones first."""
    config = getattr(model, "config", None)
    if hasattr(config, "to_dict") and hasattr(model, "main_input_name"):
        yield from _of_transformers(model, config)
        return
    if isinstance(model, nn.Transformer | nn.TransformerDecoder):
        attention = next(m for m in model.modules() if isinstance(m, nn.MultiheadAttention))
        like, width = next(model.parameters()), attention.embed_dim
        yield Example((_drawn(like, 3, 3, width), _drawn(like, 3, 3, width)))
        return
    first = next((m for m in model.modules() if isinstance(m, _FIRST)), None)
    if first is None:
        return
    like = next(first.parameters())
    if isinstance(first, nn.Embedding):
        yield Example((torch.arange(8, device=like.device)[None] % first.num_embeddings,))
    elif isinstance(first, _ConvNd):
        for size in _sizes(model):
            space = (size,) * (first.weight.ndim - 2) if isinstance(size, int) else size
            yield Example((_drawn(like, 1, first.in_channels, *space),))
    else:
        width = _width(first)
        for space in ((8,), (), (8, 8)):
            yield Example((_drawn(like, 2, *space, width),))


def channels_of(model: nn.Module) -> int:
    """The channels of the pictures that a model takes; 3 where it has no convolution."""
    first = next((m for m in model.modules() if isinstance(m, _ConvNd)), None)
    return 3 if first is None else first.in_channels


_FIRST = (nn.Embedding, nn.Linear, nn.LayerNorm, nn.MultiheadAttention, _ConvNd)


def _width(first: nn.Module) -> int:
    if isinstance(first, nn.LayerNorm):
        return first.normalized_shape[-1]
    return first.in_features if isinstance(first, nn.Linear) else int(first.embed_dim)  # pyright: ignore


def _sizes(model: nn.Module) -> Iterator[int | tuple[int, ...]]:
    """The sizes of pictures that a model says it takes, then usual ones."""
    for module in model.modules():
        for name in ("image_size", "img_size", "input_size"):
            size = getattr(module, name, None)
            if isinstance(size, int):
                yield size
            elif isinstance(size, tuple | list) and size and all(isinstance(n, int) for n in size):
                yield tuple(size)[-2:]
    yield from SIZES
    fixed = getattr(model, "pretrained_cfg", None) or {}  # of timm
    if fixed.get("input_size"):
        yield tuple(fixed["input_size"][1:])


def _of_transformers(model: Any, config: Any) -> Iterator[Example]:
    """Models of transformers say what they take."""
    like = next(model.parameters())
    others: dict[str, Any] = {}
    if hasattr(config, "use_cache"):
        others["use_cache"] = False
    ids = torch.arange(8, device=like.device)[None]
    ids = ids % (getattr(config.get_text_config(), "vocab_size", None) or 8)
    if getattr(config, "is_encoder_decoder", False):
        others["decoder_input_ids"] = ids
    seen = getattr(config, "vision_config", config)
    size = getattr(seen, "image_size", 224)
    space = tuple(size) if isinstance(size, tuple | list) else (size, size)
    inputs = {
        "input_ids": ids,
        "pixel_values": _drawn(like, 1, getattr(seen, "num_channels", 3), *space),
        "input_values": _drawn(like, 1, 4000),
        "input_features": _drawn(
            like,
            1,
            getattr(config, "num_mel_bins", 80),
            2 * getattr(config, "max_source_positions", 4),
        ),
    }
    name = model.main_input_name
    if name in inputs:
        yield Example((), {name: inputs[name], **others})
        yield Example((), {name: inputs[name]})
        yield Example((), {name: inputs[name] for name in ("input_ids", "pixel_values")})
    for shape in _sequences(name, config, seen, space):
        yield Example((), {name: _drawn(like, *shape), **others})
        yield Example((), {name: _drawn(like, *shape)})


def _sequences(name: str, config: Any, seen: Any, space: tuple) -> Iterator[tuple[int, ...]]:
    """Shapes of videos, spectrograms and series of numbers, as far as a configuration has them."""
    sizes = {
        "pixel_values": ((seen, "num_frames"), (seen, "num_channels")),
        "input_values": ((config, "max_length"), (config, "num_mel_bins")),
        "input_features": ((config, "input_feat_per_channel"),),
        "past_values": ((config, "context_length"), (config, "num_input_channels")),
    }
    wanted = sizes.get(name, ())
    given = [getattr(part, field, None) for part, field in wanted]
    found = [size for size in given if isinstance(size, int)]
    if wanted and len(found) == len(wanted):
        before = (1, 64) if name == "input_features" else (1,)
        yield (*before, *found, *(space if name == "pixel_values" else ()))


def _drawn(like: Tensor, *shape: int) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(device=like.device, dtype=like.dtype)


def _shown(value: Any) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
