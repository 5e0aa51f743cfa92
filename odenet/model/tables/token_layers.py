"""The layers of language models: rows of the table in `odenet.model.tables.layers`."""

from collections.abc import Callable
from dataclasses import replace

from odenet.model.expressions.numbers import Width, fixed
from odenet.model.tables import layer_numerics as numerics
from odenet.model.tables.arguments import YES, ChannelCount, Ratio
from odenet.model.tables.choices import Parameter
from odenet.model.tables.layer_kinds import Arguments, Layer, LayerError, LayerKind, Shape
from odenet.model.tables.norms import EPS
from odenet.model.tables.tensors import Tensor, Tensors

BEGINNING_HELP = "begin the net with tokens(T, vocabulary = V) -> embed(C)"


def _embed_shape(arguments: Arguments, shape: Shape) -> Shape:
    if not shape.numbers:
        raise LayerError(
            f"embed reads the numbers of tokens, and its input is {shape}", BEGINNING_HELP
        )
    return replace(shape, channels=arguments["C"], numbers=False)


def _embed_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    return {"weight": Tensor((before, after))}


def _embed_code(layer: Layer, width: Callable[[Width], str]) -> str:
    return f"Embed({width(layer.before.channels)}, {width(layer.after.channels)})"


def _position_shape(arguments: Arguments, shape: Shape) -> Shape:
    if len(shape.space) != 1:
        raise LayerError(
            f"position adds to a sequence (channels, tokens), not to {shape}", BEGINNING_HELP
        )
    return shape


def _position_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    return {"weight": Tensor((layer.before.space[0], before))}


def _position_code(layer: Layer, width: Callable[[Width], str]) -> str:
    return f"Position({width(layer.before.channels)}, {layer.before.space[0]})"


def _head_shape(arguments: Arguments, shape: Shape) -> Shape:
    if not shape.vocabulary:
        raise LayerError(
            "head scores the tokens of a vocabulary, and this net has none", BEGINNING_HELP
        )
    if len(shape.space) != 1:
        raise LayerError(f"head scores every place of a sequence, and its input is {shape}")
    return replace(shape, channels=fixed(shape.vocabulary))


def _head_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    return {} if _tied(layer.arguments) else {"weight": Tensor((after, before))}


def _head_code(layer: Layer, width: Callable[[Width], str]) -> str:
    if _tied(layer.arguments):
        return "TiedHead(embed)"
    return f"Head({width(layer.before.channels)}, {width(layer.after.channels)})"


def _tied(arguments: Arguments) -> bool:
    return arguments["tied"] == "yes"


def _glu_code(layer: Layer, width: Callable[[Width], str]) -> str:
    c = layer.before.channels
    hidden = c * layer.arguments["ratio"]
    if not hidden.multiple:  # rounded down here; where it depends on `c`, in the module
        hidden = fixed(int(hidden.constant))
    return f"Tokens(SwiGLU({width(c)}, {width(hidden)}))"


TOKEN_LAYERS = (
    LayerKind(
        "rmsnorm",
        "the channels of every place divided by their root mean square, times a gain",
        {},
        lambda layer, width: f"Tokens(nn.RMSNorm({width(layer.before.channels)}, eps={EPS:g}))",
        tensors=numerics.rms_norm_tensors,
        numeric=numerics.rms_norm,
    ),
    LayerKind(
        "glu",
        "SwiGLU at every place: `ratio` times the channels, silu(W x) * U x, and back",
        {"ratio": Parameter(Ratio(), "is how much wider the layer inside is", Ratio.DEFAULT)},
        _glu_code,
        tensors=numerics.glu_tensors,
        numeric=numerics.glu,
    ),
    LayerKind(
        "embed",
        "C learned channels for each token; follows `tokens(…)`",
        {"C": Parameter(ChannelCount(), "counts the channels of a token")},
        _embed_code,
        _embed_shape,
        _embed_tensors,
        in_map=False,
        reads_numbers=True,
    ),
    LayerKind(
        "position",
        "adds a learned value to every channel of every place of a sequence",
        {},
        _position_code,
        _position_shape,
        _position_tensors,
        in_map=False,
        mixes_places=True,
        remembers=lambda arguments: True,
    ),
    LayerKind(
        "head",
        "a score for each token of the vocabulary; `tied` with the weights of `embed`",
        {"tied": Parameter(YES, "says whether its weights are those of embed", "no")},
        _head_code,
        _head_shape,
        _head_tensors,
        in_map=False,
        scores=True,
        tied=_tied,
    ),
)
