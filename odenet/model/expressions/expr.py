"""Typed expressions: every node knows its kind, and keeps the author's order of operations.

Scheme texts and dynamics share these nodes. A scheme adds `Slot`, `Stage` and `Rate`; dynamics add
states, parameters, maps and operators.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar, TypeAlias

from odenet.diagnostics import Span


class Kind(StrEnum):
    """What an expression denotes."""

    SCALAR = "scalar"
    OPERATOR = "operator"
    FIELD = "field"
    ACTIVATION = "activation"
    MAP = "map"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A typed expression."""

    span: Span | None = field(default=None, compare=False, repr=False)

    _kind: ClassVar[Kind]

    @property
    def kind(self) -> Kind:
        """What the expression denotes."""
        return self._kind

    def children(self) -> Iterator["Node"]:
        """The expressions directly inside this one, in the order of the text."""
        for f in fields(self):
            yield from _nodes(getattr(self, f.name))

    def walk(self) -> Iterator["Node"]:
        """This expression and all inside it."""
        yield self
        for child in self.children():
            yield from child.walk()


Part: TypeAlias = "Node | tuple[Part, ...] | Fraction | Span | str | int | None"  # of a node


def _nodes(part: Part) -> Iterator[Node]:
    if isinstance(part, Node):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from _nodes(item)


class Scalar(Node):
    """An expression for a number."""

    _kind = Kind.SCALAR


class Operator(Node):
    """An expression for a linear operator, field to field."""

    _kind = Kind.OPERATOR


class Field(Node):
    """An expression for a feature map."""

    _kind = Kind.FIELD


# --- scalars -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number(Scalar):
    """An exact number, with the text it was written as."""

    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True)
class Constant(Scalar):
    """A named number: a `let`, a scheme's constant, or the step size `h`."""

    name: str


@dataclass(frozen=True)
class LearnedScalar(Scalar):
    """A `param … : scalar`."""

    name: str


@dataclass(frozen=True)
class Time(Scalar):
    """`t`: the time, 0 before the first step."""


# Numbers without a value of their own: what a file computes with them has none either.
VARYING = (LearnedScalar, Time)


@dataclass(frozen=True)
class Power(Scalar):
    """A scalar raised to a scalar."""

    base: Node
    exponent: Node


@dataclass(frozen=True)
class Exp(Scalar):
    """The exponential of a number, in a scheme."""

    exponent: Node


# --- arithmetic of any kind ---------------------------------------------------------------------


@dataclass(frozen=True)
class Sum(Node):
    """Terms of one kind, each with its sign +1 or -1; one term with sign -1 is a negation."""

    terms: tuple[tuple[int, Node], ...]

    @property
    def kind(self) -> Kind:
        """The kind of its terms."""
        return self.terms[0][1].kind


@dataclass(frozen=True)
class Product(Node):
    """A product: scalar·scalar, scalar·operator or scalar·field (the scalar first)."""

    left: Node
    right: Node

    @property
    def kind(self) -> Kind:
        """The kind of the right factor."""
        return self.right.kind


@dataclass(frozen=True)
class Quotient(Node):
    """Anything divided by a scalar."""

    numerator: Node
    denominator: Node

    @property
    def kind(self) -> Kind:
        """The kind of the numerator."""
        return self.numerator.kind


# --- operators ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity(Operator):
    """`I`."""


@dataclass(frozen=True)
class Param(Operator):
    """A learned operator: conv, dense, depthwise, pointwise or diag."""

    name: str


@dataclass(frozen=True)
class Adjoint(Operator):
    """`A^T`."""

    of: Node


@dataclass(frozen=True)
class Compose(Operator):
    """`A B`: first B, then A."""

    left: Node
    right: Node


# --- fields ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State(Field):
    """A state (order 0) or its time derivative (order 1)."""

    name: str
    order: int = 0

    @property
    def written(self) -> str:
        """`Y`, `Y'`."""
        return derivative(self.name, self.order)


def derivative(name: str, order: int) -> str:
    """`Y`, `Y'`, `Y''`."""
    return name + "'" * order


@dataclass(frozen=True)
class Input(Field):
    """`u`, the flow's input."""


@dataclass(frozen=True)
class Zero(Field):
    """`0` where a field is wanted."""


@dataclass(frozen=True)
class Bias(Field):
    """A `param … : bias`: one value per channel of whatever it is added to."""

    name: str


@dataclass(frozen=True)
class Apply(Field):
    """An operator applied to a field."""

    operator: Node
    operand: Node


@dataclass(frozen=True)
class Activation(Node):
    """An activation with its constants, e.g. `leaky_relu(0.1)`."""

    name: str
    constants: tuple[Node, ...] = ()
    _kind = Kind.ACTIVATION


@dataclass(frozen=True)
class Activate(Field):
    """An activation of a field."""

    activation: Activation
    operand: Node


@dataclass(frozen=True)
class Map(Node):
    """A `map` or a `param … : norm(…)`, by name."""

    name: str
    _kind = Kind.MAP


@dataclass(frozen=True)
class MapCall(Field):
    """A map or a norm of a field."""

    function: Map
    operand: Node


@dataclass(frozen=True)
class Hadamard(Field):
    """The element-wise product of two fields."""

    left: Node
    right: Node


@dataclass(frozen=True)
class Split(Field):
    """`split(u)`: the part of the input that belongs to the state it initialises."""

    operand: Node


@dataclass(frozen=True)
class Concat(Field):
    """`concat(a, b)`: fields stacked along the channels."""

    parts: tuple[Node, ...]


# --- schemes only --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot(Field):
    """`Y[n+k]` in a scheme; in a `start` line `Y[k]`, with n = 0."""

    name: str
    offset: int


@dataclass(frozen=True)
class Stretch(Field):
    """`exp(s(Z[n]))`: what multiplies a value element by element, and is never zero."""

    operand: Node


@dataclass(frozen=True)
class Stage(Field):
    """A value inside one step."""

    name: str


@dataclass(frozen=True)
class Rate(Field):
    """A right-hand side at given values, `F(Z[n])`.

    Args:
        function: its name in the scheme.
        arguments: the values, in the order of the pattern.
        time: when it is evaluated, where the equations read `t` (odenet/derive/times.py). It
            follows from the arguments, and does not tell two right-hand sides apart.
    """

    function: str
    arguments: tuple[Node, ...]
    time: Node | None = field(default=None, compare=False)
