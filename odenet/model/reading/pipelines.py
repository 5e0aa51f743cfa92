"""Reads the layers of `net` and `map`, and computes the shape after each."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, NoReturn

from odenet.diagnostics import Code, Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.expressions.numbers import STATE_WIDTH, fixed_width
from odenet.model.fitting.flows import FlowShapes
from odenet.model.reading.skips import Skips
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.layers import LAYERS, Layer, LayerError, Shape
from odenet.model.tables.structural_layers import ALL_LAYERS, INPUTS, RESIDUAL, STRUCTURAL, TOKENS
from odenet.model.tables.synonyms import help_for_name

Container = Literal["net", "residual", "map"]  # what a layer is part of


class Pipelines:
    """Reads the pipelines of a file, which are chains of layers: its net and its maps.

    Args:
        argument_reader: evaluates the arguments of layers.
        flow_shapes: gives the shapes after flows, which integrate the equations, and units, which
            are flows with a first step that changes the shape.
        report: collects the errors.
    """

    def __init__(self, argument_reader: ArgumentReader, flow_shapes: FlowShapes, report: Report):
        self.argument_reader = argument_reader
        self.flow_shapes = flow_shapes
        self.report = report
        self._skips = Skips(report)

    def net(self, pipeline: tree.Pipeline) -> tuple[tuple[Layer, ...], Shape | None]:
        """The layers of the net after `input`, and the shape that `input` gives.

        After an error there are no layers, and the shape is None if `input` is wrong.
        """
        first, *rest = pipeline.layers
        shape = None
        errors_before = self.report.error_count
        self._skips = Skips(self.report)
        try:
            shape = self._input(first)
        except Rejected:
            # without `input` at the beginning, the first layer is checked like the others
            rest = rest if self._is_input(first) else pipeline.layers
        try:
            layers = self._layers(rest, shape, "net")
            self._check_tied_head(layers)
            return layers, shape
        except Rejected:
            return (), shape
        finally:
            if self.report.error_count == errors_before:
                self._skips.check()

    def map(self, pipeline: tree.Pipeline, name: tree.Name, axes: int) -> tuple[Layer, ...]:
        """The layers of a map, which keep the shape of the states; raises Rejected.

        Args:
            pipeline: the layers as written.
            name: the name of the map.
            axes: the number of spatial axes of a state.
        """
        shape = Shape(STATE_WIDTH, (0,) * axes)
        layers = self._layers(pipeline.layers, shape, "map")
        if layers and layers[-1].shape_out != shape:
            message = (
                f"a map keeps the shape of the states {shape}, "
                f"but `{name.spelling}` ends at {layers[-1].shape_out}"
            )
            help_ = "leave out the channel count of the last layer"
            self.report.error("shape-mismatch", message, layers[-1].span, help_)
        return layers

    def _is_input(self, node: tree.Expr) -> bool:
        """Whether a layer is one that begins a net, `input` or `tokens`."""
        first_name = next((n.id for n in node.walk() if isinstance(n, tree.Name)), "")
        return first_name in INPUTS

    def _input(self, node: tree.Expr) -> Shape:
        """The shape that the first layer of a net gives; raises Rejected."""
        help_ = (
            "write `input(C, H, W)` for images, `input(D)` for vectors, "
            "`tokens(T, vocabulary = V)` for text"
        )
        if not self._is_input(node):
            self._reject("missing-input", node, "a net begins with the shape of one sample", help_)
        call = self.argument_reader.call(node, "a layer")
        if call.name in TOKENS.forms:
            arguments = self.argument_reader.check_call(call, TOKENS, call.name)
            size = arguments["vocabulary"]
            return Shape(fixed_width(size), (arguments["T"],), vocabulary=size, token_ids=True)
        arguments = call.args
        sizes = [s for s in arguments if isinstance(s, Fraction) and s.denominator == 1 and s > 0]
        if call.kwargs or len(sizes) != len(arguments) or not 1 <= len(arguments) <= 4:
            message = "input lists 1 to 4 sizes, each a whole number, at least 1"
            self._reject("missing-input", node, message, help_)
        return Shape(fixed_width(sizes[0]), tuple(map(int, sizes[1:])))

    def _layers(
        self, nodes: Sequence[tree.Expr], shape: Shape | None, container: Container
    ) -> tuple[Layer, ...]:
        """The layers of a chain; raises Rejected after reporting the errors in all of them.

        Args:
            nodes: the layers as written.
            shape: the shape before the first layer; None if an earlier error has made it unknown.
            container: what the layers are part of.
        """
        layers: list[Layer] = []
        failed = shape is None
        for node in nodes:
            try:
                layer = self._layer(node, None if failed else shape, container)
                if layer is not None:
                    shape = layer.shape_out
                    layers.append(layer)
            except Rejected:
                failed = True
        if failed:
            raise Rejected
        return tuple(layers)

    def _layer(self, node: tree.Expr, shape: Shape | None, container: Container) -> Layer | None:
        """A layer with the shape after it; None if the shape before it is unknown."""
        call = self.argument_reader.call(node, "a layer")
        in_map = container == "map"
        if call.name == "residual" and not in_map:
            return self._residual(call, node, shape)
        if in_map and call.name in (*INPUTS, *STRUCTURAL, "residual"):
            message = f"`{call.name}` cannot be used in a map"
            self._reject("misplaced-layer", node, message, "it belongs in `net = …`")
        if call.name in INPUTS:
            message = f"`{call.name}` can only begin a net"
            self._reject("misplaced-layer", node, message, "remove it")
        if call.name not in ALL_LAYERS.forms:
            known = sorted({*ALL_LAYERS.forms, "residual"})
            help_ = help_for_name("layer", call.name, known) or f"known: {', '.join(known)}"
            message = f"unknown layer `{call.name}`"
            self.report.reject("unknown-layer", message, call.name_span, help_)
        call = self.argument_reader.check_call(call, ALL_LAYERS, call.name)
        if in_map:
            row = LAYERS[call.name]
            forbidden = row.not_in_map(call.kwargs) if row.in_map else f"`{call.name}`"
            if forbidden:
                help_ = "a map keeps the shape of the states"
                self._reject("misplaced-layer", node, f"{forbidden} cannot be used in a map", help_)
        if call.name in ("keep", "join"):
            if container == "residual":
                help_ = "keep before it and join after it"
                message = f"`{call.name}` cannot be used inside residual"
                self._reject("misplaced-layer", node, message, help_)
            self._skips.record(call, shape)
        if shape is None:
            return None
        try:
            shape_out = self._shape_after(call, shape)
        except LayerError as error:
            self._reject("shape-mismatch", node, str(error), error.help)
        if shape_out.channels.multiple and not in_map:
            message = "`c` counts the channels of a state, so a net cannot use it"
            self._reject("channel-count", node, message, "write a number")
        groups = LAYERS[call.name].groups(call.kwargs) if call.name in LAYERS else 1
        return Layer(
            name=call.name,
            arguments=call.kwargs,
            shape_in=shape,
            shape_out=shape_out,
            span=node.span,
            groups=groups,
        )

    def _shape_after(self, call: Call, shape: Shape) -> Shape:
        """The shape after a layer; raises LayerError if the layer does not fit."""
        if shape.token_ids and not (call.name in LAYERS and LAYERS[call.name].reads_token_ids):
            message = f"{call.name} reads channels, and {shape} gives the numbers of tokens"
            raise LayerError(message, "write `embed(C)` before it")
        return replace(self._shape_by_rule(call, shape), vocabulary=shape.vocabulary)

    def _shape_by_rule(self, call: Call, shape: Shape) -> Shape:
        """The shape after a layer, by its rule, without the size of the vocabulary."""
        if call.name == "flow":
            return self.flow_shapes.after_flow(shape)
        if call.name == "unit":
            return self.flow_shapes.after_unit(call.kwargs, shape)
        if call.name == "keep":
            return shape
        if call.name == "join":
            return self._skips.shape_after_join(call, shape)
        return LAYERS[call.name].shape(call.kwargs, shape)

    def _residual(self, call: Call, node: tree.Expr, shape: Shape | None) -> Layer | None:
        """The layer `residual(LAYERS)`: the result of LAYERS plus the input, made to fit."""
        if len(call.args) != 1:
            message = "residual takes a pipeline"
            self._reject("wrong-argument", node, message, "write `residual(bn -> relu -> conv(3))`")
        spans = {key: call.argument_spans[key] for key in call.kwargs}
        options = replace(call, args=(), argument_spans=spans)
        options = self.argument_reader.check_call(options, RESIDUAL, "residual").kwargs
        assert isinstance(node, tree.Term) and isinstance(node.factors[1][1], tree.Group)
        pipeline = node.factors[1][1].arguments[0].value  # after the name `residual`: (LAYERS, …)
        nodes: Any = pipeline.layers if isinstance(pipeline, tree.Pipeline) else (pipeline,)
        layers = self._layers(nodes, shape, "residual")
        assert shape is not None
        shape_out = layers[-1].shape_out
        is_narrower = shape_out.channels.constant < shape.channels.constant
        fits_channels = not is_narrower or options["shortcut"] == "conv"
        can_add = fits_channels and len(shape_out.space) == len(shape.space)
        # along each axis the size before / the size after, rounded up
        strides = {-(-a // b) for a, b in zip(shape.space, shape_out.space, strict=False)}
        if not can_add or len(strides) > 1:
            help_ = "inside residual the image may shrink by a stride and the channels grow"
            help_ += "; `shortcut = conv` may reduce them" if is_narrower else ""
            message = f"the input {shape} cannot be added to {shape_out}"
            self._reject("shape-mismatch", node, message, help_)
        return Layer(
            name="residual",
            arguments={"stride": max(strides, default=1), **options},
            shape_in=shape,
            shape_out=shape_out,
            inner=layers,
            span=node.span,
        )

    def _check_tied_head(self, layers: tuple[Layer, ...]) -> None:
        """Check a tied head, a last layer with the weights of the embedding; raises Rejected."""
        first = layers[0] if layers else None
        for layer in layers:
            if layer.name not in LAYERS or not LAYERS[layer.name].tied(layer.arguments):
                continue
            if layer is not layers[-1]:
                message = "a tied head ends a net"
                self.report.reject("misplaced-layer", message, layer.span, "move it to the end")
            assert first is not None  # a net with a vocabulary begins with a layer that reads ids
            if first.shape_out.channels != layer.shape_in.channels:
                message = (
                    f"a tied head takes as many channels as a token is given, "
                    f"{first.shape_out.channels}, and here are {layer.shape_in.channels}"
                )
                help_ = f"write `conv(1, {first.shape_out.channels})` before it, or `tied = no`"
                self.report.reject("shape-mismatch", message, layer.span, help_)

    def _reject(self, code: Code, node: tree.Node, message: str, help_: str) -> NoReturn:
        self.report.reject(code, message, node.span, help_)
