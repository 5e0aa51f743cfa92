"""Nodes of typed formulas. Every node knows its kind, and keeps the author's order of operations.

The equations of a file and the lines of a scheme share these nodes. Schemes add `Slot`, `Stage`,
`Rate`, `Exp` and `ElementwiseExp`; equations add states, parameters and operators.
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
    OPERATOR = "operator"  # linear, from fields to fields
    FIELD = "field"  # a function on a grid with some channels, which torch calls a feature map
    ACTIVATION = "activation"  # a scalar function, applied to each element of a field
    MAP = "map"  # any other function from fields to fields: layers, or a norm


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
        """This expression and all inside it, in depth-first order, a node before its children."""
        yield self
        for child in self.children():
            yield from child.walk()


# What an attribute of a node holds.
Attribute: TypeAlias = "Node | tuple[Attribute, ...] | Fraction | Span | str | int | None"


def _nodes(attribute: Attribute) -> Iterator[Node]:
    """The nodes in an attribute, also those in nested tuples."""
    if isinstance(attribute, Node):
        yield attribute
    elif isinstance(attribute, tuple):
        for item in attribute:
            yield from _nodes(item)


class Scalar(Node):
    """Base class of expressions that are always numbers."""

    _kind = Kind.SCALAR


class Operator(Node):
    """Base class of expressions that are always linear operators from fields to fields."""

    _kind = Kind.OPERATOR


class Field(Node):
    """Base class of expressions that are always fields; torch calls a field a feature map."""

    _kind = Kind.FIELD


# --- scalars -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number(Scalar):
    """An exact number, with the text it was written as."""

    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True)
class Constant(Scalar):
    """A named number: a `let`, a constant of a scheme, or the step size `h`."""

    name: str


@dataclass(frozen=True)
class LearnedScalar(Scalar):
    """A learned number, declared by `param … : scalar`."""

    name: str


@dataclass(frozen=True)
class Time(Scalar):
    """`t`: the time, 0 before the first step."""


# Scalars without a fixed value: a formula that contains one has no value at compile time.
NON_CONSTANT = (LearnedScalar, Time)


@dataclass(frozen=True)
class Power(Scalar):
    """A scalar raised to a scalar."""

    base: Node
    exponent: Node


@dataclass(frozen=True)
class Exp(Scalar):
    """`exp(-γ h)`: the exponential of a number, in a scheme."""

    exponent: Node


# --- arithmetic of any kind ---------------------------------------------------------------------


@dataclass(frozen=True)
class Sum(Node):
    """A sum of terms of one kind, each with its sign +1 or -1.

    A single term with sign -1 is a negation.
    """

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
    """`I`, the identity operator."""


@dataclass(frozen=True)
class LearnedOperator(Operator):
    """A learned linear operator, declared by `param … : conv(3)`, dense, depthwise, diag, ….

    Learned numbers are `LearnedScalar`, biases `Bias`, norms `Map`.
    """

    name: str


@dataclass(frozen=True)
class Adjoint(Operator):
    """`A^T`, the adjoint of an operator."""

    operand: Node


@dataclass(frozen=True)
class Compose(Operator):
    """`A B`, the composition of two operators: first B is applied, then A."""

    left: Node
    right: Node


# --- fields ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State(Field):
    """A state (order 0) or its first time derivative (order 1)."""

    name: str
    order: int = 0

    @property
    def text(self) -> str:
        """The state as the language writes it: `Y`, or `Y'`."""
        return with_primes(self.name, self.order)


def with_primes(name: str, order: int) -> str:
    """A name with one prime for each time derivative: `Y`, `Y'`, `Y''`."""
    return name + "'" * order


@dataclass(frozen=True)
class Input(Field):
    """`u`, the input of the flow (the layer of a network that integrates the equations)."""


@dataclass(frozen=True)
class Zero(Field):
    """The zero field, written `0`."""


@dataclass(frozen=True)
class Bias(Field):
    """A learned bias, declared by `param … : bias`: one number per channel."""

    name: str


@dataclass(frozen=True)
class Apply(Field):
    """`K Y`: an operator applied to a field."""

    operator: Node
    operand: Node


@dataclass(frozen=True)
class Activation(Node):
    """An activation function with its constants, such as `leaky_relu(0.1)`."""

    name: str
    constants: tuple[Node, ...] = ()
    _kind = Kind.ACTIVATION


@dataclass(frozen=True)
class Activate(Field):
    """`σ(K Y)`: an activation function applied to a field."""

    activation: Activation
    operand: Node


@dataclass(frozen=True)
class Map(Node):
    """A function made of layers (`map f = …`) or a learned norm (`param N : norm(…)`), by name."""

    name: str
    _kind = Kind.MAP


@dataclass(frozen=True)
class MapCall(Field):
    """`f(Y)`: a map or a norm applied to a field."""

    function: Map
    operand: Node


@dataclass(frozen=True)
class Hadamard(Field):
    """`Y * Z`: the element-wise product of two fields."""

    left: Node
    right: Node


@dataclass(frozen=True)
class Split(Field):
    """`split(u)`: the channels of the input that belong to the state that it initialises."""

    operand: Node


@dataclass(frozen=True)
class Concat(Field):
    """`concat(Y, Z)`: fields stacked along the channels."""

    parts: tuple[Node, ...]


# --- schemes only --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot(Field):
    """`Y[n+k]`: the value of an unknown of a scheme at step n + k.

    Args:
        name: the name of the unknown.
        offset: k. In a `start` line, which has n = 0, the value is written `Y[k]`.
    """

    name: str
    offset: int


@dataclass(frozen=True)
class ElementwiseExp(Field):
    """`exp(s(Z[n]))`: the element-wise exponential of a field, a factor in an affine coupling."""

    operand: Node


@dataclass(frozen=True)
class Stage(Field):
    """An intermediate value of one step, like the stages of a Runge-Kutta method."""

    name: str


@dataclass(frozen=True)
class Rate(Field):
    """`F(Z[n])`: a right-hand side of the equations, evaluated at given values.

    Args:
        function: the name of the right-hand side in the scheme.
        arguments: the values, in the order of the scheme's `for` line.
        time: the time at which it is evaluated, set by odenet/derive/times.py where the equations
            read `t`. It follows from the arguments, so it does not count in comparisons.
    """

    function: str
    arguments: tuple[Node, ...]
    time: Node | None = field(default=None, compare=False)
