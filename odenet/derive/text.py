"""The notation of a scheme's author, and numbers that sympy computed in it."""

from dataclasses import dataclass, replace

import sympy

from odenet.derive import to_expr
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node
from odenet.model.typed.dialects import Latex, OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.scheme import Scheme

_OF_SCHEMES = (
    expr.Number, expr.Constant, expr.Stage, expr.Zero, expr.Slot, expr.Rate, expr.Sum,
    expr.Product, expr.Quotient, expr.Power, expr.Exp, expr.Hadamard, expr.ElementwiseExp,
    expr.MapCall, expr.Map,
)  # fmt: skip


@dataclass(frozen=True)
class SchemeNotation(Notation):
    """Prints pieces of a scheme and what was computed about it."""

    def number(self, value: sympy.Expr) -> str:
        """A number that sympy computed."""
        if isinstance(value, sympy.Abs):
            return f"|{self.number(value.args[0])}|"
        if value.has(sympy.Abs):  # one factor by itself, as in 2 |h|
            rest, absolute = value.as_independent(sympy.Abs)
            inside = [_inside(part) for part in sympy.Mul.make_args(absolute)]
            return f"|{self.number(sympy.Mul(rest, *inside))}|"
        return replace(self, roots=True).show(to_expr.scalar(value))

    def quote(self, node: Node) -> str:
        """An expression of the scheme, or what else is in the author's text."""
        if all(isinstance(inner, _OF_SCHEMES) for inner in node.walk()):
            return self.show(node)
        return node.span.text if node.span else "…"


def _inside(absolute: sympy.Expr) -> sympy.Expr:
    """What an absolute value, or a power of one, is made of."""
    if isinstance(absolute, sympy.Pow):
        return _inside(absolute.args[0]) ** absolute.args[1]
    return absolute.args[0]


def notation(scheme: Scheme, latex: bool = False) -> SchemeNotation:
    """The notation of a scheme's author."""
    return SchemeNotation(Latex() if latex else OdeDialect(scheme.spellings))
