"""Formulas as text: one printer for every node, in the `.ode` language and in LaTeX.

The printer decides where brackets are needed; a dialect (dialects.py) how each part is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Kind, Node
from odenet.model.typed.dialects import ATOM, POWER, PRODUCT, QUOTIENT, SUM, Latex, OdeDialect
from odenet.model.typed.scheme import Pattern, Scheme, Update


@dataclass(frozen=True)
class Notation:
    """Prints formulas in one dialect.

    Args:
        dialect: how each part is written.
        roots: whether powers of 1/2 are written with √, which the language does not have.
    """

    dialect: OdeDialect | Latex = field(default_factory=OdeDialect)
    roots: bool = False

    def name(self, name: str) -> str:
        """A name as the author wrote it; in LaTeX with its Greek letter and index."""
        return self.dialect.name(name)

    def slot(self, slot: expr.Slot) -> str:
        """An unknown at a step, `Y[n+1]`."""
        return self.dialect.name(slot.name, f"n{slot.offset:+d}" if slot.offset else "n")

    def show(self, node: Node) -> str:
        """A formula as text."""
        return self._with_precedence(node)[0]

    def equation(self, update: Update) -> str:
        """A line of a scheme, as in `Y[n+1] = Y[n] + h F(Y[n])`."""
        return f"{self.show(update.target)} = {self.show(update.value)}"

    def pattern(self, patterns: Sequence[Pattern]) -> str:
        """One equation of a `for` line, `Y'' = F(Y) - γ Y'` or `Y' = F(Y) + G(Y)`."""
        first = patterns[0]
        left = self.dialect.derivative(first.unknown, first.order)
        decay = f" - {self.decay(first)}" if first.decay else ""
        return f"{left} = {' + '.join(map(self.right_hand_side, patterns))}{decay}"

    def right_hand_side(self, pattern: Pattern) -> str:
        """A right-hand side with its arguments, `F(Y, Z)`."""
        return self.dialect.call(self.name(pattern.function), [*map(self.name, pattern.reads)])

    def decay(self, pattern: Pattern) -> str:
        """The decay term of a pattern without its sign, `γ Y'`."""
        assert pattern.decay is not None
        damped = self.dialect.derivative(pattern.unknown, pattern.order - 1)
        return self.dialect.juxtaposed(self.name(pattern.decay), damped)

    def for_line(self, scheme: Scheme) -> str:
        """The `for` line of a scheme: the equations that it solves."""
        return ", ".join(map(self.pattern, scheme.equations.values()))

    def _with_precedence(self, node: Node) -> tuple[str, int]:
        """The text of a formula and its precedence."""
        dialect = self.dialect
        match node:
            case expr.Number():
                return dialect.number(node)
            case expr.Sum():
                return self._sum(node), SUM
            case expr.Product():
                # `a/2 b` is ambiguous for a number b, and not for a feature map b
                numeric = node.right.kind is Kind.SCALAR
                left = self._wrap(node.left, PRODUCT if numeric else QUOTIENT)
                right = self._wrap(node.right, POWER if numeric else PRODUCT)
                return dialect.juxtaposed(left, right), PRODUCT
            case expr.Compose(left, right) | expr.Apply(left, right):
                inside = self._wrap(left, PRODUCT), self._wrap(right, PRODUCT)
                return dialect.juxtaposed(*inside), PRODUCT
            case expr.Hadamard(left, right):
                inside = self._wrap(left, PRODUCT), self._wrap(right, PRODUCT)
                return f" {dialect.product_sign} ".join(inside), PRODUCT
            case expr.Quotient(numerator, denominator):
                return self._quotient(numerator, denominator)
            case expr.Power():
                return self._power(node)
            case expr.Adjoint():
                return self._wrap(node.operand, ATOM) + dialect.transpose, POWER
            case _:
                return self._atom(node), ATOM

    def _atom(self, node: Node) -> str:
        """The text of a formula that never needs brackets."""
        dialect = self.dialect
        match node:
            case expr.Identity():
                return dialect.identity
            case expr.Input():
                return "u"
            case expr.Zero():
                return "0"
            case expr.Slot():
                return self.slot(node)
            case expr.State(name, order):
                return dialect.derivative(name, order)
            case expr.Activation(name, constants):
                shown = [*map(self.show, constants)]
                return dialect.with_constants(dialect.activation(name), shown)
            case expr.Activate(function, operand) | expr.MapCall(function, operand):
                return dialect.call(self.show(function), [self.show(operand)])
            case expr.Time():
                return "t"
            case expr.Rate(function, arguments, time):
                times = [] if time is None else [time]
                return dialect.call(self.name(function), [*map(self.show, (*arguments, *times))])
            case expr.ElementwiseExp(exponent) | expr.Exp(exponent):
                return dialect.call(dialect.word("exp"), [self.show(exponent)])
            case expr.Concat(parts):
                return dialect.call(dialect.word("concat"), [*map(self.show, parts)])
            case expr.Split(operand):
                return dialect.call(dialect.word("split"), [self.show(operand)])
            case (
                expr.Constant(name) | expr.LearnedScalar(name) | expr.LearnedOperator(name)
                | expr.Bias(name) | expr.Stage(name) | expr.Map(name)
            ):  # fmt: skip
                return self.name(name)
            case _:
                raise AssertionError(f"{type(node).__name__} has no notation")

    def _sum(self, node: expr.Sum) -> str:
        parts: list[str] = []
        for index, (sign, term) in enumerate(node.terms):
            text = self._wrap(term, QUOTIENT) if sign < 0 or index else self.show(term)
            before = ("- " if sign < 0 else "+ ") if index else ("-" if sign < 0 else "")
            parts.append(before + text)
        return " ".join(parts)

    def _quotient(self, numerator: Node, denominator: Node) -> tuple[str, int]:
        least = (SUM, SUM) if self.dialect.has_fractions else (QUOTIENT, POWER)
        return self.dialect.quotient(*map(self._wrap, (numerator, denominator), least))

    def _power(self, node: expr.Power) -> tuple[str, int]:
        inside = SUM if self.dialect.has_fractions else ATOM
        if self.roots and node.exponent == expr.Number(Fraction(1, 2), "1/2"):
            return self.dialect.root(self._wrap(node.base, inside)), ATOM
        exponent = self._wrap(node.exponent, inside)
        return self.dialect.power(self._wrap(node.base, ATOM), exponent), POWER

    def _wrap(self, node: Node, least: int) -> str:
        """The text of a formula, in brackets if its precedence is below `least`."""
        text, precedence = self._with_precedence(node)
        return text if precedence >= least else self.dialect.brackets(text)


LATEX = Notation(Latex())
