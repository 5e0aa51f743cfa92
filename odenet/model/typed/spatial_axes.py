"""A typed program for feature maps with another number of spatial axes."""

from collections.abc import Iterable
from dataclasses import replace

from odenet.diagnostics import SpecError
from odenet.model.expressions.numbers import STATE_WIDTH
from odenet.model.tables.layers import LAYERS, Layer, LayerError, Shape
from odenet.model.typed.program import Model

_CONVOLUTIONS = ("conv", "depthwise", "pointwise")


def with_spatial_axes(model: Model, space: int) -> Model:
    """The model with the shapes in its maps for `space` spatial axes; 0 for plain vectors.

    Raises:
        SpecError: a layer or a parameter does not work with this number of axes.
    """
    if not 0 <= space <= 3:
        raise SpecError.of("shape-mismatch", f"maps have 0 to 3 spatial axes, not {space}")
    for parameter in model.parameters.values() if space == 0 else ():
        if parameter.type in _CONVOLUTIONS:
            spelling = model.spellings.get(parameter.name, parameter.name)
            message = f"`{spelling}` is a convolution, but space=0 asks for plain vectors"
            help_ = "declare it as dense, or leave space=0 out"
            raise SpecError.of("shape-mismatch", message, parameter.span, help_)
    maps = {
        name: replace(definition, layers=_with_shapes(definition.layers, space))
        for name, definition in model.maps.items()
    }
    return replace(model, maps=maps)


def _with_shapes(layers: Iterable[Layer], space: int) -> tuple[Layer, ...]:
    shape = Shape(STATE_WIDTH, (0,) * space)
    reshaped: list[Layer] = []
    for layer in layers:
        try:
            after = LAYERS[layer.name].shape(layer.arguments, shape)
        except LayerError as error:
            message = f"with space={space}, {error}"
            raise SpecError.of("shape-mismatch", message, layer.span, error.help) from None
        reshaped.append(replace(layer, shape_in=shape, shape_out=after))
        shape = after
    return tuple(reshaped)
