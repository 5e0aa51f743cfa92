"""The layers of `net` and `map`: one row each, and nothing else to touch to add one.

A row says what a layer takes, what it does to a shape, and its torch code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from odenet.diagnostics import Span
from odenet.model.activations import ACTIVATIONS, ActivationKind
from odenet.model.numbers import Width, fixed
from odenet.model.parameters import ChannelCount
from odenet.model.recipe_values import Choice, Number, Parameter, Word

COUNT = Number(1, whole=True)
SAME = fixed(-1)  # stands for "as many as come in"


_GROUPS = ("groups", "g", "heads")  # the arguments that count equal parts of the channels


class LayerError(ValueError):
    """A layer that does not fit where it stands; the text says why, `help` what to do."""

    def __init__(self, message: str, help_: str = ""):
        super().__init__(message)
        self.help = help_


@dataclass(frozen=True)
class Shape:
    """The shape of one sample: channels, then the sizes of its axes.

    In a map the sizes are not known and stand as zeros.
    """

    channels: Width
    space: tuple[int, ...]

    def __str__(self) -> str:
        sizes = [str(self.channels), *(str(n) if n else "·" for n in self.space)]
        return f"({', '.join(sizes)})"


@dataclass(frozen=True)
class Layer:
    """One layer of a pipeline, its arguments complete and its shapes known."""

    name: str
    arguments: Mapping[str, Any] = field(hash=False)
    before: Shape
    after: Shape
    inner: tuple["Layer", ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    @property
    def groups(self) -> int:
        """Into how many equal parts its channels fall."""
        return max(int(self.arguments.get(key, 1)) for key in _GROUPS)


Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class LayerKind:
    """One kind of layer.

    Args:
        parameters: its arguments.
        shape: the shape after it, from its arguments and the shape before; raises LayerError.
        code: its torch code, from the layer and a printer of widths.
        in_map: whether it may stand in a `map`.
        random: whether it draws random numbers in training.
    """

    parameters: Mapping[str, Parameter]
    shape: Callable[[Arguments, Shape], Shape]
    code: Callable[[Layer, Callable[[Width], str]], str]
    in_map: bool = True
    random: bool = False


def _same(_: Arguments, shape: Shape) -> Shape:
    return shape


def _with_space(name: str, shape: Shape) -> None:
    if not shape.space:
        raise LayerError(
            f"{name} needs an image, but {shape} is a plain vector", "use dense for plain vectors"
        )


def _conv_shape(arguments: Arguments, shape: Shape) -> Shape:
    _with_space("conv", shape)
    stride, kernel = arguments["stride"], arguments["k"]
    if stride > 1 and kernel % 2 == 0:
        raise LayerError("a stride needs an odd kernel", "write conv(3, …)")
    channels = shape.channels if arguments["C"] == SAME else arguments["C"]
    for width in (shape.channels, channels):
        if width.multiple == 0 and width.constant % arguments["groups"]:
            raise LayerError(f"{width} channels do not fall into {arguments['groups']} groups")
    return Shape(channels, tuple(-(-n // stride) for n in shape.space))


def _conv_code(layer: Layer, width: Callable[[Width], str]) -> str:
    a = layer.arguments
    padding = a["dilation"] * (a["k"] - 1) // 2 if a["k"] % 2 else '"same"'
    options = [f"padding={padding}"] if padding else []
    options += [f"{key}={a[key]}" for key in ("stride", "dilation", "groups") if a[key] != 1]
    options += ["bias=False"] if a["bias"] == "no" else []
    arguments = [width(layer.before.channels), width(layer.after.channels), str(a["k"]), *options]
    return f"nn.Conv{len(layer.before.space)}d({', '.join(arguments)})"


def _dense_shape(arguments: Arguments, shape: Shape) -> Shape:
    if shape.space:
        raise LayerError(
            f"dense needs a plain vector, but here stands an image {shape}",
            "write `mean` or `flatten` before it",
        )
    return shape if arguments["D"] == SAME else replace(shape, channels=arguments["D"])


def _dense_code(layer: Layer, width: Callable[[Width], str]) -> str:
    bias = ", bias=False" if layer.arguments["bias"] == "no" else ""
    return f"nn.Linear({width(layer.before.channels)}, {width(layer.after.channels)}{bias})"


def _group_shape(key: str, what: str) -> Callable[[Arguments, Shape], Shape]:
    def rule(arguments: Arguments, shape: Shape) -> Shape:
        if shape.channels.multiple == 0 and shape.channels.constant % arguments[key]:
            raise LayerError(f"{shape.channels} channels do not fall into {arguments[key]} {what}")
        return shape

    return rule


def _pool_shape(name: str) -> Callable[[Arguments, Shape], Shape]:
    def rule(arguments: Arguments, shape: Shape) -> Shape:
        _with_space(name, shape)
        if min(shape.space) < arguments["s"]:
            raise LayerError(f"{name}({arguments['s']}) leaves nothing of {shape}")
        return replace(shape, space=tuple(n // arguments["s"] for n in shape.space))

    return rule


def _widen_shape(arguments: Arguments, shape: Shape) -> Shape:
    wanted = arguments["C"]
    if wanted.multiple or shape.channels.constant > wanted.constant:
        raise LayerError(
            f"widen({wanted}) would take channels away from {shape}",
            "widen adds zero channels; conv(1, C) reduces them",
        )
    return replace(shape, channels=wanted)


def _mean_shape(_: Arguments, shape: Shape) -> Shape:
    _with_space("mean", shape)
    return replace(shape, space=())


def _flatten_shape(_: Arguments, shape: Shape) -> Shape:
    sizes = shape.channels.constant
    for n in shape.space:
        sizes *= n
    return Shape(fixed(sizes), ())


def _bn_code(layer: Layer, width: Callable[[Width], str]) -> str:
    return f"nn.BatchNorm{len(layer.before.space) or 1}d({width(layer.before.channels)})"


def _gn_code(layer: Layer, width: Callable[[Width], str]) -> str:
    return f"nn.GroupNorm({layer.arguments['g']}, {width(layer.before.channels)})"


def _attention_code(layer: Layer, width: Callable[[Width], str]) -> str:
    causal = ", causal=True" if layer.arguments["causal"] == "yes" else ""
    return f"Tokens(Attention({width(layer.before.channels)}, {layer.arguments['heads']}{causal}))"


def _mlp_code(layer: Layer, width: Callable[[Width], str]) -> str:
    c, inside = layer.before.channels, layer.before.channels * layer.arguments["ratio"]
    wider, back = (f"nn.Linear({width(a)}, {width(b)})" for a, b in ((c, inside), (inside, c)))
    return f"Tokens(nn.Sequential({wider}, nn.GELU(), {back}))"


def _pool_code(torch_name: str) -> Callable[[Layer, Callable[[Width], str]], str]:
    return lambda layer, _: f"nn.{torch_name}{len(layer.before.space)}d({layer.arguments['s']})"


def _activation(row: ActivationKind) -> LayerKind:
    return LayerKind(
        {n: Parameter(number, "is its constant") for n, number in row.constants.items()},
        _same,
        lambda layer, _: row.module.format(*(f"{v:g}" for v in layer.arguments.values())),
    )


_CHANNELS = Parameter(ChannelCount(), "counts the channels it gives", SAME)
_SIZE = Parameter(COUNT, "is the side of the square that becomes one point")
_YES = Word(("yes", "no"))

LAYERS: dict[str, LayerKind] = {
    "conv": LayerKind(
        {
            "k": Parameter(COUNT, "is the kernel's size along each axis"),
            "C": _CHANNELS,
            "stride": Parameter(COUNT, "is the step from one output point to the next", 1),
            "groups": Parameter(COUNT, "counts the groups of channels", 1),
            "dilation": Parameter(COUNT, "is the distance of the kernel's points", 1),
            "bias": Parameter(_YES, "says whether a bias is added", "no"),
        },
        _conv_shape,
        _conv_code,
    ),
    "dense": LayerKind(
        {"D": _CHANNELS, "bias": Parameter(_YES, "says whether a bias is added", "yes")},
        _dense_shape,
        _dense_code,
    ),
    "bn": LayerKind({}, _same, _bn_code),
    "gn": LayerKind(
        {"g": Parameter(COUNT, "counts its groups")}, _group_shape("g", "groups"), _gn_code
    ),
    "layernorm": LayerKind(
        {}, _same, lambda layer, width: f"Tokens(nn.LayerNorm({width(layer.before.channels)}))"
    ),
    "attention": LayerKind(
        {
            "heads": Parameter(COUNT, "counts its heads", 1),
            "causal": Parameter(_YES, "says whether a token sees only those before it", "no"),
        },
        _group_shape("heads", "heads"),
        _attention_code,
    ),
    "mlp": LayerKind(
        {"ratio": Parameter(COUNT, "is how much wider the layer inside is", 4)}, _same, _mlp_code
    ),
    "pool": LayerKind({"s": _SIZE}, _pool_shape("pool"), _pool_code("AvgPool"), in_map=False),
    "maxpool": LayerKind({"s": _SIZE}, _pool_shape("maxpool"), _pool_code("MaxPool"), in_map=False),
    "widen": LayerKind(
        {"C": Parameter(ChannelCount(), "counts the channels it gives")},
        _widen_shape,
        lambda layer, width: f"Widen({width(layer.after.channels)})",
        in_map=False,
    ),
    "mean": LayerKind({}, _mean_shape, lambda *_: "Mean()", in_map=False),
    "flatten": LayerKind({}, _flatten_shape, lambda *_: "nn.Flatten()", in_map=False),
    "dropout": LayerKind(
        {"p": Parameter(Number(0, 1, open_high=True), "is the chance of a zero")},
        _same,
        lambda layer, _: f"nn.Dropout({layer.arguments['p']:g})",
        random=True,
    ),
    **{name: _activation(row) for name, row in ACTIVATIONS.items()},
}

# `input`, `flow` and `residual` stand in pipelines too; they are more than a row of code
# (odenet/model/pipelines.py).
STRUCTURAL: dict[str, Mapping[str, Parameter]] = {
    "flow": {
        "N": Parameter(COUNT, "counts its steps"),
        "h": Parameter(Number(0, open_low=True), "is its step size", 0.0),
    },
}

NAMES = Choice("layer", {**{n: k.parameters for n, k in LAYERS.items()}, **STRUCTURAL})
