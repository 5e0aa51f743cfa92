"""Converts formulas for numbers to sums of monomials in named symbols, and back."""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from functools import reduce
from operator import mul

from odenet.analyse.laurent import ONE, Monomial, Scalar, common_factor
from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.typed.program import Model


class NumberReader:
    """Reads the numbers of a model.

    Attributes:
        values: the value of each symbol that has one (a `let`, or a formula of them), by its name.
        of_unknown_sign: spellings of the learned scalars and diagonals that can be negative.
        nonnegative: spellings of the numbers and diagonals that are >= 0 by construction.
        symbols: the formula of each symbol.
    """

    def __init__(self, model: Model):
        self.model = model
        self.values: dict[str, Fraction] = {}
        self.of_unknown_sign: set[str] = set()
        self.nonnegative: set[str] = set()
        self.symbols: dict[str, expr.Node] = {}
        self._names_by_key: dict[Hashable, str] = {}  # as _unique_name made them
        self._constants: Mapping[str, Fraction | float] = model.constants

    def spell(self, name: str) -> str:
        """A name as the author wrote it."""
        return self.model.spellings.get(name, name)

    def read_scalar(self, node: expr.Node) -> Scalar:
        """A formula for a number; parts that are not sums of monomials become symbols."""
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
                return fold_arithmetic(node, self.read_scalar)
            case expr.Quotient():
                return self.read_scalar(node.numerator) * self.reciprocal(node.denominator)
            # Fractional and higher powers become symbols.
            case expr.Power(base, expr.Number(value)) if value.denominator == 1 and abs(value) < 9:
                factor = self.read_scalar(base) if value > 0 else self.reciprocal(base)
                return reduce(mul, [factor] * abs(int(value)), ONE)
            case _:
                return self._symbol(self._unique_name(node, f"({source_text(node)})"), node)

    def _note_sign(self, spelling: str, parameter: DeclaredParameter) -> None:
        (self.nonnegative if parameter.is_positive else self.of_unknown_sign).add(spelling)

    def reciprocal(self, node: expr.Node) -> Scalar:
        """1 over a number; where that is not a sum of monomials, with a symbol for it.

        `1/(2 γ)` is a monomial; `1/(2 a + 2 b)` becomes 1/2 times the symbol `1/(a + b)`. 1 over 0
        is a symbol, too.
        """
        denominator = self.read_scalar(node)
        quotient = ONE.over(denominator) if denominator else None
        if quotient or not denominator:
            return quotient or self._symbol(
                self._unique_name(("over", node), f"1/({source_text(node)})"),
                expr.Quotient(self.number_formula(ONE), node),
            )
        common = common_factor([denominator])
        if denominator.terms[0][1] < 0:
            common = -common
        rest = denominator.over(common)
        prefactor = ONE.over(common)
        assert rest is not None and prefactor is not None
        name = self._unique_name(("over", rest), f"1/({rest})")
        quotient = expr.Quotient(self.number_formula(ONE), self.number_formula(rest))
        return prefactor * self._symbol(name, quotient)

    def number_formula(self, scalar: Scalar) -> expr.Node:
        """The formula of a number."""
        terms = [(1 if c > 0 else -1, self._monomial_formula(m, abs(c))) for m, c in scalar.terms]
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else expr.Sum(tuple(terms))

    def _monomial_formula(self, monomial: Monomial, coefficient: Fraction) -> expr.Node:
        numerator = [self.symbols[name] for name, power in monomial for _ in range(power)]
        denominator = [self.symbols[name] for name, power in monomial for _ in range(-power)]
        if coefficient != 1 or not numerator:
            numerator.insert(0, expr.Number(coefficient, str(coefficient)))
        return reduce(expr.Quotient, denominator, reduce(expr.Product, numerator))

    def _symbol(self, name: str, node: expr.Node) -> Scalar:
        """The symbol `name` for a formula, or 0 if it is 0; records the value if it has one."""
        self.symbols[name] = node
        try:
            value = evaluate(node, self._constants)
        except EvaluationError:
            return Scalar.symbol(name)
        if value == 0:
            return Scalar()
        self.values[name] = Fraction(value)
        return Scalar.symbol(name)

    def _unique_name(self, key: Hashable, proposal: str) -> str:
        """The name of a symbol: `proposal`, primed if it is taken; equal keys have one name."""
        if key not in self._names_by_key:
            taken = set(self._names_by_key.values())
            while proposal in taken:
                proposal += "′"
            self._names_by_key[key] = proposal
        return self._names_by_key[key]


def source_text(node: expr.Node) -> str:
    """A formula as its author wrote it."""
    if node.span is None and isinstance(node, expr.Hadamard):
        return f"{source_text(node.left)} * {source_text(node.right)}"
    return " ".join(node.span.text.split()).replace("^T", "ᵀ") if node.span else repr(node)
