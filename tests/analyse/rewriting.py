"""Rewrites formulas at random into equal ones: distributivity, double signs, order of terms."""

from dataclasses import fields, replace
from random import Random

from odenet.model.expressions import expr
from odenet.model.typed.program import Model

ODD_ACTIVATIONS = ("tanh", "hardtanh", "shrink", "sin", "identity")


def rewrite_model(model: Model, rnd: Random, times: int = 3) -> Model:
    """The same dynamics, with each right-hand side rewritten `times` times."""
    rates = dict(model.dynamics.rates)
    for _ in range(times):
        rates = {state: _rewrite(rate, rnd) for state, rate in rates.items()}
    return replace(model, dynamics=replace(model.dynamics, rates=rates))


def _rewrite(node: expr.Node, rnd: Random) -> expr.Node:
    """A formula whose operands are rewritten first, and then its root."""
    operands = {
        f.name: _rewrite_value(getattr(node, f.name), rnd) for f in fields(node) if f.name != "span"
    }
    return _rewrite_node(replace(node, **operands), rnd)


def _rewrite_value(value, rnd: Random):
    if isinstance(value, expr.Node):
        return _rewrite(value, rnd)
    if isinstance(value, tuple):
        return tuple(_rewrite_value(item, rnd) for item in value)
    return value


def _rewrite_node(node: expr.Node, rnd: Random) -> expr.Node:
    """An equal formula by one rule that fits the root, or the formula itself, at random."""
    if rnd.random() < 0.5:
        return node
    match node:
        case expr.Sum(terms) if len(terms) > 1:
            return expr.Sum(tuple(rnd.sample(terms, len(terms))), span=node.span)
        case expr.Apply(operator, expr.Sum(terms)):
            return _sum((sign, expr.Apply(operator, term)) for sign, term in terms)
        case expr.Apply(expr.Sum(terms), operand):
            return _sum((sign, expr.Apply(term, operand)) for sign, term in terms)
        case expr.Apply(expr.Compose(left, right), operand):
            return expr.Apply(left, expr.Apply(right, operand))
        case expr.Compose(expr.Sum(terms), right):
            return _sum((sign, expr.Compose(term, right)) for sign, term in terms)
        case expr.Compose(left, expr.Sum(terms)):
            return _sum((sign, expr.Compose(left, term)) for sign, term in terms)
        case expr.Adjoint(expr.Sum(terms)):
            return _sum((sign, expr.Adjoint(term)) for sign, term in terms)
        case expr.Product(left, expr.Sum(terms)):
            return _sum((sign, expr.Product(left, term)) for sign, term in terms)
        case expr.Product(expr.Sum(terms), right):
            return _sum((sign, expr.Product(term, right)) for sign, term in terms)
        case expr.Hadamard(left, right):
            return expr.Hadamard(right, left, span=node.span)
        case expr.Activate(activation, operand) if activation.name in ODD_ACTIVATIONS:
            return _sum([(-1, expr.Activate(activation, _sum([(-1, operand)]), span=node.span))])
        case expr.Apply() | expr.State() | expr.Activate():
            return _sum([(-1, _sum([(-1, node)]))])
    return node


def _sum(terms) -> expr.Node:
    return expr.Sum(tuple(terms))
