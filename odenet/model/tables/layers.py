"""The layers of `net` and `map` as a table: a new layer needs only a row here.

A row has the arguments of a layer, its output shape, its torch code and its numeric model.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import prod

from odenet.model.expressions.numbers import Width, fixed_width
from odenet.model.tables import layer_numerics as numerics
from odenet.model.tables.activations import ACTIVATIONS, ActivationKind
from odenet.model.tables.argument_kinds import Number
from odenet.model.tables.arguments import COUNT, YES_NO, ChannelCount, init, init_code
from odenet.model.tables.choices import MappedTables, Parameter
from odenet.model.tables.existing_networks import EXISTING
from odenet.model.tables.layer_kinds import Arguments, Layer, LayerError, LayerKind, Shape
from odenet.model.tables.size_layers import SIZE_LAYERS, require_space
from odenet.model.tables.token_layers import TOKEN_LAYERS

__all__ = ["LAYERS", "Arguments", "Layer", "LayerError", "LayerKind", "Shape"]

SAME_WIDTH = fixed_width(-1)  # the default of a channel argument: as many channels as the input has


def _conv_shape(arguments: Arguments, shape: Shape) -> Shape:
    require_space("conv", shape)
    stride, kernel = arguments["stride"], arguments["k"]
    if stride > 1 and kernel % 2 == 0:
        raise LayerError("a stride needs an odd kernel", "write conv(3, …)")
    channels = shape.channels if arguments["C"] == SAME_WIDTH else arguments["C"]
    for width in (shape.channels, channels):
        if width.multiple == 0 and width.constant % arguments["groups"]:
            raise LayerError(f"{width} channels do not fall into {arguments['groups']} groups")
    return Shape(channels, tuple(-(-n // stride) for n in shape.space))


def _conv_code(layer: Layer, show: Callable[[Width], str]) -> str:
    a = layer.arguments
    padding = a["dilation"] * (a["k"] - 1) // 2 if a["k"] % 2 else '"same"'
    options = [f"padding={padding}"] if padding else []
    options += [f"{key}={a[key]}" for key in ("stride", "dilation", "groups") if a[key] != 1]
    options += ["bias=False"] if a["bias"] == "no" else []
    channels = [show(shape.channels) for shape in (layer.shape_in, layer.shape_out)]
    arguments = [*channels, str(a["k"]), *options]
    return _initialised(f"nn.Conv{len(layer.shape_in.space)}d({', '.join(arguments)})", layer)


def _initialised(code: str, layer: Layer) -> str:
    """The code of a layer, inside `initialised(…)` unless torch's own initialisation is used."""
    rule = layer.arguments["init"]
    return code if rule.name == "default" else f"initialised({code}, {init_code(rule)})"


def _dense_shape(arguments: Arguments, shape: Shape) -> Shape:
    if shape.space:
        message = f"dense needs a plain vector, but its input is an image {shape}"
        raise LayerError(message, "write `mean` or `flatten` before it")
    return shape if arguments["D"] == SAME_WIDTH else replace(shape, channels=arguments["D"])


def _dense_code(layer: Layer, show: Callable[[Width], str]) -> str:
    bias = ", bias=False" if layer.arguments["bias"] == "no" else ""
    code = f"nn.Linear({show(layer.shape_in.channels)}, {show(layer.shape_out.channels)}{bias})"
    return _initialised(code, layer)


def _grouped_shape(key: str, noun: str) -> Callable[[Arguments, Shape], Shape]:
    """A rule for the shape, which stays: the argument `key` has to divide the number of channels.

    `noun` is what a message calls the parts that they fall into, such as "heads".
    """

    def rule(arguments: Arguments, shape: Shape) -> Shape:
        if shape.channels.multiple == 0 and shape.channels.constant % arguments[key]:
            raise LayerError(f"{shape.channels} channels do not fall into {arguments[key]} {noun}")
        return shape

    return rule


def _widen_shape(arguments: Arguments, shape: Shape) -> Shape:
    target = arguments["C"]
    if target.multiple or shape.channels.constant > target.constant:
        message = f"widen({target}) would take channels away from {shape}"
        raise LayerError(message, "widen adds zero channels; conv(1, C) reduces them")
    return replace(shape, channels=target)


def _mean_shape(_: Arguments, shape: Shape) -> Shape:
    require_space("mean", shape)
    return replace(shape, space=())


def _flatten_shape(_: Arguments, shape: Shape) -> Shape:
    return Shape(shape.channels * prod(shape.space), ())


def _bn_code(layer: Layer, show: Callable[[Width], str]) -> str:
    return f"nn.BatchNorm{len(layer.shape_in.space) or 1}d({show(layer.shape_in.channels)})"


def _gn_code(layer: Layer, show: Callable[[Width], str]) -> str:
    return f"nn.GroupNorm({layer.arguments['g']}, {show(layer.shape_in.channels)})"


def _attention_code(layer: Layer, show: Callable[[Width], str]) -> str:
    options = "".join(f", {o}=True" for o in ("causal", "rope") if layer.arguments[o] == "yes")
    c, heads = show(layer.shape_in.channels), layer.arguments["heads"]
    return f"Tokens(Attention({c}, {heads}{options}))"


def _attention_shape(arguments: Arguments, shape: Shape) -> Shape:
    after = _grouped_shape("heads", "heads")(arguments, shape)
    if after.channels.multiple == 0 and after.channels.constant % _channel_groups(arguments):
        size = int(after.channels.constant) // arguments["heads"]
        raise LayerError(
            f"rope turns pairs of channels, and a head of {shape.channels} / "
            f"{arguments['heads']} = {size} does not fall into pairs",
            "choose heads of an even number of channels",
        )
    return after


def _channel_groups(arguments: Arguments) -> int:
    """The number of equal groups of channels: the heads, or the halves of heads that rope pairs."""
    return arguments["heads"] * (2 if arguments["rope"] == "yes" else 1)


def _mlp_code(layer: Layer, show: Callable[[Width], str]) -> str:
    c, hidden = layer.shape_in.channels, layer.shape_in.channels * layer.arguments["ratio"]
    wider, back = (f"nn.Linear({show(a)}, {show(b)})" for a, b in ((c, hidden), (hidden, c)))
    return f"Tokens(nn.Sequential({wider}, nn.GELU(), {back}))"


def _activation_layer(row: ActivationKind) -> LayerKind:
    return LayerKind(
        name=row.name,
        meaning="",
        arguments=row.arguments,
        code=lambda layer, _: row.module.format(*(repr(v) for v in layer.arguments.values())),
        numeric=numerics.activation(row),
        imports=row.imports,
    )


def _stride_problem(arguments: Arguments) -> str:
    return "a stride" if arguments["stride"] != 1 else ""


_by_name = partial(Parameter, by_name=True)
_CHANNELS = Parameter(ChannelCount(), "counts the channels it gives", SAME_WIDTH)
_BIAS = "says whether a bias is added"

ROWS = (
    LayerKind(
        name="conv",
        meaning='convolution with "same" padding; in a `map` without a stride',
        arguments={
            "k": Parameter(COUNT, "is the kernel's size along each axis"),
            "C": _CHANNELS,
            "stride": _by_name(COUNT, "is the step from one output point to the next", 1),
            "groups": _by_name(COUNT, "counts the groups of channels", 1),
            "dilation": _by_name(COUNT, "is the distance of the kernel's points", 1),
            "bias": _by_name(YES_NO, _BIAS, "no"),
            "init": replace(init("default"), by_name=True),
        },
        code=_conv_code,
        shape=_conv_shape,
        tensors=numerics.linear_tensors,
        numeric=numerics.linear,
        not_in_map=_stride_problem,
        mixes_places=True,
        groups=lambda arguments: arguments["groups"],
    ),
    LayerKind(
        name="dense",
        meaning="full matrix, on vectors",
        arguments={
            "D": _CHANNELS,
            "bias": _by_name(YES_NO, _BIAS, "yes"),
            "init": replace(init("default"), by_name=True),
        },
        code=_dense_code,
        shape=_dense_shape,
        tensors=numerics.linear_tensors,
        numeric=numerics.linear,
        gives_classes=True,
    ),
    LayerKind(
        name="bn",
        meaning="batch normalisation",
        arguments={},
        code=_bn_code,
        tensors=numerics.norm_tensors("batch"),
        numeric=numerics.norm("batch"),
    ),
    LayerKind(
        name="gn",
        meaning="normalisation over g groups of channels",
        arguments={"g": Parameter(COUNT, "counts its groups")},
        code=_gn_code,
        shape=_grouped_shape("g", "groups"),
        tensors=numerics.norm_tensors("group"),
        numeric=numerics.norm("group"),
        mixes_places=True,
        groups=lambda arguments: arguments["g"],
    ),
    LayerKind(
        name="layernorm",
        meaning="normalisation of the channels of every place",
        arguments={},
        code=lambda layer, show: f"Tokens(nn.LayerNorm({show(layer.shape_in.channels)}))",
        tensors=numerics.token_norm_tensors,
        numeric=numerics.token_norm,
    ),
    LayerKind(
        name="attention",
        meaning="self-attention; every place is a token",
        arguments={
            "heads": Parameter(COUNT, "counts its heads", 1),
            "causal": _by_name(YES_NO, "says whether a token sees only those before it", "no"),
            "rope": _by_name(
                YES_NO, "says whether queries and keys are turned by their place", "no"
            ),
        },
        code=_attention_code,
        shape=_attention_shape,
        tensors=numerics.attention_tensors,
        numeric=numerics.attention,
        mixes_places=True,
        incremental=lambda arguments: arguments["causal"] == "yes",
        groups=_channel_groups,
    ),
    LayerKind(
        name="mlp",
        meaning="at every place: dense to `ratio` times the channels, GELU, dense back",
        arguments={"ratio": Parameter(COUNT, "is how much wider the layer inside is", 4)},
        code=_mlp_code,
        tensors=numerics.mlp_tensors,
        numeric=numerics.mlp,
    ),
    *TOKEN_LAYERS,
    *SIZE_LAYERS,
    LayerKind(
        name="widen",
        meaning="adds zero channels up to C",
        arguments={"C": Parameter(ChannelCount(), "counts the channels it gives")},
        code=lambda layer, show: f"Widen({show(layer.shape_out.channels)})",
        shape=_widen_shape,
        in_map=False,
    ),
    LayerKind(
        name="mean",
        meaning="average over the whole image",
        arguments={},
        code=lambda layer, show: "Mean()",
        shape=_mean_shape,
        in_map=False,
    ),
    LayerKind(
        name="flatten",
        meaning="an image as one vector",
        arguments={},
        code=lambda layer, show: "nn.Flatten()",
        shape=_flatten_shape,
        in_map=False,
    ),
    LayerKind(
        name="dropout",
        meaning="zeros with chance p",
        arguments={"p": Parameter(Number(0, 1, open_high=True), "is the chance of a zero")},
        code=lambda layer, _: f"nn.Dropout({layer.arguments['p']:g})",
        numeric=lambda layer, weights, x, space: x,
        random=True,
    ),
    EXISTING,
)


def _as_layer(row: LayerKind | ActivationKind) -> LayerKind:
    return row if isinstance(row, LayerKind) else _activation_layer(row)


LAYER_ROWS = {row.name: row for row in ROWS}
LAYERS: Mapping[str, LayerKind] = MappedTables(_as_layer, LAYER_ROWS, ACTIVATIONS)
