"""Checks of the flows and units in a net: their shapes, channels and step size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from odenet.diagnostics import Report
from odenet.model.expressions.expr import Time
from odenet.model.expressions.numbers import Width, fixed_width
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import Arguments, Layer, LayerError, Shape
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.program import Dynamics, MapDefinition, flows_of
from odenet.model.typed.unit_entry import EntryMap, entry_maps, unit_channels


@dataclass(frozen=True)
class FlowShapes:
    """The output shapes of flows and units.

    Args:
        dynamics: the equations; None if they have an error, and then nothing is checked.
    """

    dynamics: Dynamics | None

    def after_flow(self, before: Shape) -> Shape:
        """The output shape of a flow; raises LayerError if channels do not split into states."""
        if self.dynamics is None:
            return before
        channels = self.dynamics.width_out.channels(self._state_channels(before))
        return Shape(fixed_width(channels), before.space)

    def after_unit(self, arguments: Arguments, before: Shape) -> Shape:
        """The output shape of a unit; raises LayerError if its first step cannot change to it."""
        after = Shape(arguments["C"], tuple(-(-n // arguments["stride"]) for n in before.space))
        if self.dynamics is None:
            return after
        if after.channels.multiple:
            return after  # `c` has no value in a net, which is reported elsewhere
        if not before.space and arguments["stride"] > 1:
            raise LayerError(f"a stride needs an image, but {before} is a plain vector")
        old, new = self._state_channels(before), unit_channels(self.dynamics, after.channels)
        if new < old and arguments["shortcut"] != "conv":
            message = f"a unit with {new} channels for each state would take some of {old} away"
            help_ = "zero channels are added only; `shortcut = conv` learns how to reduce them"
            raise LayerError(message, help_)
        return after

    def _state_channels(self, shape: Shape) -> int:
        """The channels of each state for an input of this shape; raises LayerError."""
        assert self.dynamics is not None
        parts, channels = self.dynamics.input_parts, shape.channels
        if channels.constant % parts:
            raise LayerError(
                f"{channels} channels do not fall into {parts} equal parts, one for each state",
                f"make the channel count a multiple of {parts}",
            )
        return int(channels.constant) // parts


@dataclass(frozen=True)
class FlowChecks:
    """Checks the flows of a net.

    Args:
        dynamics: the equations.
        parameters: the `param`s of the file.
        maps: the maps of the file.
        discretisation: what `discretise` says; None if it has an error.
        report: collects the errors.
    """

    dynamics: Dynamics
    parameters: Mapping[str, DeclaredParameter]
    maps: Mapping[str, MapDefinition]
    discretisation: Discretisation | None
    report: Report

    def check(self, layers: Sequence[Layer]) -> None:
        """Report the flows that cannot be built where they are in the net."""
        first = None
        for layer in flows_of(layers):
            first = first or layer
            self._check_axes(layer, first)
            self._check_flow(layer)
            if layer.name == "unit":
                self._check_unit(layer)

    def _check_axes(self, layer: Layer, first: Layer) -> None:
        """Report a flow with more or fewer axes than the first, or convolutions but no axes."""
        space, first_space = layer.shape_in.space, first.shape_in.space
        convolutions = [p for p in self.parameters.values() if p.kind.needs_image]
        if len(space) != len(first_space):
            message = f"this flow would work on {layer.shape_in}, and the first on {first.shape_in}"
            help_ = "flows have the same number of axes"
            self.report.error("shape-mismatch", message, layer.span, help_)
        elif convolutions and not space:
            name = convolutions[0].name
            message = f"`{name}` needs an image, but the flow works on {layer.shape_in}"
            self.report.error("shape-mismatch", message, layer.span, f"make `{name}` dense")

    def _check_flow(self, layer: Layer) -> None:
        """Report channel counts that no step can have, and a step size that the scheme lacks."""
        c = int(layer.shape_in.channels.constant) // self.dynamics.input_parts
        problem = next(self._width_problems(c), "")
        if problem:
            message = f"with {c} channels for each state, {problem}"
            help_ = "change the channels before the flow"
            self.report.error("shape-mismatch", message, layer.span, help_)
        scheme = self.discretisation.scheme if self.discretisation else None
        if layer.arguments["h"] and scheme is not None and not scheme.uses_step_size:
            message = f"{scheme.name} has no step size"
            self.report.error("step-size", message, layer.span, "leave out `h`")

    def _check_unit(self, layer: Layer) -> None:
        """Report a unit whose first step, or whose other steps, cannot be built."""
        if self.dynamics.reads_input:
            message = "a unit changes the shape, and the equations read the input `u` at every step"
            help_ = "write the change before a `flow`"
            self.report.error("misplaced-unit", message, layer.span, help_)
            return
        reason = self._why_only_in_flow()
        if reason:
            message = f"{reason}, and the first step of a unit is not one of its flow"
            help_ = "write the change before a `flow`"
            self.report.error("misplaced-unit", message, layer.span, help_)
            return
        chosen = self.discretisation
        old = int(layer.shape_in.channels.constant) // self.dynamics.input_parts
        new = unit_channels(self.dynamics, layer.shape_out.channels)
        entries = chosen and entry_maps(self.dynamics, self.parameters, self.maps, chosen)
        problem = next(self._width_problems(new), "")
        for name, entry in (entries or {}).items():
            problem = problem or next(_entry_problems(name, entry, old, new), "")
            if layer.arguments["stride"] > 1 and not entry.can_stride:
                message = f"no layer of `{name}` can have the stride of this unit"
                help_ = "a convolution of odd size can"
                self.report.error("misplaced-unit", message, layer.span, help_)
        if problem:
            message = f"with {new} channels for each state, after {old}, {problem}"
            help_ = "change the channels of the unit"
            self.report.error("shape-mismatch", message, layer.span, help_)

    def _why_only_in_flow(self) -> str:
        """Why a step of the equations makes sense only inside a flow; else empty."""
        if any(isinstance(n, Time) for rate in self.dynamics.rates.values() for n in rate.walk()):
            return "`t` is the time from the beginning of a flow"
        for parameter in self.parameters.values():
            if parameter.knots:
                return f"`{parameter.name}` has knots between the beginning of a flow and its end"
        names = (name for name, definition in self.maps.items() if definition.is_given)
        return next((f"`{name}` is given from Python for steps of one shape" for name in names), "")

    def _width_problems(self, c: int) -> Iterator[str]:
        """Messages about parameters and maps that cannot be built for states of `c` channels."""
        for parameter in self.parameters.values():
            widths = (parameter.width_in, parameter.width_out)
            yield from _bad_counts(parameter.name, widths, parameter.groups, c)
        for name, definition in self.maps.items():
            for layer in definition.layers:
                widths = (layer.shape_in.channels, layer.shape_out.channels)
                yield from _bad_counts(name, widths, layer.groups, c)


def _entry_problems(name: str, entry: EntryMap, old: int, new: int) -> Iterator[str]:
    """Why a map cannot be built for the first step of a unit, as messages.

    `old` and `new` are the channels of each state before and after this step.
    """
    for layer in entry.layers:
        for width in (layer.shape_in.channels, layer.shape_out.channels):
            channels = new if width.has_new_c else old
            yield from _bad_counts(name, [width], layer.groups, channels)


def _bad_counts(name: str, widths: Sequence[Width | None], groups: int, c: int) -> Iterator[str]:
    """Messages about channel counts that are not positive integers or multiples of `groups`."""
    for width in widths:
        count = None if width is None else width.channels(c)
        if count is None:
            continue
        if count != int(count) or count < 1:
            yield f"`{name}` would have {count}"
        elif count % groups:
            yield f"the {count} channels of `{name}` do not fall into {groups} groups"
