"""The layers of `net` and `map`, with the shape after each."""

from collections.abc import Callable
from fractions import Fraction
from typing import NoReturn

from odenet.diagnostics import Report, suggest
from odenet.language import tree
from odenet.model.meaning import Rejected
from odenet.model.layers import LAYERS, NAMES, Layer, LayerError, Shape
from odenet.model.numbers import C, Width, fixed
from odenet.model.recipe_values import Call
from odenet.model.values import Values

FlowShape = Callable[[Width], Width | LayerError]


class Pipelines:
    """Reads pipelines.

    Args:
        values: reads the arguments.
        flow_shape: the channels after a flow for the channels before it.
    """

    def __init__(self, values: Values, flow_shape: FlowShape, report: Report):
        self.values = values
        self.flow_shape = flow_shape
        self.report = report

    def net(self, pipeline: tree.Pipeline) -> tuple[tuple[Layer, ...], Shape | None]:
        """The layers after `input`, and the shape it says."""
        first, *rest = pipeline.layers
        try:
            shape = self._input(first)
            return self._layers(rest, shape, in_map=False), shape
        except Rejected:
            return (), None

    def map(self, pipeline: tree.Pipeline, name: tree.Name, space: int) -> tuple[Layer, ...]:
        """The layers of a map; they keep the shape of the states."""
        shape = Shape(C, (0,) * space)
        layers = self._layers(pipeline.layers, shape, in_map=True)
        if layers and layers[-1].after != shape:
            self.report.error(
                f"a map keeps the shape of the states {shape}, but `{name.spelling}` ends at "
                f"{layers[-1].after}", layers[-1].span,
                help="leave out the channel count of the last layer",
            )  # fmt: skip
        return layers

    def _input(self, node: tree.Expr) -> Shape:
        call = self.values.call(node)
        sizes = call.args
        numbers = [s for s in sizes if isinstance(s, Fraction) and s.denominator == 1 and s > 0]
        if call.name != "input" or call.kwargs or len(numbers) != len(sizes) or not 1 <= len(sizes) <= 4:
            self.report.error("a net begins with the shape of one sample", node.span,
                              help="write `input(C, H, W)` for images, `input(D)` for vectors")  # fmt: skip
            raise Rejected
        return Shape(fixed(numbers[0]), tuple(int(n) for n in numbers[1:]))

    def _layers(self, nodes, shape: Shape, in_map: bool) -> tuple[Layer, ...]:
        found = []
        for node in nodes:
            layer = self._layer(node, shape, in_map)
            shape = layer.after
            found.append(layer)
        return tuple(found)

    def _layer(self, node: tree.Expr, shape: Shape, in_map: bool) -> Layer:
        call = self.values.call(node)
        if call.name == "residual" and not in_map:
            return self._residual(call, node, shape)
        if call.name not in NAMES.forms:
            known = sorted({*NAMES.forms, "residual"})
            self._fail(node, f"unknown layer `{call.name}`", suggest(call.name, known) or
                       f"known: {', '.join(known)}")  # fmt: skip
        call = self.values.checked(call, NAMES, call.name)
        if in_map and not (call.name in LAYERS and LAYERS[call.name].in_map):
            self._fail(node, f"`{call.name}` cannot stand in a map",
                       "a map keeps the shape of the states")  # fmt: skip
        try:
            after = self._shape_after(call, shape)
        except LayerError as error:
            self._fail(node, str(error), error.help)
        return Layer(call.name, call.kwargs, shape, after, (), node.span)

    def _shape_after(self, call: Call, shape: Shape) -> Shape:
        if call.name != "flow":
            return LAYERS[call.name].shape(call.kwargs, shape)
        after = self.flow_shape(shape.channels)
        if isinstance(after, LayerError):
            raise after
        return Shape(after, shape.space)

    def _residual(self, call: Call, node: tree.Expr, shape: Shape) -> Layer:
        """`residual(LAYERS)`: the layers' result plus the input, subsampled and widened to fit."""
        if len(call.args) != 1 or call.kwargs:
            self._fail(node, "residual takes a pipeline", "write `residual(bn -> relu -> conv(3))`")
        assert isinstance(node, tree.Term) and isinstance(node.factors[1][1], tree.Group)
        inside = node.factors[1][1].arguments[0].value
        nodes = inside.layers if isinstance(inside, tree.Pipeline) else (inside,)
        inner = self._layers(nodes, shape, in_map=False)
        after = inner[-1].after
        fits = len(after.space) == len(shape.space) and after.channels.constant >= shape.channels.constant
        strides = {-(-a // b) for a, b in zip(shape.space, after.space, strict=False)}
        if not fits or len(strides) > 1:
            self._fail(node, f"the input {shape} cannot be added to {after}",
                       "inside residual the image may shrink by a stride and the channels grow")  # fmt: skip
        return Layer("residual", {"stride": max(strides, default=1)}, shape, after, inner, node.span)

    def _fail(self, node: tree.Node, message: str, help_: str) -> NoReturn:
        self.report.error(message, node.span, help=help_)
        raise Rejected
