"""Example inputs made up for a model, from its configuration and its first layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

IMAGE_SIZES = (64, 224, 32)  # tried after the sizes that attributes of the model mention


@dataclass(frozen=True)
class Example:
    """The arguments of one call of a model."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def from_input(value: Any) -> Example:
        """An example from a tensor, a tuple of arguments, or a dictionary of keyword arguments."""
        if isinstance(value, dict):
            return Example(kwargs=value)
        return Example(value) if isinstance(value, tuple) else Example((value,))

    def __str__(self) -> str:
        shown = [_describe(value) for value in self.args]
        shown += [f"{name}={_describe(value)}" for name, value in self.kwargs.items()]
        return ", ".join(shown)


def make_up_examples(model: nn.Module) -> Iterator[Example]:
    """Inputs that may suit a model, the likely ones first."""
    config = getattr(model, "config", None)
    if hasattr(config, "to_dict") and hasattr(model, "main_input_name"):
        yield from _transformers_examples(model, config)
        return
    if isinstance(model, nn.Transformer | nn.TransformerDecoder):
        attention = next(m for m in model.modules() if isinstance(m, nn.MultiheadAttention))
        weight, width = next(model.parameters()), attention.embed_dim
        # 3 sequences of 3 tokens, whichever of the two axes comes first.
        yield Example((_random(weight, 3, 3, width), _random(weight, 3, 3, width)))
        return
    first_layer = next((m for m in model.modules() if isinstance(m, _INPUT_LAYERS)), None)
    if first_layer is None:
        return
    weight = next(first_layer.parameters())
    if isinstance(first_layer, nn.Embedding):
        yield Example((torch.arange(8, device=weight.device)[None] % first_layer.num_embeddings,))
    elif isinstance(first_layer, _ConvNd):
        for size in _image_sizes(model):
            space = (size,) * (first_layer.weight.ndim - 2) if isinstance(size, int) else size
            yield Example((_random(weight, 1, first_layer.in_channels, *space),))
    else:
        width = _input_width(first_layer)
        for space in ((8,), (), (8, 8)):  # sequences, vectors, maps with the channels last
            yield Example((_random(weight, 2, *space, width),))


def image_channels(model: nn.Module) -> int:
    """The channels of the images that a model takes; 3 if it has no convolution."""
    first = next((m for m in model.modules() if isinstance(m, _ConvNd)), None)
    return 3 if first is None else first.in_channels


_INPUT_LAYERS = (nn.Embedding, nn.Linear, nn.LayerNorm, nn.MultiheadAttention, _ConvNd)


def _input_width(layer: nn.Module) -> int:
    if isinstance(layer, nn.LayerNorm):
        return layer.normalized_shape[-1]
    return layer.in_features if isinstance(layer, nn.Linear) else int(layer.embed_dim)  # pyright: ignore


def _image_sizes(model: nn.Module) -> Iterator[int | tuple[int, ...]]:
    """The image sizes that attributes of a model mention, then common ones."""
    for module in model.modules():
        for name in ("image_size", "img_size", "input_size"):
            size = getattr(module, name, None)
            if isinstance(size, int):
                yield size
            elif isinstance(size, tuple | list) and size and all(isinstance(n, int) for n in size):
                yield tuple(size)[-2:]
    yield from IMAGE_SIZES
    pretrained_config = getattr(model, "pretrained_cfg", None) or {}  # of timm
    if pretrained_config.get("input_size"):
        yield tuple(pretrained_config["input_size"][1:])


def _transformers_examples(model: Any, config: Any) -> Iterator[Example]:
    """Inputs of a model of transformers, from its configuration."""
    weight = next(model.parameters())
    extra_inputs: dict[str, Any] = {}
    if hasattr(config, "use_cache"):
        extra_inputs["use_cache"] = False
    ids = torch.arange(8, device=weight.device)[None]
    ids = ids % (getattr(config.get_text_config(), "vocab_size", None) or 8)
    if getattr(config, "is_encoder_decoder", False):
        extra_inputs["decoder_input_ids"] = ids
    vision = getattr(config, "vision_config", config)
    size = getattr(vision, "image_size", 224)
    image_size = tuple(size) if isinstance(size, tuple | list) else (size, size)
    mel_bins = getattr(config, "num_mel_bins", 80)
    frames = 2 * getattr(config, "max_source_positions", 4)  # as Whisper halves their number
    inputs = {
        "input_ids": ids,
        "pixel_values": _random(weight, 1, getattr(vision, "num_channels", 3), *image_size),
        "input_values": _random(weight, 1, 4000),  # a quarter of a second of sound
        "input_features": _random(weight, 1, mel_bins, frames),
    }
    name = model.main_input_name
    if name in inputs:
        yield Example(kwargs={name: inputs[name], **extra_inputs})
        yield Example(kwargs={name: inputs[name]})
        yield Example(kwargs={name: inputs[name] for name in ("input_ids", "pixel_values")})
    for shape in _series_shapes(name, config, vision, image_size):
        yield Example(kwargs={name: _random(weight, *shape), **extra_inputs})
        yield Example(kwargs={name: _random(weight, *shape)})


def _series_shapes(name: str, config: Any, vision: Any, image: tuple) -> Iterator[tuple[int, ...]]:
    """Shapes of videos, spectrograms and time series, where the configuration has all sizes."""
    # Input -> where the configuration has its sizes, from the axis after the batch on.
    sizes = {
        "pixel_values": ((vision, "num_frames"), (vision, "num_channels")),
        "input_values": ((config, "max_length"), (config, "num_mel_bins")),
        "input_features": ((config, "input_feat_per_channel"),),
        "past_values": ((config, "context_length"), (config, "num_input_channels")),
    }
    size_fields = sizes.get(name, ())
    values = [getattr(source, field, None) for source, field in size_fields]
    known_sizes = [size for size in values if isinstance(size, int)]
    if size_fields and len(known_sizes) == len(size_fields):
        leading_sizes = (1, 64) if name == "input_features" else (1,)  # batch, frames
        yield (*leading_sizes, *known_sizes, *(image if name == "pixel_values" else ()))


def _random(weight: Tensor, *shape: int) -> Tensor:
    """A random input of a shape, on the device of a weight of the model and of its type."""
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return tensor.to(device=weight.device, dtype=weight.dtype)


def _describe(value: Any) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
