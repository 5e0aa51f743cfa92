"""The layers that pool, upsample or squeeze: rows of the table in `odenet.model.tables.layers`."""

from collections.abc import Callable
from dataclasses import replace

from odenet.model.expressions.numbers import Width
from odenet.model.tables.argument_kinds import Word
from odenet.model.tables.arguments import COUNT
from odenet.model.tables.choices import Parameter
from odenet.model.tables.layer_kinds import Arguments, Layer, LayerError, LayerKind, Shape

# The names of linear interpolation in torch.nn.Upsample, by the number of spatial axes.
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_SIDE = Parameter(COUNT, "is the side of the square that becomes one point")


def require_space(name: str, shape: Shape) -> None:
    """Raise LayerError for a plain vector where a layer needs an image."""
    if not shape.space:
        message = f"{name} needs an image, but {shape} is a plain vector"
        raise LayerError(message, "use dense for plain vectors")


def _pool_shape(name: str) -> Callable[[Arguments, Shape], Shape]:
    def rule(arguments: Arguments, shape: Shape) -> Shape:
        require_space(name, shape)
        if min(shape.space) < arguments["s"]:
            raise LayerError(f"{name}({arguments['s']}) leaves nothing of {shape}")
        return replace(shape, space=tuple(n // arguments["s"] for n in shape.space))

    return rule


def _pool_code(torch_name: str) -> Callable[[Layer, Callable[[Width], str]], str]:
    return lambda layer, _: f"nn.{torch_name}{len(layer.shape_in.space)}d({layer.arguments['s']})"


def _squeeze_shape(arguments: Arguments, shape: Shape) -> Shape:
    require_space("squeeze", shape)
    side = arguments["s"]
    if any(n % side for n in shape.space):
        raise LayerError(f"squeeze({side}) does not divide {shape} into whole squares")
    squares = tuple(n // side for n in shape.space)
    return Shape(shape.channels * side ** len(shape.space), squares)


def _upsample_shape(arguments: Arguments, shape: Shape) -> Shape:
    require_space("upsample", shape)
    mode, linear_mode = arguments["mode"], _LINEAR[len(shape.space)]
    if mode not in ("nearest", linear_mode):
        message = f"upsample has no mode {mode} on {shape}: its axes are {len(shape.space)}"
        raise LayerError(message, f"write `mode = {linear_mode}`")
    return replace(shape, space=tuple(n * arguments["s"] for n in shape.space))


def _upsample_code(layer: Layer, show: Callable[[Width], str]) -> str:
    mode = layer.arguments["mode"]
    option = "" if mode == "nearest" else f', mode="{mode}"'
    return f"nn.Upsample(scale_factor={layer.arguments['s']}{option})"


SIZE_LAYERS = (
    LayerKind(
        name="pool",
        meaning="average over squares of side s",
        arguments={"s": _SIDE},
        code=_pool_code("AvgPool"),
        shape=_pool_shape("pool"),
        in_map=False,
    ),
    LayerKind(
        name="maxpool",
        meaning="maximum over squares of side s",
        arguments={"s": _SIDE},
        code=_pool_code("MaxPool"),
        shape=_pool_shape("maxpool"),
        in_map=False,
    ),
    LayerKind(
        name="upsample",
        meaning="every point becomes a square of side s of equal points; with `mode = linear` on "
        "series, `bilinear` on images, `trilinear` on volumes, of points between it and its "
        "neighbours",
        arguments={
            "s": Parameter(COUNT, "is the side of the square that a point becomes"),
            "mode": Parameter(
                Word(("nearest", *_LINEAR.values())),
                "says what the new points are taken from",
                "nearest",
                by_name=True,
            ),
        },
        code=_upsample_code,
        shape=_upsample_shape,
        in_map=False,
    ),
    LayerKind(
        name="squeeze",
        meaning="the points of each square of side s as channels of one point; nothing is lost",
        arguments={"s": _SIDE},
        code=lambda layer, _: f"Squeeze({layer.arguments['s']})",
        shape=_squeeze_shape,
        in_map=False,
        invertible=True,
    ),
)
