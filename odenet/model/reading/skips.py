"""Checks the skip connections of a net: `keep("a")` stores a value and `join("a")` uses it."""

from dataclasses import dataclass

from odenet.diagnostics import Rejected, Report, Span, nearest_name, suggest
from odenet.model.tables.argument_kinds import Call
from odenet.model.tables.layers import LayerError, Shape


@dataclass(frozen=True)
class _SkipLayer:
    """A `keep` or `join` layer: the name of the skip connection, and the shape before the layer.

    The shape is None after an error.
    """

    name: str
    span: Span
    shape: Shape | None


class Skips:
    """The skip connections of one net, whose layers are recorded in order.

    Args:
        report: collects the errors.
    """

    def __init__(self, report: Report):
        self.report = report
        self._kept: dict[str, _SkipLayer] = {}
        self._joined: set[str] = set()
        self._unmatched_joins: list[_SkipLayer] = []
        self._kept_twice: list[_SkipLayer] = []

    def record(self, call: Call, shape: Shape | None) -> None:
        """Record a `keep` or a `join` and the shape before it; errors are reported by `check`.

        Raises:
            Rejected: if there is no `keep` for a `join`, so that the shape after it is unknown.
        """
        layer = _SkipLayer(call["name"], call.span, shape)
        if call.name == "join":
            self._joined.add(layer.name)
            if layer.name not in self._kept:
                self._unmatched_joins.append(layer)
                raise Rejected
        elif layer.name in self._kept:
            self._kept_twice.append(layer)
        else:
            self._kept[layer.name] = layer

    def shape_after_join(self, call: Call, shape: Shape) -> Shape:
        """The shape after a `join`; raises LayerError if the two shapes do not fit."""
        keep = self._kept[call["name"]]
        kept_shape = keep.shape
        assert kept_shape is not None  # it comes before, and the shape here is known
        kept_text = f'"{keep.name}", kept in line {keep.span.line}, is {kept_shape}'
        if kept_shape.space != shape.space:
            help_ = "sizes that s divides are the same after `pool(s)` and `upsample(s)`"
            message = f"{kept_text}, and cannot be joined to {shape}: their sizes differ"
            raise LayerError(message, help_)
        if call["add"] == "yes":
            if kept_shape.channels != shape.channels:
                message = f"{kept_text}, and cannot be added to {shape}: their channels differ"
                help_ = f"write `conv(1, {kept_shape.channels})` before it, or leave out `add`"
                raise LayerError(message, help_)
            return shape
        return Shape(kept_shape.channels + shape.channels, shape.space)

    def check(self) -> None:
        """Report names that are joined but not kept, kept twice, or kept but not joined."""
        for layer in self._kept_twice:
            line = self._kept[layer.name].span.line
            message = f'"{layer.name}" is kept already, in line {line}'
            self.report.error("misplaced-layer", message, layer.span, "give each a name of its own")
        misspelled: set[str] = set()  # kept names that a `join` probably means
        for layer in self._unmatched_joins:
            if layer.name in self._kept:
                line = self._kept[layer.name].span.line
                message = f'"{layer.name}" is joined before it is kept, in line {line}'
                help_ = "`keep` comes before `join`"
            else:
                message = f'nothing is kept as "{layer.name}"'
                unjoined = [name for name in self._kept if name not in self._joined]
                misspelled.add(nearest_name(layer.name, unjoined))
                help_ = suggest(layer.name, unjoined) or f'write `keep("{layer.name}")` before it'
            self.report.error("misplaced-layer", message, layer.span, help_)
        for name, layer in self._kept.items():
            if name not in self._joined | misspelled:
                help_ = f'write `join("{name}")` where it is wanted, or remove it'
                message = f'"{name}" is kept and never joined'
                self.report.error("misplaced-layer", message, layer.span, help_)
