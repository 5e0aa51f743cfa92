"""The first step of a unit, a flow whose first step changes the channels and the size.

Where the states are read through maps only, the maps change the shape: the first layer of a map
with a channel count gives the channels of the unit, and its first convolution with a kernel of
more than one point (else its first) has the stride. This is the first block of a stage in He et
al. 2016, and with two states in Gomez et al. 2017. Right-hand sides with operators cannot change
the shape, since an operator and its transpose have to fit each other: the step is taken with the
old shape, and all values are brought to the new one after it (Chang et al. 2018, AAAI, section 4:
pooling, and zero channels).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node
from odenet.model.expressions.numbers import Width
from odenet.model.tables.arguments import ChannelCount
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer, LayerError, Shape
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.program import Dynamics, MapDefinition, Model


@dataclass(frozen=True)
class EntryMap:
    """A map in the first step of a unit.

    Args:
        layers: its layers, in which widths of the new shape are marked.
        stride_index: the index of the layer that gets the stride; None if no layer can have one.
    """

    layers: tuple[Layer, ...]
    stride_index: int | None

    @property
    def can_stride(self) -> bool:
        """Whether there is such a layer, with a kernel of odd size."""
        i = self.stride_index
        return i is not None and self.layers[i].arguments["k"] % 2 == 1


def entry_maps(
    dynamics: Dynamics,
    parameters: Mapping[str, DeclaredParameter],
    maps: Mapping[str, MapDefinition],
    discretisation: Discretisation,
) -> Mapping[str, EntryMap] | None:
    """The maps of the first step of a unit, by name; None if that step keeps the shape.

    Args:
        dynamics: the equations.
        parameters: the `param`s of the file.
        maps: the maps of the file, by canonical name.
        discretisation: what the `discretise` line of the file says.
    """
    starts = [*dynamics.initial.values(), *(value for _, value in discretisation.starts)]
    updates = [update.value for update in discretisation.scheme.updates]  # may apply maps too
    keeps_shape = (
        discretisation.tolerance is not None
        or any(parameter.kind.width_source != "none" for parameter in parameters.values())
        or any(isinstance(n, expr.MapCall | expr.Rate) for v in starts for n in v.walk())
        or any(isinstance(n, expr.MapCall) for value in updates for n in value.walk())
        or not all(_uses_states_through_maps(rate) for rate in dynamics.rates.values())
    )
    entries = {name: _entry_map(definition.layers) for name, definition in maps.items()}
    changing = {name: entry for name, entry in entries.items() if entry is not None}
    return None if keeps_shape or len(changing) < len(entries) or not entries else changing


def unit_channels(dynamics: Dynamics, output_width: Width) -> int:
    """The channels of each state in a unit whose output has `output_width` channels.

    Raises:
        LayerError: no number of channels of a state gives this output.
    """
    width = dynamics.width_out
    count = (output_width.constant - width.constant) / (width.multiple or 1)
    if not width.multiple or count != int(count) or count <= 0:
        raise LayerError(
            f"{output_width} channels cannot come out of a unit that gives {width}, where `c` "
            "counts those of a state"
        )
    return int(count)


def needs_shortcut(layer: Layer) -> bool:
    """Whether a residual layer changes the shape, so that its input cannot be added as it is."""
    return layer.shape_in != layer.shape_out


def has_new_shape(formula: Node, new: Collection[Node]) -> bool:
    """Whether the value of a formula in a first step has the new shape: it contains one that does.

    Args:
        formula: a formula of the scheme.
        new: the slots and stages that have the new shape; all right-hand sides have it.
    """
    if isinstance(formula, expr.Rate) or formula in new:
        return True
    return any(has_new_shape(child, new) for child in formula.children())


def maps_in_first_step(model: Model) -> list[tuple[str, bool]]:
    """The maps that a first step applies, and whether they change the shape there.

    A scheme with several evaluations may apply a map in both ways, each with weights of its own.
    """
    pattern = {p.function: p for p in model.scheme.patterns}
    new: set[Node] = set()
    uses: dict[tuple[str, bool], None] = {}
    for update in model.scheme.updates:
        for rate in (node for node in update.value.walk() if isinstance(node, expr.Rate)):
            changes_shape = not any(has_new_shape(argument, new) for argument in rate.arguments)
            for state in model.discretisation.groups[pattern[rate.function].unknown]:
                for node in model.rates[state, rate.function].walk():
                    if isinstance(node, expr.MapCall):
                        uses[node.function.name, changes_shape] = None
        if has_new_shape(update.value, new):
            new.add(update.target)
    return list(uses)


def _uses_states_through_maps(rate: Node) -> bool:
    """Whether a right-hand side reads states only as the input of a map, not inside another map."""
    if isinstance(rate, expr.State):
        return False
    if isinstance(rate, expr.MapCall):
        return not any(isinstance(node, expr.MapCall) for node in rate.operand.walk())
    return all(_uses_states_through_maps(child) for child in rate.children())


def _entry_map(layers: Iterable[Layer]) -> EntryMap | None:
    """The map as it is in a first step; None if no layer has a channel count that could change.

    The first layer that has one changes the width, and those after it keep the new one.
    """
    new_layers: list[Layer] = []
    changed = False
    for layer in layers:
        changes_here = not changed and _has_channel_count(layer)
        changed = changed or changes_here
        new = with_new_width(layer) if changed else layer
        new_layers.append(replace(new, shape_in=layer.shape_in) if changes_here else new)
    convolutions = [i for i, layer in enumerate(new_layers) if "stride" in layer.arguments]
    larger = [i for i in convolutions if new_layers[i].arguments["k"] > 1]
    stride_index = next(iter([*larger, *convolutions]), None)
    return EntryMap(tuple(new_layers), stride_index) if changed else None


def _has_channel_count(layer: Layer) -> bool:
    return any(isinstance(p.kind, ChannelCount) for p in LAYERS[layer.name].arguments.values())


def with_new_width(layer: Layer) -> Layer:
    """The layer with input and output of the new width."""
    shape_in, shape_out = _with_new_width(layer.shape_in), _with_new_width(layer.shape_out)
    return replace(layer, shape_in=shape_in, shape_out=shape_out)


def _with_new_width(shape: Shape) -> Shape:
    width: Width = shape.channels
    return replace(shape, channels=replace(width, has_new_c=bool(width.multiple)))
