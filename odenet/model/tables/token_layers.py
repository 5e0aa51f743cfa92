"""The layers of language models: rows of the table in `odenet.model.tables.layers`."""

from collections.abc import Callable
from dataclasses import replace

from odenet.model.expressions.numbers import Width, fixed_width
from odenet.model.tables import layer_numerics as numerics
from odenet.model.tables.arguments import YES_NO, ChannelCount, Ratio
from odenet.model.tables.choices import Parameter
from odenet.model.tables.layer_kinds import Arguments, Layer, LayerError, LayerKind, Shape
from odenet.model.tables.norms import EPS
from odenet.model.tables.tensors import Tensor, Tensors

_HELP = "begin the net with tokens(T, vocabulary = V) -> embed(C)"


def _embed_shape(arguments: Arguments, shape: Shape) -> Shape:
    if not shape.token_ids:
        raise LayerError(f"embed reads the numbers of tokens, and its input is {shape}", _HELP)
    return replace(shape, channels=arguments["C"], token_ids=False)


def _embed_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    return {"weight": Tensor((in_channels, out_channels))}


def _embed_code(layer: Layer, show: Callable[[Width], str]) -> str:
    return f"Embed({show(layer.shape_in.channels)}, {show(layer.shape_out.channels)})"


def _position_shape(arguments: Arguments, shape: Shape) -> Shape:
    if len(shape.space) != 1:
        raise LayerError(f"position adds to a sequence (channels, tokens), not to {shape}", _HELP)
    return shape


def _position_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    return {"weight": Tensor((layer.shape_in.space[0], in_channels))}


def _position_code(layer: Layer, show: Callable[[Width], str]) -> str:
    return f"Position({show(layer.shape_in.channels)}, {layer.shape_in.space[0]})"


def _head_shape(arguments: Arguments, shape: Shape) -> Shape:
    if not shape.vocabulary:
        raise LayerError("head scores the tokens of a vocabulary, and this net has none", _HELP)
    if len(shape.space) != 1:
        raise LayerError(f"head scores every place of a sequence, and its input is {shape}")
    return replace(shape, channels=fixed_width(shape.vocabulary))


def _head_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    return {} if _tied(layer.arguments) else {"weight": Tensor((out_channels, in_channels))}


def _head_code(layer: Layer, show: Callable[[Width], str]) -> str:
    if _tied(layer.arguments):
        return "TiedHead(embed)"  # the generated code calls the layer `embed` so
    return f"Head({show(layer.shape_in.channels)}, {show(layer.shape_out.channels)})"


def _tied(arguments: Arguments) -> bool:
    return arguments["tied"] == "yes"


def _glu_code(layer: Layer, show: Callable[[Width], str]) -> str:
    c = layer.shape_in.channels
    hidden = c * layer.arguments["ratio"]
    if not hidden.multiple:  # a fixed width is rounded down; the module rounds one in `c`
        hidden = fixed_width(int(hidden.constant))
    return f"Tokens(SwiGLU({show(c)}, {show(hidden)}))"


TOKEN_LAYERS = (
    LayerKind(
        name="rmsnorm",
        meaning="the channels of every place divided by their root mean square, times a gain",
        arguments={},
        code=lambda layer, show: (
            f"Tokens(nn.RMSNorm({show(layer.shape_in.channels)}, eps={EPS:g}))"
        ),
        tensors=numerics.rms_norm_tensors,
        numeric=numerics.rms_norm,
    ),
    LayerKind(
        name="glu",
        meaning="SwiGLU at every place, V (silu(W x) * U x), `ratio` times the channels inside",
        arguments={
            "ratio": Parameter(Ratio(), "is how much wider the layer inside is", Ratio.DEFAULT)
        },
        code=_glu_code,
        tensors=numerics.glu_tensors,
        numeric=numerics.glu,
    ),
    LayerKind(
        name="embed",
        meaning="C learned channels for each token; follows `tokens(…)`",
        arguments={"C": Parameter(ChannelCount(), "counts the channels of a token")},
        code=_embed_code,
        shape=_embed_shape,
        tensors=_embed_tensors,
        in_map=False,
        reads_token_ids=True,
    ),
    LayerKind(
        name="position",
        meaning="adds a learned value to every channel of every place of a sequence",
        arguments={},
        code=_position_code,
        shape=_position_shape,
        tensors=_position_tensors,
        in_map=False,
        mixes_places=True,
        incremental=lambda arguments: True,
    ),
    LayerKind(
        name="head",
        meaning="scores all tokens of the vocabulary; `tied = yes` takes the weights of `embed`",
        arguments={"tied": Parameter(YES_NO, "says whether its weights are those of embed", "no")},
        code=_head_code,
        shape=_head_shape,
        tensors=_head_tensors,
        in_map=False,
        gives_token_scores=True,
        tied=_tied,
    ),
)
