"""Whether the flow fits where the net puts it: the channels that reach it, and its step size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from odenet.diagnostics import Report
from odenet.model.expressions.expr import Time
from odenet.model.expressions.numbers import Width, fixed
from odenet.model.tables.declared import DeclaredParameter
from odenet.model.tables.layers import Arguments, Layer, LayerError, Shape
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.entry import EntryMap, entry_maps, unit_channels
from odenet.model.typed.program import Dynamics, MapDefinition, flows_of


@dataclass(frozen=True)
class FlowShape:
    """The shapes after flows and units.

    Args:
        dynamics: the equations; None when they have an error, and nothing is checked.
    """

    dynamics: Dynamics | None

    def after_flow(self, before: Shape) -> Shape:
        """The shape after a flow; raises LayerError where the channels do not fall into states."""
        if self.dynamics is None:
            return before
        channels = self.dynamics.width_out.at(self._state_channels(before))
        return Shape(fixed(channels), before.space)

    def after_unit(self, arguments: Arguments, before: Shape) -> Shape:
        """The shape after a unit; raises LayerError where it cannot enter with that."""
        space = tuple(-(-n // arguments["stride"]) for n in before.space)
        after = Shape(arguments["C"], space)
        if self.dynamics is None:
            return after
        if after.channels.multiple:
            return after  # reported as what a net cannot use
        if not before.space and arguments["stride"] > 1:
            raise LayerError(f"a stride needs an image, but {before} is a plain vector")
        old, new = self._state_channels(before), unit_channels(self.dynamics, after.channels)
        if new < old and arguments["shortcut"] != "conv":
            message = f"a unit with {new} channels for each state would take some of {old} away"
            help_ = "zero channels are added only; `shortcut = conv` learns how to reduce them"
            raise LayerError(message, help_)
        return after

    def _state_channels(self, shape: Shape) -> int:
        assert self.dynamics is not None
        parts, channels = self.dynamics.parts, shape.channels
        if channels.constant % parts:
            raise LayerError(
                f"{channels} channels do not fall into {parts} equal parts, one for each state",
                f"make the channel count a multiple of {parts}",
            )
        return int(channels.constant) // parts


@dataclass(frozen=True)
class Flows:
    """Checks the flows of a net.

    Args:
        dynamics: the equations.
        parameters: what they learn.
        maps: the maps they use.
        chosen: their discretisation, None when it has an error.
        report: takes what is wrong.
    """

    dynamics: Dynamics
    parameters: Mapping[str, DeclaredParameter]
    maps: Mapping[str, MapDefinition]
    chosen: Discretisation | None
    report: Report

    def check(self, layers: Sequence[Layer]) -> None:
        """Report the flows that cannot be built where they are."""
        first = None
        for layer in flows_of(layers):
            first = first or layer
            self._place(layer, first)
            self._flow(layer)
            if layer.name == "unit":
                self._unit(layer)

    def _place(self, layer: Layer, first: Layer) -> None:
        """Report a flow whose values have another number of axes than its equations."""
        here, there = layer.before.space, first.before.space
        convolutions = [p for p in self.parameters.values() if p.kind.needs_image]
        if len(here) != len(there):
            message = f"this flow would work on {layer.before}, and the first on {first.before}"
            help_ = "flows have the same number of axes"
            self.report.error("shape-mismatch", message, layer.span, help_)
        elif convolutions and not here:
            name = convolutions[0].name
            message = f"`{name}` needs an image, but the flow works on {layer.before}"
            self.report.error("shape-mismatch", message, layer.span, f"make `{name}` dense")

    def _flow(self, layer: Layer) -> None:
        c = int(layer.before.channels.constant) // self.dynamics.parts
        wrong = next(self._misfits(c), "")
        if wrong:
            message = f"with {c} channels for each state, {wrong}"
            help_ = "change the channels before the flow"
            self.report.error("shape-mismatch", message, layer.span, help_)
        scheme = self.chosen.scheme if self.chosen else None
        if layer.arguments["h"] and scheme is not None and not scheme.uses_step_size:
            message = f"{scheme.name} has no step size"
            self.report.error("step-size", message, layer.span, "leave out `h`")

    def _unit(self, layer: Layer) -> None:
        """Report a unit whose first step cannot be built, or whose others cannot."""
        if self.dynamics.exogenous:
            message = "a unit changes the shape, and the equations read the input `u` at every step"
            help_ = "write the change before a `flow`"
            self.report.error("misplaced-unit", message, layer.span, help_)
            return
        bound = self._bound_to_a_flow()
        if bound:
            message = f"{bound}, and the first step of a unit is not one of its flow"
            help_ = "write the change before a `flow`"
            self.report.error("misplaced-unit", message, layer.span, help_)
            return
        old = int(layer.before.channels.constant) // self.dynamics.parts
        new = unit_channels(self.dynamics, layer.after.channels)
        entering = self.chosen and entry_maps(
            self.dynamics, self.parameters, self.maps, self.chosen
        )
        wrong = next(self._misfits(new), "")
        for name, entry in (entering or {}).items():
            wrong = wrong or next(_entry_misfits(name, entry, old, new), "")
            if layer.arguments["stride"] > 1 and not entry.can_stride:
                message = f"no layer of `{name}` can have the stride of this unit"
                help_ = "a convolution of odd size can"
                self.report.error("misplaced-unit", message, layer.span, help_)
        if wrong:
            message = f"with {new} channels for each state, after {old}, {wrong}"
            help_ = "change the channels of the unit"
            self.report.error("shape-mismatch", message, layer.span, help_)

    def _bound_to_a_flow(self) -> str:
        """What of the equations is for the steps of one flow alone; empty if nothing."""
        if any(isinstance(n, Time) for rate in self.dynamics.rates.values() for n in rate.walk()):
            return "`t` is the time from the beginning of a flow"
        for learned in self.parameters.values():
            if learned.knots:
                return f"`{learned.name}` has knots between the beginning of a flow and its end"
        given = (name for name, definition in self.maps.items() if definition.given)
        return next((f"`{name}` is given from Python for steps of one shape" for name in given), "")

    def _misfits(self, c: int) -> Iterator[str]:
        """Why something cannot be built for states of `c` channels."""
        for learned in self.parameters.values():
            widths = (learned.width_in, learned.width_out)
            yield from _misfit(learned.name, widths, learned.groups, c)
        for name, definition in self.maps.items():
            for layer in definition.layers:
                widths = (layer.before.channels, layer.after.channels)
                yield from _misfit(name, widths, layer.groups, c)


def _entry_misfits(name: str, entry: EntryMap, old: int, new: int) -> Iterator[str]:
    """Why a map cannot be built for the first step of a unit."""
    for layer in entry.layers:
        for width in (layer.before.channels, layer.after.channels):
            yield from _misfit(name, [width], layer.groups, new if width.new else old)


def _misfit(name: str, widths: Sequence[Width | None], groups: int, c: int) -> Iterator[str]:
    """Why something cannot be built: its channels are not a whole number, or not its groups'."""
    for width in widths:
        count = None if width is None else width.at(c)
        if count is None:
            continue
        if count != int(count) or count < 1:
            yield f"`{name}` would have {count}"
        elif count % groups:
            yield f"the {count} channels of `{name}` do not fall into {groups} groups"
