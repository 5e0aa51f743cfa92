"""Adjoints of the algebra of operators."""

from collections.abc import Callable

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind
from odenet.model.expressions.fold import rebuilt


def adjoint(operator: expr.Node, symmetric: Callable[[str], bool]) -> expr.Node:
    """The adjoint of an operator, moved inwards to the parameters.

    Args:
        operator: an operator.
        symmetric: whether a parameter is its own adjoint.
    """
    match operator:
        case expr.Identity():
            return operator
        case expr.Param() if symmetric(operator.name):
            return operator
        case expr.Adjoint():
            return operator.of
        case expr.Compose():
            left, right = adjoint(operator.right, symmetric), adjoint(operator.left, symmetric)
            return expr.Compose(left, right, span=operator.span)
        case expr.Sum() | expr.Product() | expr.Quotient():
            return rebuilt(operator, lambda part: part if part.kind is Kind.SCALAR
                           else adjoint(part, symmetric))  # fmt: skip
        case _:
            return expr.Adjoint(operator, span=operator.span)
