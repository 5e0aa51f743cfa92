"""Formulas, operators and numbers of a certificate as JSON.

A formula is a name as the author spells it, a number `"-1/3"`, or a list `[kind, part, …]`.
"""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from odenet.analyse.functions import Applied, Leaf, Times, reads_state
from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import IDENTITY, Diagonal, Letter, Operator, Word
from odenet.analyse.read_formulas import LINEAR, FormulaReader, Gate
from odenet.analyse.units import Row
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import NotANumber, evaluate
from odenet.model.typed.program import Model

Plain = dict[str, Any]
Tree = str | list[Any]

ZERO: Tree = ["*", "0", "I"]
NOTHING: Tree = ["*", "0", "u"]


class FormulaWriter:
    """Writes formulas and operators; collects the names they use.

    Attributes:
        kinds: of names that are not parameters: numbers, formulas of numbers, gates.
        values: of these.
        slopes: what the slope of a unit among the linear terms is called in the certificate.
    """

    def __init__(self, model: Model):
        self.model = model
        self.reader = FormulaReader(model)
        self.kinds: dict[str, str] = {}
        self.values: Plain = {}
        self.slopes: dict[str, str] = {}

    # operators

    def row(self, row: Row) -> Plain:
        """A row of the system: the operator that each state is multiplied with."""
        return {state.written: self.operator(operator) for state, operator in row.items()}

    def scalar(self, scalar: Scalar) -> list[Any]:
        """A number, with the values of the `let`s in it."""
        return self.weight(Operator.word((), scalar))

    def weight(self, operator: Operator) -> list[Any]:
        """A sum of numbers times diagonals, in a form that shows its sign."""
        return [
            [str(x), {self.number(n): str(p) for n, p in m} | self.diagonals(word)]
            for word, scalar in operator.terms
            for m, x in scalar.at(self.reader.values).terms
        ]

    def diagonals(self, word: Word) -> dict[str, str]:
        """The powers of diagonals in a word of nothing else."""
        letters = [letter for letter in word if isinstance(letter, Diagonal)]
        return {self.diagonal(n): str(p) for letter in letters for n, p in letter.powers}

    def operator(self, operator: Operator) -> Tree:
        """A sum of words of operators, as a tree."""
        return total([
            product([str(coefficient), *self.powers(monomial, self.number), *self.word(word)])
            for word, scalar in operator.terms
            for monomial, coefficient in scalar.terms
        ])  # fmt: skip

    def word(self, word: Word) -> list[Tree]:
        """Operators, their adjoints, diagonals."""
        found: list[Tree] = [] if word else ["I"]
        for letter in word:
            if isinstance(letter, Letter):
                found.append(["T", letter.name] if letter.adjoint else letter.name)
            else:
                found += self.powers(letter.powers, self.diagonal)
        return found

    def powers(
        self, powers: Iterable[tuple[str, int | Fraction]], name: Callable[[str], str]
    ) -> list[Tree]:
        """Factors, each with its power where that is not 1."""
        return [name(own) if power == 1 else ["^", name(own), str(power)] for own, power in powers]

    def diagonal(self, name: str) -> str:
        """The name of a diagonal; what a field multiplies with is kept as its formula."""
        target = self.reader.names.get(name)
        if isinstance(target, Gate) and name not in self.values:
            self.kinds[name] = "gate"
            self.values[name] = self.field({target.leaf: Operator.word(target.word)})
        return self.slopes.get(name, name)

    def number(self, name: str) -> str:
        """The name of a number; its value, or its formula if that has a learned part, is kept."""
        node = self.reader.symbols[name]
        if name in self.reader.values:
            self.kinds[name], self.values[name] = "number", str(self.reader.values[name])
        elif not isinstance(node, expr.LearnedScalar) and name not in self.values:
            self.kinds[name], self.values[name] = "formula", self.tree(node)
        return name

    # functions

    def field(self, form: Mapping[Leaf, Operator]) -> Tree:
        """A sum of operators applied to fields that read no state."""
        return total([
            self.leaf(leaf) if op == IDENTITY else product([self.operator(op), self.leaf(leaf)])
            for leaf, op in form.items()
        ], NOTHING)  # fmt: skip

    def leaf(self, leaf: Leaf) -> Tree:
        """A function without states, or what else reads none."""
        if isinstance(leaf, Applied):
            return [*self.stage(leaf.node), self.field(dict(leaf.argument))]
        if isinstance(leaf, Times):
            factors = [self.field({factor: Operator.word(word)}) for factor, word in leaf.factors]
            return ["+", ["*", *(["+", factor] for factor in factors)]]  # kept apart from others
        return self.tree(leaf)

    def map(self, leaf: Leaf) -> list[Tree]:
        """A function of the states as what is done to its affine form of them, one by one.

        Biases and all that reads no state are a part of the function.
        """
        if isinstance(leaf, Times):
            return [["product", *(self.map(factor) for factor, _ in leaf.factors)]]
        assert isinstance(leaf, Applied)
        return [*self.argument(dict(leaf.argument)), self.stage(leaf.node)]

    def states(self, leaf: Leaf) -> Row:
        """The affine form of the states that a function is one of, without offsets."""
        if isinstance(leaf, Times):
            return self.states(leaf.factors[0][0])
        assert isinstance(leaf, Applied)
        inner = [k for k, _ in leaf.argument if reads_state(k) and not isinstance(k, State)]
        if inner:
            return self.states(inner[0])
        return {k: operator for k, operator in leaf.argument if isinstance(k, State)}

    def argument(self, form: Mapping[Leaf, Operator]) -> list[Tree]:
        """What is done to the states' part of an argument before the function is applied."""
        offset = {leaf: op for leaf, op in form.items() if not reads_state(leaf)}
        inner = [k for k in form if reads_state(k) and not isinstance(k, State)]
        stages: list[Tree] = []
        if inner:
            stages = self.map(inner[0])
            factor = self.operator(form[inner[0]].at(self.reader.values))
            factors = factor[1:] if isinstance(factor, list) and factor[0] == "*" else [factor]
            stages += [["*", part] for part in factors if part != "I"]
        return [*stages, ["+", self.field(offset)]] if offset else stages

    def stage(self, node: expr.Activate | expr.MapCall) -> list[Any]:
        """An activation with its constants, or a norm, of what follows."""
        if isinstance(node, expr.MapCall):
            return ["call", self.reader.spell(node.function.name)]
        activation = node.activation
        return ["call", activation.name, *map(self.constant, activation.constants)]

    # formulas, as the author wrote them

    def constant(self, node: expr.Node) -> Tree:
        """The value of a number, its formula if it has none."""
        try:
            return str(Fraction(evaluate(node, self.model.constants)))
        except NotANumber:
            return self.tree(node)

    def tree(self, node: expr.Node) -> Tree:
        """A typed formula as a tree of the file."""
        match node:
            case expr.Number():
                return str(node.value)
            case expr.Constant():
                name = self.reader.spell(node.name)
                value = str(Fraction(self.model.constants[node.name]))
                self.kinds[name], self.values[name] = "number", value
                return name
            case State():
                return self.reader.state(node).written
            case expr.LearnedScalar() | expr.Param() | expr.Bias():
                return self.reader.spell(node.name)
            case expr.Identity() | expr.Input():
                return "I" if isinstance(node, expr.Identity) else "u"
            case expr.Zero():
                return NOTHING
            case expr.Sum():
                return total([product([str(s), self.tree(term)]) for s, term in node.terms])
            case expr.Power() if not any(isinstance(n, expr.LearnedScalar) for n in node.walk()):
                return self.constant(node)
            case expr.Quotient():
                below = ["^", self.tree(node.denominator), "-1"]
                return product([below, self.tree(node.numerator)])
            case expr.Product() | expr.Compose():
                return product([self.tree(node.left), self.tree(node.right)])
            case expr.Apply():
                return product([self.tree(node.operator), self.tree(node.operand)])
            case expr.Hadamard():  # a sum of one term, so that what comes before it stays apart
                return ["+", ["*", self.tree(node.left), self.tree(node.right)]]
            case expr.Activate() if node.activation == LINEAR:
                return self.tree(node.operand)
            case expr.Activate() | expr.MapCall():
                return [*self.stage(node), self.tree(node.operand)]
            case _:
                return [_TREES[type(node)], *map(self.tree, node.children())]


_TREES: dict[type[expr.Node], str] = {
    expr.Power: "^",
    expr.Adjoint: "T",
    expr.Concat: "concat",
}


def total(terms: list[Tree], zero: Tree = ZERO) -> Tree:
    """A sum as a tree; that of no terms is a zero of the kind that is asked for."""
    return ["+", *terms] if len(terms) > 1 else terms[0] if terms else zero


def product(factors: list[Tree]) -> Tree:
    """A product without its ones, products that are in it written out."""
    flat: list[Tree] = []
    for factor in factors:
        flat += factor[1:] if isinstance(factor, list) and factor[0] == "*" else [factor]
    flat = [factor for factor in flat if factor != "1"] or ["1"]
    return flat[0] if len(flat) == 1 else ["*", *flat]
