"""The first step of a unit, which enters with other channels and another size.

A rate whose maps can change the shape does so itself: the first layer of a map that counts
channels gives as many as the unit has, and its first convolution of more than one point (else its
first) has the stride. That is the first block of a stage of He et al. 2016, and for two states of
Gomez et al. 2017. A rate with operators cannot, since an operator and its transpose have to fit
each other: the step is taken at the old shape, and all values are brought to the new one after it
(Chang et al. 2018, AAAI, section 4: pooling, and zero channels).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node
from odenet.model.expressions.numbers import Width
from odenet.model.tables.arguments import ChannelCount
from odenet.model.tables.declared import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer, LayerError, Shape
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.program import Dynamics, MapDefinition, Model


@dataclass(frozen=True)
class EntryMap:
    """A map in the first step of a unit.

    Args:
        layers: with the widths of the new shape marked as such.
        strided: the place of the layer that has the stride; None where no layer can have one.
    """

    layers: tuple[Layer, ...]
    strided: int | None

    @property
    def can_stride(self) -> bool:
        """Whether there is such a layer, and its kernel has a middle."""
        return self.strided is not None and self.layers[self.strided].arguments["k"] % 2 == 1


def entry_maps(
    dynamics: Dynamics,
    parameters: Mapping[str, DeclaredParameter],
    maps: Mapping[str, MapDefinition],
    chosen: Discretisation,
) -> Mapping[str, EntryMap] | None:
    """The maps of the first step of a unit; None where that step keeps the shape.

    Args:
        dynamics: the equations.
        parameters: what they learn, apart from maps.
        maps: by canonical name.
        chosen: the discretisation.
    """
    starts = [*dynamics.initial.values(), *(value for _, value in chosen.starts)]
    lines = [update.value for update in chosen.scheme.updates]  # some read maps by themselves
    fixed = (
        chosen.tolerance is not None
        or any(learned.kind.width != "none" for learned in parameters.values())
        or any(isinstance(n, expr.MapCall | expr.Rate) for v in starts for n in v.walk())
        or any(isinstance(n, expr.MapCall) for line in lines for n in line.walk())
        or not all(_through_maps(rate) for rate in dynamics.rates.values())
    )
    found = {name: _entering(definition.layers) for name, definition in maps.items()}
    entering = {name: entry for name, entry in found.items() if entry is not None}
    return None if fixed or len(entering) < len(found) or not found else entering


def unit_channels(dynamics: Dynamics, given: Width) -> int:
    """The channels of each state in a unit whose output has `given` channels.

    Raises:
        LayerError: if no count of them does.
    """
    width = dynamics.width_out
    count = (given.constant - width.constant) / (width.multiple or 1)
    if not width.multiple or count != int(count) or count <= 0:
        raise LayerError(
            f"{given} channels cannot come out of a unit that gives {width}, where `c` counts "
            "those of a state"
        )
    return int(count)


def needs_shortcut(layer: Layer) -> bool:
    """Whether a residual layer changes the shape, so that its input cannot be added as it is."""
    return layer.before != layer.after


def is_new(formula: Node, new: Collection[Node]) -> bool:
    """Whether a formula of a first step has the new shape: a right-hand side, or a value with it.

    Args:
        formula: of a scheme.
        new: the slots and stages that have the new shape.
    """
    if isinstance(formula, expr.Rate) or formula in new:
        return True
    return any(is_new(child, new) for child in formula.children())


def maps_used(model: Model) -> list[tuple[str, bool]]:
    """The maps that a first step uses, and whether they change the shape there.

    A scheme with several evaluations may use a map both ways, with weights for each.
    """
    pattern = {p.function: p for p in model.scheme.patterns}
    new: set[Node] = set()
    found: dict[tuple[str, bool], None] = {}
    for update in model.scheme.updates:
        for rate in (node for node in update.value.walk() if isinstance(node, expr.Rate)):
            enters = not any(is_new(argument, new) for argument in rate.arguments)
            for state in model.discretisation.groups[pattern[rate.function].variable]:
                for node in model.rates[state, rate.function].walk():
                    if isinstance(node, expr.MapCall):
                        found[node.function.name, enters] = None
        if is_new(update.value, new):
            new.add(update.target)
    return list(found)


def _through_maps(rate: Node) -> bool:
    """Whether a rate reads states through one map each, and through nothing else."""
    if isinstance(rate, expr.State):
        return False
    if isinstance(rate, expr.MapCall):
        return not any(isinstance(node, expr.MapCall) for node in rate.operand.walk())
    return all(_through_maps(child) for child in rate.children())


def _entering(layers: Iterable[Layer]) -> EntryMap | None:
    """A map that changes the width where it first can."""
    found: list[Layer] = []
    changed = False
    for layer in layers:
        entering = not changed and _counts_channels(layer)
        changed = changed or entering
        new = renewed(layer) if changed else layer
        found.append(replace(new, before=layer.before) if entering else new)
    strides = [i for i, layer in enumerate(found) if "stride" in layer.arguments]
    wide = [i for i in strides if found[i].arguments["k"] > 1]
    return EntryMap(tuple(found), next(iter([*wide, *strides]), None)) if changed else None


def _counts_channels(layer: Layer) -> bool:
    return any(isinstance(p.kind, ChannelCount) for p in LAYERS[layer.name].arguments.values())


def renewed(layer: Layer) -> Layer:
    """A layer between maps that have the new shape."""
    return replace(layer, before=_new(layer.before), after=_new(layer.after))


def _new(shape: Shape) -> Shape:
    width: Width = shape.channels
    return replace(shape, channels=replace(width, new=bool(width.multiple)))
