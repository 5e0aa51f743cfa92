"""The layer `existing`, a whole network of torchvision or timm: a row of `layers.py`."""

import json
from collections.abc import Callable

from odenet.model.expressions.numbers import Width
from odenet.model.tables.argument_kinds import Text
from odenet.model.tables.arguments import ChannelCount
from odenet.model.tables.choices import Parameter
from odenet.model.tables.layer_kinds import Arguments, Layer, LayerError, LayerKind, Shape


def _shape(arguments: Arguments, shape: Shape) -> Shape:
    if len(shape.space) != 2:
        raise LayerError(f"existing takes pictures, not {shape}", "write `input(3, 224, 224)`")
    return Shape(arguments["D"], ())


def _code(layer: Layer, show: Callable[[Width], str]) -> str:
    name = json.dumps(layer.arguments["name"], ensure_ascii=False)
    return f"existing({name}, {show(layer.shape_out.channels)})"


EXISTING = LayerKind(
    name="existing",
    meaning="a whole network of torchvision or timm, whose residual blocks become steps of the "
    "scheme",
    arguments={
        "name": Parameter(Text(), "is what the library calls it"),
        "D": Parameter(ChannelCount(), "counts the numbers that it gives"),
    },
    code=_code,
    shape=_shape,
    in_map=False,
    mixes_places=True,
    random=True,
    gives_classes=True,
    is_network=True,
    imports=("from odenet.conversion.existing import existing",),
)
