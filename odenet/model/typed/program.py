"""The typed program: what a file says, with names resolved and everything checked."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from odenet.diagnostics import Diagnostic, Source, Span, SpecError
from odenet.language import tree
from odenet.model.expressions.expr import Activation, Node, State, Time
from odenet.model.expressions.numbers import Width
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.layers import LAYERS, Layer, Shape
from odenet.model.tables.recipe import Recipe
from odenet.model.typed.discretisation import Discretisation
from odenet.model.typed.right_hand_sides import right_hand_sides, without_decay
from odenet.model.typed.scheme import Scheme
from odenet.model.typed.step_constants import Number


@dataclass(frozen=True)
class MapDefinition:
    """A `map` of a file.

    Args:
        shared: whether all steps use the same weights, not each its own.
        layers: the layers in order; empty if `is_given`.
        is_given: whether it is `map f = given`, and its torch modules are registered in Python.
    """

    name: str
    shared: bool
    layers: tuple[Layer, ...]
    span: Span = field(compare=False, repr=False)
    is_given: bool = False


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """The differential equations.

    Args:
        states: the states, each with the order of its equation.
        rates: the right-hand side of each, as written.
        initial: value at time 0 of each state and, for second-order ones, of its derivative.
        output: the formula for the output of the flow.
        input_parts: the number of equal parts that the channels of the input are split into; a
            state has the channels of one part.
        width_out: the channels of the output.
        reads_input: whether a right-hand side reads the input `u`.
    """

    states: Mapping[str, int]
    rates: Mapping[str, Node]
    initial: Mapping[State, Node]
    output: Node
    input_parts: int
    width_out: Width
    reads_input: bool

    def system(self, order: int) -> dict[State, Node]:
        """The equations as a system of this order: state -> right-hand side.

        As a system of first order, `Y'' = f` has the two states Y and Y'.
        """
        system: dict[State, Node] = {}
        for name, own_order in self.states.items():
            if own_order == 2 and order == 1:
                system[State(name)] = State(name, 1)
                system[State(name, 1)] = self.rates[name]
            else:
                system[State(name)] = self.rates[name]
        return system


@dataclass(frozen=True)
class Claim:
    """`require NAME` or `require NAME(number)`."""

    name: str
    number: int | None
    span: Span = field(compare=False, repr=False)


def missing_discretisation(model: "Model") -> Diagnostic:
    """The error where a scheme is needed and the file has no `discretise` line."""
    help_ = "add a line such as `discretise verlet(h = 0.1)`: `odenet compile` lists those that fit"
    return Diagnostic("missing-scheme", "this file has no discretisation", model.end_span, help_)


def flow_axes(net: Iterable[Layer], input_shape: Shape | None) -> int | None:
    """The number of spatial axes of the flows of a net; None without a net."""
    shape = next((layer.shape_in for layer in flows_of(net)), input_shape)
    return None if shape is None else len(shape.space)


def flows_of(layers: Iterable[Layer]) -> Iterator[Layer]:
    """The flows and units of a pipeline, including those inside residual layers."""
    return (layer for layer in walk_layers(layers) if layer.name in ("flow", "unit"))


def row_imports(model: "Model") -> tuple[str, ...]:
    """The import lines that the torch code of its activations, layers and parameters needs.

    They are in the rows of the tables of odenet/model/tables.
    """
    dynamics = model.dynamics
    formulas = (*dynamics.rates.values(), *dynamics.initial.values(), dynamics.output)
    activations = {n.name for f in formulas for n in f.walk() if isinstance(n, Activation)}
    layers = [*model.net, *(layer for m in model.maps.values() for layer in m.layers)]
    rows = [
        *(ACTIVATIONS[name] for name in activations),
        *(parameter.kind for parameter in model.parameters.values()),
        *(LAYERS[layer.name] for layer in walk_layers(layers) if layer.name in LAYERS),
        *(
            LAYERS[layer.arguments["after"].name]
            for layer in walk_layers(layers)
            if layer.name == "residual"
        ),
    ]
    return tuple(sorted({line for row in rows for line in row.imports}))


def walk_layers(layers: Iterable[Layer]) -> Iterator[Layer]:
    """The layers of a pipeline, including those inside residual layers."""
    for layer in layers:
        yield layer
        yield from walk_layers(layer.inner)


def ends_in_classes(model: "Model") -> bool:
    """Whether the width of the last layer of the net is the number of classes."""
    last = model.net[-1].name if model.net else ""
    return last in LAYERS and LAYERS[last].gives_classes


def scores_tokens(model: "Model") -> bool:
    """Whether the net is a language model: tokens as input, scores of all tokens as output."""
    last = model.net[-1].name if model.net else ""
    reads = model.input_shape is not None and model.input_shape.token_ids
    return reads and last in LAYERS and LAYERS[last].gives_token_scores


@dataclass(frozen=True, kw_only=True)
class Model:
    """A whole file, typed.

    Args:
        name: the file's name without its ending.
        constants: the values of the `let` numbers, by canonical name.
        discretisation_or_none: what `discretise` says, None in a file without that line.
        spellings: canonical name -> how the author first wrote it.
        net: the layers after `input`, empty when the file has no `net`.
        input_shape: what `input` says, None without `net`.
        lets: the `let` lines whose names formulas use, as written.
        warnings: what may not be what the author means, though it compiles.
    """

    source: Source = field(repr=False)
    name: str
    description: str
    constants: Mapping[str, Number]
    parameters: Mapping[str, DeclaredParameter]
    maps: Mapping[str, MapDefinition]
    dynamics: Dynamics
    discretisation_or_none: Discretisation | None
    claims: tuple[Claim, ...]
    net: tuple[Layer, ...]
    input_shape: Shape | None
    recipe: Recipe
    spellings: Mapping[str, str]
    lets: tuple[tree.Let, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        return f"<model {self.name}: {', '.join(self.dynamics.states)}>"

    def __str__(self) -> str:
        from odenet.model.typed.overview import overview

        return overview(self)

    @property
    def discretisation(self) -> Discretisation:
        """What `discretise` says; raises SpecError in a file without that line."""
        if self.discretisation_or_none is None:
            raise SpecError([missing_discretisation(self)])
        return self.discretisation_or_none

    @property
    def depths(self) -> tuple[int, ...]:
        """The distinct step counts of its flows; without flows the length of a listed constant."""
        flows = tuple(dict.fromkeys(int(flow.arguments["N"]) for flow in flows_of(self.net)))
        lengths = [c.length for c in self.discretisation.varying.values() if c.length]
        return flows or tuple(lengths[:1])

    @property
    def end_span(self) -> Span:
        """The span of the last equation: errors about missing lines point there."""
        spans = [rate.span for rate in self.dynamics.rates.values() if rate.span]
        return max(spans, key=lambda span: span.start, default=Span(self.source, 0, 1))

    @property
    def scheme(self) -> Scheme:
        """The scheme of the `discretise` line; raises SpecError in a file without that line."""
        return self.discretisation.scheme

    @property
    def axes(self) -> int | None:
        """The number of spatial axes of the fields that the flows work on; None without a net."""
        return flow_axes(self.net, self.input_shape)

    @property
    def given_maps(self) -> tuple[MapDefinition, ...]:
        """The maps whose modules are registered from Python."""
        return tuple(definition for definition in self.maps.values() if definition.is_given)

    @cached_property
    def first_time_node(self) -> Time | None:
        """The first `t` in a right-hand side; None if the equations are autonomous."""
        nodes = (node for rate in self.dynamics.rates.values() for node in rate.walk())
        return next((node for node in nodes if isinstance(node, Time)), None)

    @cached_property
    def system(self) -> Mapping[State, Node]:
        """State -> right-hand side, without decay terms that the scheme treats separately."""
        return without_decay(self._undivided_system, self.scheme, self.discretisation.groups)

    @cached_property
    def rates(self) -> Mapping[tuple[State, str], Node]:
        """The formula for each right-hand side of the scheme: (state, function) -> formula."""
        return right_hand_sides(self._undivided_system, self.scheme, self.discretisation.groups)

    @property
    def _undivided_system(self) -> Mapping[State, Node]:
        return self.dynamics.system(self.scheme.patterns[0].order)
