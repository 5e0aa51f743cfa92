"""From typed formulas for numbers to sums of monomials in named symbols, and back."""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from functools import reduce
from operator import mul

from odenet.analyse.laurent import ONE, Monomial, Scalar, common_factor
from odenet.model.expressions import expr
from odenet.model.expressions.fold import arithmetic
from odenet.model.expressions.numbers import NotANumber, evaluate
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.typed.program import Model


class NumberReader:
    """Reads the numbers of a model.

    Attributes:
        values: of the `let`s, by their spelling.
        learned: spellings of the learned scalars and diagonals: their sign is not known.
        nonnegative: names of numbers and diagonals that are never negative by construction.
        symbols: the formula behind each symbol of a number.
    """

    def __init__(self, model: Model):
        self.model = model
        self.values: dict[str, Fraction] = {}
        self.learned: set[str] = set()
        self.nonnegative: set[str] = set()
        self.symbols: dict[str, expr.Node] = {}
        self._named: dict[Hashable, str] = {}
        self._numbers: Mapping[str, Fraction | float] = model.constants

    def spell(self, name: str) -> str:
        """A name as the author wrote it."""
        return self.model.spellings.get(name, name)

    def scalar(self, node: expr.Node) -> Scalar:
        """A formula for a number; what is not a sum of monomials is a symbol of its own."""
        match node:
            case expr.Number():
                return Scalar.number(node.value)
            case expr.Constant():
                return self._symbol(self.spell(node.name), node)
            case expr.LearnedScalar():
                spelling = self.spell(node.name)
                self._note_sign(spelling, self.model.parameters[node.name])
                self.symbols[spelling] = node
                return Scalar.symbol(spelling)
            case expr.Sum() | expr.Product():
                return arithmetic(node, self.scalar)
            case expr.Quotient():
                return self.scalar(node.numerator) * self.inverse(node.denominator)
            case expr.Power(base, expr.Number(value)) if value.denominator == 1 and abs(value) < 9:
                factor = self.scalar(base) if value > 0 else self.inverse(base)
                return reduce(mul, [factor] * abs(int(value)), ONE)
            case _:
                return self._symbol(self._name_of(node, f"({text_of(node)})"), node)

    def _note_sign(self, spelling: str, learned: DeclaredParameter) -> None:
        (self.nonnegative if learned.is_positive else self.learned).add(spelling)

    def inverse(self, node: expr.Node) -> Scalar:
        """One over a number; what is not a monomial is 1/(…) by name, common factors taken out."""
        below = self.scalar(node)
        quotient = ONE.over(below) if below else None
        if quotient or not below:
            return quotient or self._symbol(
                self._name_of(("over", node), f"1/({text_of(node)})"),
                expr.Quotient(self.node(ONE), node),
            )
        common = common_factor([below])
        if below.terms[0][1] < 0:
            common = -common
        left = below.over(common)
        outside = ONE.over(common)
        assert left is not None and outside is not None
        name = self._name_of(("over", left), f"1/({left})")
        return outside * self._symbol(name, expr.Quotient(self.node(ONE), self.node(left)))

    def node(self, scalar: Scalar) -> expr.Node:
        """A number as a formula."""
        terms = [(1 if c > 0 else -1, self._monomial(m, abs(c))) for m, c in scalar.terms]
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else expr.Sum(tuple(terms))

    def _monomial(self, monomial: Monomial, coefficient: Fraction) -> expr.Node:
        above = [self.symbols[name] for name, power in monomial for _ in range(power)]
        below = [self.symbols[name] for name, power in monomial for _ in range(-power)]
        if coefficient != 1 or not above:
            above.insert(0, expr.Number(coefficient, str(coefficient)))
        return reduce(expr.Quotient, below, reduce(expr.Product, above))

    def _symbol(self, name: str, node: expr.Node) -> Scalar:
        """A number by name; its value is kept if it has one, and a zero is a zero."""
        self.symbols[name] = node
        try:
            value = evaluate(node, self._numbers)
        except NotANumber:
            return Scalar.symbol(name)
        if value == 0:
            return Scalar()
        self.values[name] = Fraction(value)
        return Scalar.symbol(name)

    def _name_of(self, what: Hashable, wanted: str) -> str:
        """One name for equal things, different ones for others."""
        if what not in self._named:
            taken = set(self._named.values())
            while wanted in taken:
                wanted += "′"
            self._named[what] = wanted
        return self._named[what]


def text_of(node: expr.Node) -> str:
    """A formula as it was written."""
    if node.span is None and isinstance(node, expr.Hadamard):
        return f"{text_of(node.left)} * {text_of(node.right)}"
    return " ".join(node.span.text.split()).replace("^T", "ᵀ") if node.span else repr(node)
