"""Warnings about a file that compiles, but may not say what its author means."""

from collections.abc import Iterable, Iterator

from odenet.diagnostics import Diagnostic
from odenet.language import tree
from odenet.model.elaboration.spec_scope import SpecScope
from odenet.model.tables.layer_kinds import Layer, Shape
from odenet.model.typed.program import walk_layers

PICTURE_CHANNELS = (1, 3, 4)


def file_warnings(
    file: tree.File, scope: SpecScope, shape: Shape | None, layers: Iterable[Layer]
) -> Iterator[Diagnostic]:
    """The warnings about a file without errors: unused lets, channels last, even kernels.

    Args:
        file: its syntax tree.
        scope: its names, after all formulas were read.
        shape: the shape of the network's input; None without a net.
        layers: the layers of the net and of the maps.
    """
    used_lets = scope.used_lets()
    for let in file.statements_of(tree.Let):
        if let.name.id not in used_lets:
            message = f"nothing uses `{let.name.spelling}`, so setting it changes nothing"
            help_ = "use it, or remove the line"
            yield Diagnostic("unused-name", message, let.name.span, help_, severity="warning")
    sizes = () if shape is None else (int(shape.channels.constant), *shape.space)
    if len(sizes) == 3 and sizes[2] in PICTURE_CHANNELS and min(sizes[:2]) > max(PICTURE_CHANNELS):
        height, width, channels = sizes  # if channels come last, as they seem to
        yield Diagnostic(
            "channels-last",
            f"this is {height} channels of {width} x {channels} pixels: do channels come last?",
            file.statements_of(tree.Net)[0].layers.layers[0].span,
            f"channels come first: `input({channels}, {height}, {width})`",
            severity="warning",
        )
    for layer in walk_layers(layers):
        k = layer.arguments.get("k") if layer.name == "conv" else None
        if k is not None and k % 2 == 0:
            message = (
                f"a kernel of {k} has no middle: the output is shifted by half a pixel, "
                "and torch copies the input in every pass to pad it"
            )
            help_ = f"take an odd one, {k - 1} or {k + 1}"
            yield Diagnostic("even-kernel", message, layer.span, help_, severity="warning")
