"""The adjoint of a linear operator that is written as a formula."""

from collections.abc import Callable

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind
from odenet.model.expressions.fold import map_children


def adjoint(operator: expr.Node, is_symmetric: Callable[[str], bool]) -> expr.Node:
    """The adjoint of an operator, with `^T` only on single parameters: `L^T K^T` for `(K L)^T`.

    Args:
        operator: a formula for an operator.
        is_symmetric: whether the parameter of a name is its own adjoint.
    """
    match operator:
        case expr.Identity():
            return operator
        case expr.LearnedOperator() if is_symmetric(operator.name):
            return operator
        case expr.Adjoint():
            return operator.operand
        case expr.Compose():
            left = adjoint(operator.right, is_symmetric)
            return expr.Compose(left, adjoint(operator.left, is_symmetric), span=operator.span)
        case expr.Sum() | expr.Product() | expr.Quotient():
            return map_children(operator, lambda operand: operand if operand.kind is Kind.SCALAR
                           else adjoint(operand, is_symmetric))  # fmt: skip
        case _:
            return expr.Adjoint(operator, span=operator.span)
