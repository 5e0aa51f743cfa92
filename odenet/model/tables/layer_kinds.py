"""A layer of a pipeline `a -> b`, and the class of the rows in the table of layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odenet.diagnostics import Span
from odenet.model.expressions.numbers import Width
from odenet.model.tables.choices import Parameter
from odenet.model.tables.tensors import Array, Dual, Space, Tensors

Arguments = Mapping[str, Any]  # of a layer, by name, checked and complete with defaults


class LayerError(ValueError):
    """A layer does not accept its input; the message says why, `help` what to do."""

    def __init__(self, message: str, help_: str = ""):
        super().__init__(message)
        self.help = help_


@dataclass(frozen=True)
class Shape:
    """The shape of one sample: channels, then the sizes of its axes.

    In a `map`, which is used at any size, the sizes are zeros.

    Args:
        channels: their number; where the sample is token ids, the number of different tokens.
        space: the sizes of the spatial axes; of a sequence of tokens, its length.
        vocabulary: the number of different tokens in a language model, also after `embed`; else 0.
        token_ids: whether the sample is token ids, integers, before `embed` makes channels of them.
    """

    channels: Width
    space: tuple[int, ...]
    vocabulary: int = 0
    token_ids: bool = False

    def __str__(self) -> str:
        if self.token_ids:
            return f"tokens({', '.join(map(str, self.space))}, vocabulary = {self.vocabulary})"
        sizes = [str(self.channels), *(str(n) if n else "·" for n in self.space)]
        return f"({', '.join(sizes)})"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a pipeline.

    Args:
        name: the name of its row in LAYERS.
        arguments: by name, complete with defaults.
        shape_in, shape_out: the shapes of its input and its output.
        inner: the layers inside a `residual`.
        groups: the number of equal groups that its channels have to fall into.
    """

    name: str
    arguments: Arguments = field(hash=False)
    shape_in: Shape
    shape_out: Shape
    inner: tuple["Layer", ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)
    groups: int = 1


def keeps_shape(arguments: Arguments, shape: Shape) -> Shape:
    """The output shape of a layer that does not change the shape."""
    return shape


def _no_tensors(layer: Layer, in_channels: int, out_channels: int, axes: int) -> Tensors:
    return {}


@dataclass(frozen=True)
class LayerKind:
    """A row of the table of layers.

    Args:
        name: its name in the language.
        meaning: in words, for the documentation.
        arguments: its arguments.
        code: its torch code, from the layer and a function `show` that gives the code of a width.
        shape: its output shape, from its arguments and its input shape; may raise LayerError.
        tensors: its tensors, by their names in torch's state_dict, from the layer, the numbers of
            input and output channels, and the number of spatial axes.
        numeric: its output in evaluation, for the numeric checks, from the layer, its tensors, its
            input and the sizes of the spatial axes. Without it maps with this layer are not
            searched for counterexamples; the reports say so.
        in_map: whether it may be in a `map`.
        not_in_map: what excludes it from a map, from its arguments, as text such as "a stride";
            empty if nothing does.
        random: whether it draws random numbers in training.
        mixes_places: whether an output value depends on input at other places, as in a convolution,
            or on which place it is at, as in `position`.
        incremental: whether a layer that mixes places can still run token by token, because it
            keeps what it needs of earlier tokens; from its arguments.
        groups: the number of equal groups that its channels have to fall into.
        gives_classes: whether its output has one channel per class where it ends a net.
        reads_token_ids: whether its input is token ids, not channels.
        gives_token_scores: whether its output is a score for each token of the vocabulary.
        tied: whether it shares the weights of the layer that reads token ids, from its arguments.
        invertible: whether its torch module has an `inverse` and preserves volume.
        is_network: whether it is a whole network, whose residual blocks become steps of the scheme;
            its code is then called with the scheme as a further argument.
        imports: lines of import that the code needs in addition to torch and odenet.runtime.
    """

    name: str
    meaning: str
    arguments: Mapping[str, Parameter]
    code: Callable[[Layer, Callable[[Width], str]], str]
    shape: Callable[[Arguments, Shape], Shape] = keeps_shape
    tensors: Callable[[Layer, int, int, int], Tensors] = _no_tensors
    numeric: Callable[[Layer, Mapping[str, Array], Dual, Space], Dual] | None = None
    in_map: bool = True
    not_in_map: Callable[[Arguments], str] = lambda arguments: ""
    random: bool = False
    mixes_places: bool = False
    incremental: Callable[[Arguments], bool] = lambda arguments: False
    groups: Callable[[Arguments], int] = lambda arguments: 1
    gives_classes: bool = False
    reads_token_ids: bool = False
    gives_token_scores: bool = False
    tied: Callable[[Arguments], bool] = lambda arguments: False
    invertible: bool = False
    is_network: bool = False
    imports: tuple[str, ...] = ()
