"""Prints expressions and computed numbers in the notation that a scheme's author uses."""

from dataclasses import dataclass, replace

import sympy

from odenet.derive import to_expr
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node
from odenet.model.typed.dialects import Latex, OdeDialect
from odenet.model.typed.notation import Notation
from odenet.model.typed.scheme import Scheme

_SCHEME_NODES = (
    expr.Number, expr.Constant, expr.Stage, expr.Zero, expr.Slot, expr.Rate, expr.Sum,
    expr.Product, expr.Quotient, expr.Power, expr.Exp, expr.Hadamard, expr.ElementwiseExp,
    expr.MapCall, expr.Map,
)  # fmt: skip


@dataclass(frozen=True)
class SchemeNotation(Notation):
    """Prints expressions of a scheme, and numbers that were computed for it."""

    def number(self, value: sympy.Expr) -> str:
        """A sympy number or expression in constants, as text."""
        if isinstance(value, sympy.Abs):
            return f"|{self.number(value.args[0])}|"
        if value.has(sympy.Abs):  # in a product such as 2 |h|, which is printed as |2 h|
            rest, absolute = value.as_independent(sympy.Abs)
            inside = [_inside_absolute(part) for part in sympy.Mul.make_args(absolute)]
            return f"|{self.number(sympy.Mul(rest, *inside))}|"
        return replace(self, roots=True).show(to_expr.scalar(value))

    def quote(self, node: Node) -> str:
        """An expression as text; if it is more than a scheme may contain, as it was written."""
        if all(isinstance(inner, _SCHEME_NODES) for inner in node.walk()):
            return self.show(node)
        return node.span.text if node.span else "…"


def _inside_absolute(absolute: sympy.Expr) -> sympy.Expr:
    """The argument of an absolute value; of a power of one, the same power of the argument."""
    if isinstance(absolute, sympy.Pow):
        return _inside_absolute(absolute.args[0]) ** absolute.args[1]
    return absolute.args[0]


def scheme_notation(scheme: Scheme, latex: bool = False) -> SchemeNotation:
    """The notation of a scheme's author."""
    return SchemeNotation(Latex() if latex else OdeDialect(scheme.spellings))
