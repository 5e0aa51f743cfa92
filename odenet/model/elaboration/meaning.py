"""The interface of scopes, which give the names in a formula their meaning."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from odenet.diagnostics import Span
from odenet.language import tree
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind


@dataclass(frozen=True)
class Function:
    """The meaning of a name that needs arguments: `split`, `F` in a scheme, `leaky_relu`.

    Args:
        name: the name as the author wrote it.
        usage: how a call is written, for error messages.
        call: gives the expression of a call with these arguments; None if they do not fit.
    """

    name: str
    usage: str
    call: Callable[[tuple[expr.Node, ...], Span], expr.Node | None]


class Scope(Protocol):
    """Resolves the names in a formula."""

    def resolve_name(self, node: tree.Name) -> expr.Node | Function | None:
        """The meaning of a name; None if it has none."""
        ...

    def resolve_derivative(self, node: tree.Derivative) -> expr.Node:
        """The meaning of `Y'`; raises Rejected."""
        ...

    def resolve_indexed(self, node: tree.Indexed) -> expr.Node:
        """The meaning of `Y[n+1]`; raises Rejected."""
        ...

    def reject_unknown(self, node: tree.Name) -> NoReturn:
        """Report a name without a meaning; raises Rejected."""
        ...

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """The adjoint of an operator; by default itself, for scopes without operators."""
        return operator


def with_article(kind: Kind) -> str:
    """A kind with its article, for messages, which call a scalar a number."""
    phrases = {
        Kind.SCALAR: "a number",
        Kind.OPERATOR: "an operator",
        Kind.ACTIVATION: "an activation",
    }
    return phrases.get(kind, f"a {kind}")
