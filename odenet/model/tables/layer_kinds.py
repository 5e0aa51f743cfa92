"""What a layer of a pipeline is, and what a row says of its kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odenet.diagnostics import Span
from odenet.model.expressions.numbers import Width
from odenet.model.tables.choices import Parameter
from odenet.model.tables.tensors import Array, Dual, Space, Tensors

Arguments = Mapping[str, Any]


class LayerError(ValueError):
    """A layer that does not fit where it is; the text says why, `help` what to do."""

    def __init__(self, message: str, help_: str = ""):
        super().__init__(message)
        self.help = help_


@dataclass(frozen=True)
class Shape:
    """The shape of one sample: channels, then the sizes of its axes.

    In a map the sizes are not known and are zeros.

    Args:
        channels: how many; of token numbers, how many different ones there are.
        space: the sizes of the axes; of tokens, how many there are.
        vocabulary: how many different tokens there are, throughout a net of tokens; else 0.
        numbers: whether there is a token's number at each place, and not its channels.
    """

    channels: Width
    space: tuple[int, ...]
    vocabulary: int = 0
    numbers: bool = False

    def __str__(self) -> str:
        if self.numbers:
            return f"tokens({', '.join(map(str, self.space))}, vocabulary = {self.vocabulary})"
        sizes = [str(self.channels), *(str(n) if n else "·" for n in self.space)]
        return f"({', '.join(sizes)})"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a pipeline, its arguments complete and its shapes known.

    Args:
        groups: into how many equal parts its channels fall.
    """

    name: str
    arguments: Arguments = field(hash=False)
    before: Shape
    after: Shape
    inner: tuple["Layer", ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)
    groups: int = 1


def keeps_shape(arguments: Arguments, shape: Shape) -> Shape:
    """The shape after a layer that keeps it."""
    return shape


def _no_tensors(layer: Layer, before: int, after: int, axes: int) -> Tensors:
    return {}


@dataclass(frozen=True)
class LayerKind:
    """One kind of layer.

    Args:
        name: its name in the language.
        meaning: in words, for the documentation.
        arguments: its arguments.
        code: its torch code, from the layer and a printer of widths.
        shape: the shape after it, from its arguments and the shape before; raises LayerError.
        tensors: its tensors, by their names in torch's state dictionary, from the layer, the
            channels before and after it, and the number of spatial axes.
        numeric: what it makes of a field in evaluation, for the numeric checks, from the layer,
            its tensors, the field and the sizes of the map. None leaves maps with it unsearched
            for counterexamples; the reports say so.
        in_map: whether it may be in a `map`.
        not_in_map: what of its arguments cannot be in a map; empty if all can.
        random: whether it draws random numbers in training.
        mixes_places: whether it reads other places of a map than the one it gives.
        groups: into how many equal parts its channels fall.
        classes: whether its width is the number of classes where it ends a net.
        reads_numbers: whether it takes the numbers of tokens, and not channels.
        scores: whether it gives a score for each token of the vocabulary.
        tied: whether it shares the weights of the layer that reads token numbers.
        invertible: whether its torch module has an `inverse`, and keeps volume.
        stepped: whether it is a network of others, whose blocks become steps of the file's scheme;
            its code then takes that as a further argument.
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
    remembers: Callable[[Arguments], bool] = lambda arguments: False
    groups: Callable[[Arguments], int] = lambda arguments: 1
    classes: bool = False
    reads_numbers: bool = False
    scores: bool = False
    tied: Callable[[Arguments], bool] = lambda arguments: False
    invertible: bool = False
    stepped: bool = False
    imports: tuple[str, ...] = ()
