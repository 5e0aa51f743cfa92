"""Adjoints of the algebra of operators."""

from collections.abc import Callable

from odenet.model import expr


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
        case expr.Product():
            right = adjoint(operator.right, symmetric)
            return expr.Product(operator.left, right, span=operator.span)
        case expr.Quotient():
            above = adjoint(operator.numerator, symmetric)
            return expr.Quotient(above, operator.denominator, span=operator.span)
        case expr.Sum():
            terms = tuple((sign, adjoint(term, symmetric)) for sign, term in operator.terms)
            return expr.Sum(terms, span=operator.span)
    return expr.Adjoint(operator, span=operator.span)
