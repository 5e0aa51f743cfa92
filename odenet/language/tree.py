"""The syntax tree: what was written, nothing resolved.

Nodes are frozen and carry their span, which is left out of comparison, so that trees compare by
meaning. Names compare by their canonical form (odenet/language/names.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction

from odenet.diagnostics import Span


@dataclass(frozen=True, kw_only=True)
class Node:
    """Anything that stands somewhere in the text."""

    span: Span = field(compare=False, repr=False)

    def walk(self) -> Iterator["Node"]:
        """This node and all inside it."""
        yield self
        for f in fields(self):
            for child in _nodes(getattr(self, f.name)):
                yield from child.walk()


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)


# --- expressions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number(Node):
    """A number; `value` is exact, `text` is how it was written."""

    value: Fraction
    text: str = field(compare=False)


@dataclass(frozen=True)
class Name(Node):
    """A name; `id` is canonical ASCII, `spelling` is how it was written."""

    id: str
    spelling: str = field(compare=False)


@dataclass(frozen=True)
class Derivative(Node):
    """`Y'` (order 1) or `Y''` (order 2)."""

    name: Name
    order: int


@dataclass(frozen=True)
class Indexed(Node):
    """`Y[n+1]` (base `n`, offset 1) or `Y[-1]` (base None, offset -1)."""

    name: Name
    base: Name | None
    offset: int


@dataclass(frozen=True)
class Argument(Node):
    """One argument in brackets, with its name if it has one."""

    name: Name | None
    value: "Value"


@dataclass(frozen=True)
class Group(Node):
    """`( … )`: brackets in a formula, or the arguments of a call."""

    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Sum(Node):
    """Terms, each with its sign +1 or -1."""

    terms: tuple[tuple[int, "Expr"], ...]


@dataclass(frozen=True)
class Term(Node):
    """A chain of factors; the operator before each is "" (juxtaposition), "*" or "/"."""

    factors: tuple[tuple[str, "Expr"], ...]


@dataclass(frozen=True)
class Power(Node):
    """`base ^ exponent`; a transpose when the exponent is the name `T` and the base an operator."""

    base: "Expr"
    exponent: "Expr"


Expr = Number | Name | Derivative | Indexed | Group | Sum | Term | Power


@dataclass(frozen=True)
class Text(Node):
    """A quoted string."""

    value: str


@dataclass(frozen=True)
class ListValue(Node):
    """`[a, b]`."""

    items: tuple["Value", ...]


@dataclass(frozen=True)
class Pipeline(Node):
    """`a -> b -> c`, two layers or more."""

    layers: tuple[Expr, ...]


Value = Expr | Text | ListValue | Pipeline


# --- statements --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version(Node):
    """`odenet 1`."""

    number: Number


@dataclass(frozen=True)
class Description(Node):
    """The model in a sentence."""

    text: str


@dataclass(frozen=True)
class Use(Node):
    """`use "mine.ode"`."""

    path: str


@dataclass(frozen=True)
class State(Node):
    """`state Y, Z`."""

    names: tuple[Name, ...]


@dataclass(frozen=True)
class Aux(Node):
    """`aux v`, in a scheme."""

    names: tuple[Name, ...]


@dataclass(frozen=True)
class Param(Node):
    """`[shared] param K1, K2 : conv(3)`."""

    shared: bool
    names: tuple[Name, ...]
    type: Expr


@dataclass(frozen=True)
class Map(Node):
    """`[shared] map f = bn -> relu -> conv(3)`."""

    shared: bool
    name: Name
    layers: Pipeline


@dataclass(frozen=True)
class Let(Node):
    """`let a = …`."""

    name: Name
    value: Expr


@dataclass(frozen=True)
class Equation(Node):
    """`Y' = …` or `Y'' = …`."""

    name: Name
    order: int
    value: Expr


@dataclass(frozen=True)
class Initial(Node):
    """`Y(0) = …` (order 0) or `Y'(0) = …` (order 1)."""

    name: Name
    order: int
    time: Number
    value: Expr


@dataclass(frozen=True)
class Output(Node):
    """`output …`."""

    value: Expr


@dataclass(frozen=True)
class Start(Node):
    """`start Y[-1] = …`."""

    target: Indexed
    value: Expr


@dataclass(frozen=True)
class Discretise(Node):
    """`discretise SCHEME(…) [start …] [exact]`."""

    scheme: Expr
    starts: tuple[Start, ...]
    exact: bool


@dataclass(frozen=True)
class Require(Node):
    """`require CLAIM`."""

    claim: Expr


@dataclass(frozen=True)
class Net(Node):
    """`net = …`."""

    layers: Pipeline


@dataclass(frozen=True)
class Setting(Node):
    """`key = value` in `train { … }`."""

    key: Name
    value: Value


@dataclass(frozen=True)
class Train(Node):
    """`train { … }`."""

    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Pattern(Node):
    """`Y' = F(Z)` in a scheme's `for` line: the dynamics it takes."""

    name: Name
    order: int
    function: Name
    arguments: Group


@dataclass(frozen=True)
class For(Node):
    """`for Y' = F(Z), Z' = G(Y)`."""

    patterns: tuple[Pattern, ...]


@dataclass(frozen=True)
class Update(Node):
    """`Y[n+1] = …`, or `k = …` for a stage of the step."""

    target: Name | Indexed
    value: Expr


@dataclass(frozen=True)
class Scheme(Node):
    """`scheme NAME(constants) { rules }`."""

    name: Name
    constants: Group | None
    rules: tuple[For | Aux | Let | Start | Update, ...]


@dataclass(frozen=True)
class Lost(Node):
    """A statement that could not be parsed, with what is still known of it.

    Args:
        kind: the word it begins with; "name" for an equation or anything else with a name first.
        declares: the names it would have declared.
        mentions: all names that stand in it.
    """

    kind: str
    declares: tuple[str, ...]
    mentions: tuple[str, ...]


Statement = (
    Version | Description | Use | State | Aux | Param | Map | Let | Equation | Initial
    | Output | Discretise | Require | Net | Train | Scheme | Lost
)  # fmt: skip


@dataclass(frozen=True)
class File(Node):
    """A whole file."""

    statements: tuple[Statement, ...]

    def of(self, kind: type[Node]) -> tuple:
        """The statements of one kind, in order."""
        return tuple(s for s in self.statements if isinstance(s, kind))
