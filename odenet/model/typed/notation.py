"""Formulas as text: one printer for every node, in the language's own notation and in LaTeX.

The printer knows where brackets are needed; a dialect (dialects.py) what the pieces look like.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind, Node
from odenet.model.typed.dialects import ATOM, POWER, PRODUCT, QUOTIENT, SUM, Language, Latex
from odenet.model.typed.scheme import Pattern, Scheme, Update


@dataclass(frozen=True)
class Notation:
    """Prints formulas in one dialect.

    Args:
        dialect: what the pieces look like.
        roots: √ for powers of 1/2, which the language has no sign for.
    """

    dialect: Language | Latex = field(default_factory=Language)
    roots: bool = False

    def name(self, name: str) -> str:
        """A name as the author wrote it; in LaTeX with its Greek letter and index."""
        return self.dialect.name(name)

    def slot(self, slot: expr.Slot) -> str:
        """`Y[n+1]`."""
        return self.dialect.name(slot.name, f"n{slot.offset:+d}" if slot.offset else "n")

    def show(self, node: Node) -> str:
        """A formula as text."""
        return self._show(node)[0]

    def equation(self, update: Update) -> str:
        """A line of a scheme, `target = value`."""
        return f"{self.show(update.target)} = {self.show(update.value)}"

    def pattern(self, parts: Sequence[Pattern]) -> str:
        """One equation of a `for` line, `Y'' = F(Y) - γ Y'` or `Y' = F(Y) + G(Y)`."""
        first = parts[0]
        left = self.dialect.derivative(first.variable, first.order)
        decay = f" - {self.decay(first)}" if first.decay else ""
        return f"{left} = {' + '.join(map(self.right_hand_side, parts))}{decay}"

    def right_hand_side(self, pattern: Pattern) -> str:
        """`F(Y, Z)`."""
        return self.dialect.call(self.name(pattern.function), [*map(self.name, pattern.reads)])

    def decay(self, pattern: Pattern) -> str:
        """`γ Y'`: what the decay of a pattern takes off."""
        assert pattern.decay is not None
        damped = self.dialect.derivative(pattern.variable, pattern.order - 1)
        return self.dialect.juxtaposed(self.name(pattern.decay), damped)

    def for_line(self, scheme: Scheme) -> str:
        """The dynamics that a scheme takes."""
        return ", ".join(map(self.pattern, scheme.equations.values()))

    def _show(self, node: Node) -> tuple[str, int]:
        """The text of a formula and how tightly it binds."""
        write = self.dialect
        match node:
            case expr.Number():
                return write.number(node)
            case expr.Sum():
                return self._sum(node), SUM
            case expr.Product():
                # `a/2 b` would be ambiguous between numbers, not between a number and a field
                tight = node.right.kind is Kind.SCALAR
                left = self._at_least(node.left, PRODUCT if tight else QUOTIENT)
                right = self._at_least(node.right, POWER if tight else PRODUCT)
                return write.juxtaposed(left, right), PRODUCT
            case expr.Compose(left, right) | expr.Apply(left, right):
                inside = self._at_least(left, PRODUCT), self._at_least(right, PRODUCT)
                return write.juxtaposed(*inside), PRODUCT
            case expr.Hadamard(left, right):
                inside = self._at_least(left, PRODUCT), self._at_least(right, PRODUCT)
                return f" {write.times} ".join(inside), PRODUCT
            case expr.Quotient(above, below):
                return self._quotient(above, below)
            case expr.Power():
                return self._power(node)
            case expr.Adjoint():
                return self._at_least(node.of, ATOM) + write.transposed, POWER
            case _:
                return self._atom(node), ATOM

    def _atom(self, node: Node) -> str:
        write = self.dialect
        match node:
            case expr.Identity():
                return write.identity
            case expr.Input():
                return "u"
            case expr.Zero():
                return "0"
            case expr.Slot():
                return self.slot(node)
            case expr.State(name, order):
                return write.derivative(name, order)
            case expr.Activation(name, constants):
                return write.with_constants(write.activation(name), [*map(self.show, constants)])
            case expr.Activate(function, operand) | expr.MapCall(function, operand):
                return write.call(self.show(function), [self.show(operand)])
            case expr.Time():
                return "t"
            case expr.Rate(function, arguments, time):
                when = [] if time is None else [time]
                return write.call(self.name(function), [*map(self.show, (*arguments, *when))])
            case expr.Stretch(exponent) | expr.Exp(exponent):
                return write.call(write.word("exp"), [self.show(exponent)])
            case expr.Concat(parts):
                return write.call(write.word("concat"), [*map(self.show, parts)])
            case expr.Split(operand):
                return write.call(write.word("split"), [self.show(operand)])
            case (
                expr.Constant(name) | expr.LearnedScalar(name) | expr.Param(name) | expr.Bias(name)
                | expr.Stage(name) | expr.Map(name)
            ):  # fmt: skip
                return self.name(name)
            case _:
                raise AssertionError(f"{type(node).__name__} has no notation")

    def _sum(self, node: expr.Sum) -> str:
        parts: list[str] = []
        for index, (sign, term) in enumerate(node.terms):
            shown = self._at_least(term, QUOTIENT) if sign < 0 or index else self.show(term)
            before = ("- " if sign < 0 else "+ ") if index else ("-" if sign < 0 else "")
            parts.append(before + shown)
        return " ".join(parts)

    def _quotient(self, above: Node, below: Node) -> tuple[str, int]:
        if self.dialect.stacked:
            return self.dialect.quotient(self.show(above), self.show(below))
        return self.dialect.quotient(self._at_least(above, QUOTIENT), self._at_least(below, POWER))

    def _power(self, node: expr.Power) -> tuple[str, int]:
        inside = SUM if self.dialect.stacked else ATOM
        if self.roots and node.exponent == expr.Number(Fraction(1, 2), "1/2"):
            return self.dialect.root(self._at_least(node.base, inside)), ATOM
        exponent = self._at_least(node.exponent, inside)
        return self.dialect.power(self._at_least(node.base, ATOM), exponent), POWER

    def _at_least(self, node: Node, level: int) -> str:
        shown, own = self._show(node)
        return shown if own >= level else self.dialect.brackets(shown)


LATEX = Notation(Latex())
