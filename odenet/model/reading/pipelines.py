"""The layers of `net` and `map`, with the shape after each."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, NoReturn

from odenet.diagnostics import Code, Rejected, Report
from odenet.language import tree
from odenet.model.elaboration.argument_reader import ArgumentReader
from odenet.model.expressions.numbers import C, fixed
from odenet.model.fitting.flows import FlowShapes
from odenet.model.reading.skips import Skips
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.layers import LAYERS, Layer, LayerError, Shape
from odenet.model.tables.structural_layers import (
    ALL_LAYERS,
    BEGINNINGS,
    RESIDUAL,
    STRUCTURAL,
    TOKENS,
)
from odenet.model.tables.synonyms import help_for_name

Where = Literal["net", "residual", "map"]


class Pipelines:
    """Reads the pipelines of a file: its net and its maps.

    Args:
        values: reads the arguments.
        flow_shape: the shapes after flows and units.
        report: takes what is wrong.
    """

    def __init__(self, arguments: ArgumentReader, flow_shape: FlowShapes, report: Report):
        self.arguments = arguments
        self.flow_shape = flow_shape
        self.report = report
        self._skips = Skips(report)

    def net(self, pipeline: tree.Pipeline) -> tuple[tuple[Layer, ...], Shape | None]:
        """The layers after `input`, and the shape it says."""
        first, *rest = pipeline.layers
        shape = None
        before = self.report.errors
        self._skips = Skips(self.report)
        try:
            shape = self._input(first)
        except Rejected:
            rest = rest if self._is_input(first) else pipeline.layers
        try:
            layers = self._layers(rest, shape, "net")
            self._tied(layers)
            return layers, shape
        except Rejected:
            return (), shape
        finally:
            if self.report.errors == before:
                self._skips.check()

    def map(self, pipeline: tree.Pipeline, name: tree.Name, space: int) -> tuple[Layer, ...]:
        """The layers of a map; they keep the shape of the states."""
        shape = Shape(C, (0,) * space)
        layers = self._layers(pipeline.layers, shape, "map")
        if layers and layers[-1].shape_out != shape:
            after = layers[-1].shape_out
            message = (
                f"a map keeps the shape of the states {shape}, "
                f"but `{name.spelling}` ends at {after}"
            )
            help_ = "leave out the channel count of the last layer"
            self.report.error("shape-mismatch", message, layers[-1].span, help_)
        return layers

    def _is_input(self, node: tree.Expr) -> bool:
        first = next((n.id for n in node.walk() if isinstance(n, tree.Name)), "")
        return first in BEGINNINGS

    def _input(self, node: tree.Expr) -> Shape:
        help_ = (
            "write `input(C, H, W)` for images, `input(D)` for vectors, "
            "`tokens(T, vocabulary = V)` for text"
        )
        if not self._is_input(node):
            self._fail("missing-input", node, "a net begins with the shape of one sample", help_)
        call = self.arguments.call(node, "a layer")
        if call.name in TOKENS.forms:
            sizes = self.arguments.checked(call, TOKENS, call.name)
            words = sizes["vocabulary"]
            return Shape(fixed(words), (sizes["T"],), vocabulary=words, token_ids=True)
        sizes = call.args
        numbers = [s for s in sizes if isinstance(s, Fraction) and s.denominator == 1 and s > 0]
        if call.kwargs or len(numbers) != len(sizes) or not 1 <= len(sizes) <= 4:
            message = "input lists 1 to 4 sizes, each a whole number, at least 1"
            self._fail("missing-input", node, message, help_)
        return Shape(fixed(numbers[0]), tuple(int(n) for n in numbers[1:]))

    def _layers(
        self, nodes: Sequence[tree.Expr], shape: Shape | None, where: Where
    ) -> tuple[Layer, ...]:
        """The layers; an error in one hides no error in the arguments of the others.

        Args:
            nodes: the layers as written.
            shape: before the first; None when an error has made it unknown.
            where: what they are part of.
        """
        found: list[Layer] = []
        broken = shape is None
        for node in nodes:
            try:
                layer = self._layer(node, None if broken else shape, where)
                if layer is not None:
                    shape = layer.shape_out
                    found.append(layer)
            except Rejected:
                broken = True
        if broken:
            raise Rejected
        return tuple(found)

    def _layer(self, node: tree.Expr, shape: Shape | None, where: Where) -> Layer | None:
        call = self.arguments.call(node, "a layer")
        in_map = where == "map"
        if call.name == "residual" and not in_map:
            return self._residual(call, node, shape)
        if in_map and call.name in (*BEGINNINGS, *STRUCTURAL, "residual"):
            message = f"`{call.name}` cannot be used in a map"
            self._fail("misplaced-layer", node, message, "it belongs in `net = …`")
        if call.name in BEGINNINGS:
            self._fail("misplaced-layer", node, f"`{call.name}` can only begin a net", "remove it")
        if call.name not in ALL_LAYERS.forms:
            known = sorted({*ALL_LAYERS.forms, "residual"})
            help_ = help_for_name("layer", call.name, known) or f"known: {', '.join(known)}"
            self.report.reject(
                "unknown-layer", f"unknown layer `{call.name}`", call.name_span, help_
            )
        call = self.arguments.checked(call, ALL_LAYERS, call.name)
        if in_map:
            row = LAYERS[call.name]
            what = row.not_in_map(call.kwargs) if row.in_map else f"`{call.name}`"
            if what:
                help_ = "a map keeps the shape of the states"
                self._fail("misplaced-layer", node, f"{what} cannot be used in a map", help_)
        if call.name in ("keep", "join"):
            if where == "residual":
                help_ = "keep before it and join after it"
                message = f"`{call.name}` cannot be used inside residual"
                self._fail("misplaced-layer", node, message, help_)
            self._skips.note(call, shape)
        if shape is None:
            return None
        try:
            after = self._shape_after(call, shape)
        except LayerError as error:
            self._fail("shape-mismatch", node, str(error), error.help)
        if after.channels.multiple and not in_map:
            message = "`c` counts the channels of a state, so a net cannot use it"
            self._fail("channel-count", node, message, "write a number")
        groups = LAYERS[call.name].groups(call.kwargs) if call.name in LAYERS else 1
        return Layer(
            name=call.name,
            arguments=call.kwargs,
            shape_in=shape,
            shape_out=after,
            span=node.span,
            groups=groups,
        )

    def _shape_after(self, call: Call, shape: Shape) -> Shape:
        if shape.token_ids and not (call.name in LAYERS and LAYERS[call.name].reads_token_ids):
            message = f"{call.name} reads channels, and {shape} gives the numbers of tokens"
            raise LayerError(message, "write `embed(C)` before it")
        return replace(self._rule(call, shape), vocabulary=shape.vocabulary)

    def _rule(self, call: Call, shape: Shape) -> Shape:
        if call.name == "flow":
            return self.flow_shape.after_flow(shape)
        if call.name == "unit":
            return self.flow_shape.after_unit(call.kwargs, shape)
        if call.name == "keep":
            return shape
        if call.name == "join":
            return self._skips.joined(call, shape)
        return LAYERS[call.name].shape(call.kwargs, shape)

    def _residual(self, call: Call, node: tree.Expr, shape: Shape | None) -> Layer | None:
        """`residual(LAYERS)`: the layers' result plus the input, which the shortcut makes fit."""
        if len(call.args) != 1:
            message = "residual takes a pipeline"
            self._fail("wrong-argument", node, message, "write `residual(bn -> relu -> conv(3))`")
        options = replace(
            call, args=(), argument_spans={k: call.argument_spans[k] for k in call.kwargs}
        )
        options = self.arguments.checked(options, RESIDUAL, "residual").kwargs
        assert isinstance(node, tree.Term) and isinstance(node.factors[1][1], tree.Group)
        inside = node.factors[1][1].arguments[0].value
        single: Any = inside
        nodes = inside.layers if isinstance(inside, tree.Pipeline) else (single,)
        inner = self._layers(nodes, shape, "residual")
        assert shape is not None
        after = inner[-1].shape_out
        narrower = after.channels.constant < shape.channels.constant
        fits = len(after.space) == len(shape.space) and (
            not narrower or options["shortcut"] == "conv"
        )
        strides = {-(-a // b) for a, b in zip(shape.space, after.space, strict=False)}
        if not fits or len(strides) > 1:
            help_ = "inside residual the image may shrink by a stride and the channels grow"
            help_ += "; `shortcut = conv` may reduce them" if narrower else ""
            message = f"the input {shape} cannot be added to {after}"
            self._fail("shape-mismatch", node, message, help_)
        return Layer(
            name="residual",
            arguments={"stride": max(strides, default=1), **options},
            shape_in=shape,
            shape_out=after,
            inner=inner,
            span=node.span,
        )

    def _tied(self, layers: tuple[Layer, ...]) -> None:
        """Refuse a head whose weights cannot be those of the layer that reads the tokens."""
        first = layers[0] if layers else None
        for layer in layers:
            if layer.name not in LAYERS or not LAYERS[layer.name].tied(layer.arguments):
                continue
            if layer is not layers[-1]:
                message = "a tied head ends a net"
                self.report.reject("misplaced-layer", message, layer.span, "move it to the end")
            assert first is not None  # with a vocabulary, it reads the tokens' numbers
            if first.shape_out.channels != layer.shape_in.channels:
                message = (
                    f"a tied head takes as many channels as a token is given, "
                    f"{first.shape_out.channels}, and here are {layer.shape_in.channels}"
                )
                help_ = f"write `conv(1, {first.shape_out.channels})` before it, or `tied = no`"
                self.report.reject("shape-mismatch", message, layer.span, help_)

    def _fail(self, code: Code, node: tree.Node, message: str, help_: str) -> NoReturn:
        self.report.reject(code, message, node.span, help_)
