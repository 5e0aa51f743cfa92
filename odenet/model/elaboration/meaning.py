"""What a name can mean in a formula."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol

from odenet.diagnostics import Span
from odenet.language import tree
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind


@dataclass(frozen=True)
class Function:
    """A name that only means something with arguments: `split`, `F` of a scheme, `leaky_relu`.

    Args:
        name: as the author wrote it.
        takes: how to write it, for messages.
        call: the value for elaborated arguments, or None if they do not fit.
    """

    name: str
    takes: str
    call: Callable[[tuple[expr.Node, ...], Span], expr.Node | None]


class Scope(Protocol):
    """What the names of a formula mean."""

    def name(self, node: tree.Name) -> expr.Node | Function | None:
        """The meaning of a name, None if it has none."""
        ...

    def derivative(self, node: tree.Derivative) -> expr.Node:
        """The meaning of `Y'`; raises Rejected."""
        ...

    def indexed(self, node: tree.Indexed) -> expr.Node:
        """The meaning of `Y[n+1]`; raises Rejected."""
        ...

    def unknown(self, node: tree.Name) -> NoReturn:
        """Report a name without a meaning."""
        ...

    def adjoint(self, operator: expr.Node) -> expr.Node:
        """The adjoint of an operator; where there are none, as it is."""
        return operator


def a(kind: Kind) -> str:
    """A kind with its article; a scalar is a number to the reader."""
    words = {
        Kind.SCALAR: "a number",
        Kind.OPERATOR: "an operator",
        Kind.ACTIVATION: "an activation",
    }
    return words.get(kind, f"a {kind}")
