"""Expressions of a scheme as text: in the language's own notation, and in LaTeX."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import sympy

from odenet.derive import to_expr
from odenet.language.names import GREEK
from odenet.model import expr
from odenet.model.expr import Node
from odenet.model.scheme import Scheme, Update

_OF_SCHEMES = (
    expr.Number, expr.Constant, expr.Stage, expr.Zero, expr.Slot, expr.Rate, expr.Sum,
    expr.Product, expr.Quotient, expr.Power,
)  # fmt: skip

# How tightly an expression binds.
SUM, QUOTIENT, PRODUCT, POWER, ATOM = range(5)


@dataclass(frozen=True)
class Notation:
    """Prints expressions.

    Args:
        spellings: canonical name -> how the author wrote it.
        latex: LaTeX instead of the language.
        roots: √ for powers of 1/2, which the language has no sign for.
    """

    spellings: Mapping[str, str] = field(default_factory=dict)
    latex: bool = False
    roots: bool = False

    def name(self, name: str) -> str:
        """A name as the author wrote it; in LaTeX with its Greek letter and index."""
        spelled = self.spellings.get(name, name)
        if not self.latex:
            return spelled
        letters, digits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
        if letters in GREEK.values() or letters.lower() in GREEK.values():
            letters = "\\" + letters
        elif len(letters) > 1:
            letters = rf"\mathrm{{{letters.replace('_', chr(92) + '_')}}}"
        return f"{letters}_{{{digits}}}" if digits else letters

    def slot(self, slot: expr.Slot) -> str:
        """`Y[n+1]`."""
        index = f"n{slot.offset:+d}" if slot.offset else "n"
        brackets = "_{{{}}}" if self.latex else "[{}]"
        return self.name(slot.name) + brackets.format(index)

    def show(self, node: Node) -> str:
        """An expression."""
        return self._show(node)[0]

    def number(self, value: sympy.Expr) -> str:
        """A number that sympy computed."""
        if isinstance(value, sympy.Abs):
            return f"|{self.number(value.args[0])}|"
        if value.has(sympy.Abs):  # one factor by itself, as in 2 |h|
            rest, absolute = value.as_independent(sympy.Abs)
            inside = [part.args[0] for part in sympy.Mul.make_args(absolute)]
            return f"|{self.number(sympy.Mul(rest, *inside))}|"  # type: ignore[arg-type]
        return replace(self, roots=True).show(to_expr.scalar(value))

    def quote(self, node: Node) -> str:
        """An expression of the scheme, or what else stands in the author's text."""
        if all(isinstance(inner, _OF_SCHEMES) for inner in node.walk()):
            return self.show(node)
        return node.span.text if node.span else "…"

    def equation(self, update: Update) -> str:
        """`target = value`."""
        return f"{self.show(update.target)} = {self.show(update.value)}"

    def _show(self, node: Node) -> tuple[str, int]:
        """The text of an expression and how tightly it binds."""
        match node:
            case expr.Number():
                return self._number(node)
            case expr.Constant() | expr.Stage():
                return self.name(node.name), ATOM
            case expr.Zero():
                return "0", ATOM
            case expr.Slot():
                return self.slot(node), ATOM
            case expr.Rate():
                inside = ", ".join(map(self.show, node.arguments))
                return f"{self.name(node.function)}({inside})", ATOM
            case expr.Sum():
                return self._sum(node), SUM
            case expr.Product():
                # `a/2 b` would be ambiguous between numbers, not between a number and a field
                tight = node.right.kind is expr.Kind.SCALAR
                left = self._at_least(node.left, PRODUCT if tight else QUOTIENT)
                return f"{left} {self._at_least(node.right, POWER if tight else PRODUCT)}", PRODUCT
            case expr.Quotient():
                return self._quotient(node.numerator, node.denominator)
            case expr.Power(_, expr.Number(Fraction(numerator=1, denominator=2))) if self.roots:
                if self.latex:
                    return rf"\sqrt{{{self.show(node.base)}}}", ATOM
                return f"√{self._at_least(node.base, ATOM)}", ATOM
            case expr.Power():
                exponent = self.show(node.exponent)
                if self.latex:
                    return f"{self._at_least(node.base, ATOM)}^{{{exponent}}}", POWER
                return (
                    f"{self._at_least(node.base, ATOM)}^{self._at_least(node.exponent, ATOM)}",
                    POWER,
                )
        raise AssertionError(f"{node} does not occur in a scheme")

    def _number(self, node: expr.Number) -> tuple[str, int]:
        value = node.value
        if self.latex and value.denominator > 1 and "/" in node.text:
            return rf"\tfrac{{{value.numerator}}}{{{value.denominator}}}", ATOM
        level = SUM if value < 0 else QUOTIENT if "/" in node.text else ATOM
        return node.text, level

    def _sum(self, node: expr.Sum) -> str:
        parts = []
        for index, (sign, term) in enumerate(node.terms):
            shown = self._at_least(term, QUOTIENT) if sign < 0 or index else self.show(term)
            before = ("- " if sign < 0 else "+ ") if index else ("-" if sign < 0 else "")
            parts.append(before + shown)
        return " ".join(parts)

    def _quotient(self, above: Node, below: Node) -> tuple[str, int]:
        if self.latex:
            return rf"\frac{{{self.show(above)}}}{{{self.show(below)}}}", ATOM
        return f"{self._at_least(above, QUOTIENT)}/{self._at_least(below, POWER)}", QUOTIENT

    def _at_least(self, node: Node, level: int) -> str:
        shown, own = self._show(node)
        if own >= level:
            return shown
        return rf"\left({shown}\right)" if self.latex else f"({shown})"


def notation(scheme: Scheme, latex: bool = False) -> Notation:
    """The notation of a scheme's author."""
    return Notation(scheme.spellings, latex)
