"""Whether the flow fits where the net puts it: the channels that reach it, and its step size."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from odenet.diagnostics import Report
from odenet.model.expressions.numbers import Width, fixed
from odenet.model.tables.layers import Layer, LayerError
from odenet.model.tables.parameters import DeclaredParameter
from odenet.model.typed.program import Dynamics, MapDefinition, flows_of
from odenet.model.typed.scheme import Scheme

FlowShape = Callable[[Width], Width | LayerError]


def flow_shape(dynamics: Dynamics) -> FlowShape:
    """The channels after a flow, from those before it."""

    def after(channels: Width) -> Width | LayerError:
        parts = dynamics.parts
        if channels.constant % parts:
            return LayerError(
                f"{channels} channels do not fall into {parts} equal parts, one for each state",
                f"make the channel count a multiple of {parts}",
            )
        return fixed(dynamics.width_out.at(int(channels.constant) // parts))

    return after


class Flows:
    """Checks the flows of a net.

    Args:
        dynamics: the equations.
        parameters: what they learn.
        maps: the maps they use.
        scheme: their discretisation, None when it has an error.
        report: takes what is wrong.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        parameters: Mapping[str, DeclaredParameter],
        maps: Mapping[str, MapDefinition],
        scheme: Scheme | None,
        report: Report,
    ):
        self.dynamics = dynamics
        self.parameters = parameters
        self.maps = maps
        self.scheme = scheme
        self.report = report

    def check(self, layers: Sequence[Layer]) -> None:
        """Report the flows that cannot be built where they are."""
        first = None
        for layer in flows_of(layers):
            first = first or layer
            self._place(layer, first)
            self._flow(layer)

    def _place(self, layer: Layer, first: Layer) -> None:
        """Report a flow whose values have another number of axes than its equations."""
        here, there = layer.before.space, first.before.space
        convolutions = [p for p in self.parameters.values() if p.kind.needs_image]
        if len(here) != len(there):
            message = f"this flow would work on {layer.before}, and the first on {first.before}"
            self.report.error(message, layer.span, help="flows have the same number of axes")
        elif convolutions and not here:
            name = convolutions[0].name
            message = f"`{name}` needs an image, but the flow works on {layer.before}"
            self.report.error(message, layer.span, help=f"make `{name}` dense")

    def _flow(self, layer: Layer) -> None:
        c = int(layer.before.channels.constant) // self.dynamics.parts
        wrong = next(self._misfits(c), "")
        if wrong:
            message = f"with {c} channels for each state, {wrong}"
            self.report.error(message, layer.span, help="change the channels before the flow")
        if layer.arguments["h"] and self.scheme is not None and not self.scheme.uses_step_size:
            message = f"{self.scheme.name} has no step size"
            self.report.error(message, layer.span, help="leave out `h`")

    def _misfits(self, c: int) -> Iterator[str]:
        """Why something cannot be built for states of `c` channels."""
        for learned in self.parameters.values():
            widths = (learned.width_in, learned.width_out)
            yield from _misfit(learned.name, widths, learned.groups, c)
        for name, definition in self.maps.items():
            for layer in definition.layers:
                widths = (layer.before.channels, layer.after.channels)
                yield from _misfit(name, widths, layer.groups, c)


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
