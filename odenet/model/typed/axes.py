"""The same program on maps with another number of spatial axes."""

from collections.abc import Iterable
from dataclasses import replace

from odenet.diagnostics import SpecError
from odenet.model.expressions.numbers import C
from odenet.model.tables.layers import LAYERS, Layer, LayerError, Shape
from odenet.model.typed.program import Model

_KERNELS = ("conv", "depthwise", "pointwise")


def on_axes(model: Model, space: int) -> Model:
    """A model whose maps and parameters work on this many spatial axes; 0 for plain vectors.

    Raises:
        SpecError: a layer or a parameter does not exist there.
    """
    if not 0 <= space <= 3:
        raise SpecError.of("shape-mismatch", f"maps have 0 to 3 spatial axes, not {space}")
    for learned in model.parameters.values() if space == 0 else ():
        if learned.type in _KERNELS:
            spelling = model.spellings.get(learned.name, learned.name)
            message = f"`{spelling}` is a convolution, but space=0 asks for plain vectors"
            help_ = "declare it as dense, or leave space=0 out"
            raise SpecError.of("shape-mismatch", message, learned.span, help_)
    maps = {
        name: replace(definition, layers=_layers(definition.layers, space))
        for name, definition in model.maps.items()
    }
    return replace(model, maps=maps)


def _layers(layers: Iterable[Layer], space: int) -> tuple[Layer, ...]:
    shape = Shape(C, (0,) * space)
    found: list[Layer] = []
    for layer in layers:
        try:
            after = LAYERS[layer.name].shape(layer.arguments, shape)
        except LayerError as error:
            message = f"with space={space}, {error}"
            raise SpecError.of("shape-mismatch", message, layer.span, error.help) from None
        found.append(replace(layer, before=shape, after=after))
        shape = after
    return tuple(found)
