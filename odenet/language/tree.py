"""The nodes of the syntax tree for statements; those for formulas are in formulas.py."""

from dataclasses import dataclass
from typing import TypeVar

from odenet.language.formulas import (
    Argument,
    Derivative,
    Expr,
    Group,
    Indexed,
    ListValue,
    Name,
    Node,
    Number,
    Pipeline,
    Power,
    Sum,
    Term,
    Text,
    Value,
)
from odenet.language.outline import outline

__all__ = [
    "Argument", "Aux", "Derivative", "Description", "Discretise", "Equation", "Expr", "File",
    "For", "Group", "Indexed", "Initial", "Let", "ListValue", "Map", "Name", "Net", "Node",
    "Number", "Output", "Param", "Pattern", "Pipeline", "Power", "Require", "Scheme", "Setting",
    "Start", "State", "Statement", "Sum", "Term", "Text", "Train", "Unparsed", "Update", "Use",
    "Value", "Version",
]  # fmt: skip


StatementType = TypeVar("StatementType", bound=Node)


@dataclass(frozen=True)
class Version(Node):
    """`odenet 1`."""

    number: Number


@dataclass(frozen=True)
class Description(Node):
    """A quoted string on a line of its own: the model in a sentence."""

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
    """`key = value` in `train { … }`, or as `--set` gives it."""

    key: Name
    value: Value


@dataclass(frozen=True)
class Train(Node):
    """`train { … }`."""

    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class RightHandSide(Node):
    """`F(Z)` in a scheme's `for` line."""

    function: Name
    arguments: Group


@dataclass(frozen=True)
class Pattern(Node):
    """`Y' = F(Z)` in a scheme's `for` line; also `Y' = F(Y) + G(Y)`, and `Y' = F(Z) - γ Y`.

    Args:
        name: the unknown, `Y`.
        order: 1 for `Y'`, 2 for `Y''`.
        summands: the right-hand sides that are added, `F(Y)` and `G(Y)`; of most patterns one.
        decay: the factor γ of a term that damps.
        damped: the unknown in that term, `Y` or `Y'`.
    """

    name: Name
    order: int
    summands: tuple[RightHandSide, ...]
    decay: Name | None = None
    damped: Name | Derivative | None = None


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
class MadeScheme(Node):
    """`scheme NAME(constants) = compose(…)`, a scheme that is made of others."""

    name: Name
    constants: Group | None
    value: Expr

    @property
    def without_rules(self) -> Scheme:
        """A `Scheme` of this name and these constants, without rules."""
        return Scheme(self.name, self.constants, (), span=self.span)


@dataclass(frozen=True)
class Unparsed(Node):
    """A statement that could not be parsed, with what is still known about it.

    Args:
        kind: the type of its first token in lower case, such as "state"; "name" for an equation,
            "bad" where it begins with text that is not a token.
        declares: the names it would have declared.
        mentions: all names that occur in it.
    """

    kind: str
    declares: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()


Statement = (
    Version | Description | Use | State | Aux | Param | Map | Let | Equation | Initial
    | Output | Discretise | Require | Net | Train | Scheme | MadeScheme | Unparsed
)  # fmt: skip


@dataclass(frozen=True)
class File(Node):
    """A whole file."""

    statements: tuple[Statement, ...]

    def statements_of(self, kind: type[StatementType]) -> tuple[StatementType, ...]:
        """The statements of one kind, in order."""
        return tuple(s for s in self.statements if isinstance(s, kind))

    def __str__(self) -> str:
        return "\n".join(map(outline, self.statements))
