"""Writes the formulas, operators and numbers of a certificate as JSON.

A formula becomes a tree: a name as the author spells it, a number `"-1/3"`, or `[kind, part, …]`.
docs/certificates.md describes the format, "Certificates travel".
"""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from odenet.analyse import functions
from odenet.analyse.functions import AppliedFunction, ElementwiseProduct, Leaf, inner_functions
from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import IDENTITY, Diagonal, Letter, Operator, Word
from odenet.analyse.read_formulas import LINEAR, FormulaReader, Gate
from odenet.analyse.units import OperatorsByState
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import EvaluationError, evaluate
from odenet.model.typed.program import Model

JsonObject = dict[str, Any]
Tree = str | list[Any]

ZERO_TREE: Tree = ["*", "0", "I"]  # the operator 0
ZERO_FIELD: Tree = ["*", "0", "u"]  # a field that is 0: 0 times the input


class FormulaWriter:
    """Writes formulas and operators as trees, and records the names that occur in them.

    Attributes:
        kinds: the kind of each name that is not a parameter: "number", "formula" or "gate".
        values: the value of each of these names, as a tree.
        slopes: name of the diagonal D′ of an absorbed unit -> its name in the certificate.
    """

    def __init__(self, model: Model):
        self.model = model
        self.reader = FormulaReader(model)
        self.kinds: dict[str, str] = {}
        self.values: JsonObject = {}
        self.slopes: dict[str, str] = {}

    # operators

    def row_json(self, row: OperatorsByState) -> JsonObject:
        """A row of R or column of L: the name of each state -> its operator."""
        return {state.text: self.operator_tree(operator) for state, operator in row.items()}

    def scalar_terms(self, scalar: Scalar) -> list[Any]:
        """A number, with the values of its `let`s put in."""
        return self.weight_terms(scalar * IDENTITY)

    def weight_terms(self, operator: Operator) -> list[Any]:
        """A sum of numbers times diagonals as pairs [coefficient, {name: power}]."""
        return [
            [str(x), {self.record_number(n): str(p) for n, p in m} | self.diagonal_powers(word)]
            for word, scalar in operator.terms
            for m, x in scalar.substitute(self.reader.values).terms
        ]

    def diagonal_powers(self, word: Word) -> dict[str, str]:
        """The powers of the diagonals in a word that has only diagonals."""
        letters = [letter for letter in word if isinstance(letter, Diagonal)]
        return {self.record_diagonal(n): str(p) for letter in letters for n, p in letter.powers}

    def operator_tree(self, operator: Operator) -> Tree:
        """A sum of words of operators, as a tree."""
        return sum_tree([
            product_tree([
                str(x), *self.power_trees(monomial, self.record_number), *self.word_trees(word)
            ])
            for word, scalar in operator.terms
            for monomial, x in scalar.terms
        ])  # fmt: skip

    def word_trees(self, word: Word) -> list[Tree]:
        """The factors of a word: operators, their adjoints, and powers of diagonals."""
        factors: list[Tree] = [] if word else ["I"]
        for letter in word:
            if isinstance(letter, Letter):
                factors.append(["T", letter.name] if letter.adjoint else letter.name)
            else:
                factors += self.power_trees(letter.powers, self.record_diagonal)
        return factors

    def power_trees(
        self, powers: Iterable[tuple[str, int | Fraction]], record: Callable[[str], str]
    ) -> list[Tree]:
        """Factors `name` or `["^", name, power]`; `record` gives the name in the certificate."""
        return [record(b) if p == 1 else ["^", record(b), str(p)] for b, p in powers]

    def record_diagonal(self, name: str) -> str:
        """Records the formula of a gate; returns the name of a diagonal in the certificate."""
        gate = self.reader.meanings.get(name)
        if isinstance(gate, Gate) and name not in self.values:
            self.kinds[name] = "gate"
            self.values[name] = self.field_tree({gate.leaf: Operator.word(gate.word)})
        return self.slopes.get(name, name)

    def record_number(self, name: str) -> str:
        """Records the value of a number, or its formula if a part is learned; returns its name."""
        node = self.reader.symbols[name]
        if name in self.reader.values:
            self.kinds[name], self.values[name] = "number", str(self.reader.values[name])
        elif not isinstance(node, expr.LearnedScalar) and name not in self.values:
            self.kinds[name], self.values[name] = "formula", self.formula_tree(node)
        return name

    # functions

    def field_tree(self, form: Mapping[Leaf, Operator]) -> Tree:
        """The tree of Σ operator · leaf for leaves that do not depend on the states."""
        return sum_tree([
            self.leaf_tree(leaf) if op == IDENTITY
            else product_tree([self.operator_tree(op), self.leaf_tree(leaf)])
            for leaf, op in form.items()
        ], ZERO_FIELD)  # fmt: skip

    def leaf_tree(self, leaf: Leaf) -> Tree:
        """The tree of a leaf that does not depend on the states."""
        if isinstance(leaf, AppliedFunction):
            return [*self.stage_tree(leaf.node), self.field_tree(dict(leaf.argument))]
        if isinstance(leaf, ElementwiseProduct):
            factors = [self.field_tree({f: Operator.word(word)}) for f, word in leaf.factors]
            # The product and its factors are sums of one term: product_tree does not flatten sums.
            return ["+", ["*", *(["+", factor] for factor in factors)]]
        return self.formula_tree(leaf)

    def function_stages(self, leaf: Leaf) -> list[Tree]:
        """A function as the stages that are applied, in order, to an affine form of the states.

        Adding a bias, or another term without states, is a stage.
        """
        if isinstance(leaf, ElementwiseProduct):
            return [["product", *(self.function_stages(factor) for factor, _ in leaf.factors)]]
        assert isinstance(leaf, AppliedFunction)
        return [*self.argument_stages(dict(leaf.argument)), self.stage_tree(leaf.node)]

    def state_form(self, leaf: Leaf) -> OperatorsByState:
        """The affine form of the states to which those stages are applied, without offsets."""
        if isinstance(leaf, ElementwiseProduct):
            return self.state_form(leaf.factors[0][0])
        assert isinstance(leaf, AppliedFunction)
        inner = inner_functions(dict(leaf.argument))
        if inner:
            return self.state_form(inner[0])
        return {k: operator for k, operator in leaf.argument if isinstance(k, State)}

    def argument_stages(self, form: Mapping[Leaf, Operator]) -> list[Tree]:
        """The stages from the states' part of an argument to the whole argument of a function."""
        offset = {leaf: op for leaf, op in form.items() if not functions.reads_state(leaf)}
        inner = inner_functions(form)
        stages: list[Tree] = []
        if inner:
            stages = self.function_stages(inner[0])
            factor = self.operator_tree(form[inner[0]].substitute(self.reader.values))
            factors = factor[1:] if isinstance(factor, list) and factor[0] == "*" else [factor]
            stages += [["*", part] for part in factors if part != "I"]
        return [*stages, ["+", self.field_tree(offset)]] if offset else stages

    def stage_tree(self, node: expr.Activate | expr.MapCall) -> list[Any]:
        """The start of a tree that applies an activation, with its constants, or a norm."""
        if isinstance(node, expr.MapCall):
            return ["call", self.reader.spell(node.function.name)]
        activation = node.activation
        return ["call", activation.name, *map(self.constant_tree, activation.constants)]

    # formulas, as the author wrote them

    def constant_tree(self, node: expr.Node) -> Tree:
        """The value of a number, or the tree of its formula if it has none."""
        try:
            return str(Fraction(evaluate(node, self.model.constants)))
        except EvaluationError:
            return self.formula_tree(node)

    def formula_tree(self, node: expr.Node) -> Tree:
        """The tree of a typed formula."""
        match node:
            case expr.Number():
                return str(node.value)
            case expr.Constant():
                name = self.reader.spell(node.name)
                value = str(Fraction(self.model.constants[node.name]))
                self.kinds[name], self.values[name] = "number", value
                return name
            case State():
                return self.reader.spelled_state(node).text
            case expr.LearnedScalar() | expr.LearnedOperator() | expr.Bias():
                return self.reader.spell(node.name)
            case expr.Identity() | expr.Input():
                return "I" if isinstance(node, expr.Identity) else "u"
            case expr.Zero():
                return ZERO_FIELD
            case expr.Sum():
                terms = [product_tree([str(s), self.formula_tree(term)]) for s, term in node.terms]
                return sum_tree(terms)
            case expr.Power() if not any(isinstance(n, expr.LearnedScalar) for n in node.walk()):
                return self.constant_tree(node)
            case expr.Quotient():
                reciprocal = ["^", self.formula_tree(node.denominator), "-1"]
                return product_tree([reciprocal, self.formula_tree(node.numerator)])
            case expr.Product() | expr.Compose() | expr.Apply():
                return product_tree([self.formula_tree(factor) for factor in node.children()])
            case expr.Hadamard():  # a sum of one term, which product_tree does not flatten
                return ["+", ["*", *map(self.formula_tree, node.children())]]
            case expr.Activate() if node.activation == LINEAR:
                return self.formula_tree(node.operand)
            case expr.Activate() | expr.MapCall():
                return [*self.stage_tree(node), self.formula_tree(node.operand)]
            case _:
                return [_HEADS[type(node)], *map(self.formula_tree, node.children())]


# type of formula -> the first entry of its tree
_HEADS: dict[type[expr.Node], str] = {expr.Power: "^", expr.Adjoint: "T", expr.Concat: "concat"}


def sum_tree(terms: list[Tree], zero: Tree = ZERO_TREE) -> Tree:
    """The tree of a sum; `zero` is that of no terms."""
    return ["+", *terms] if len(terms) > 1 else terms[0] if terms else zero


def product_tree(factors: list[Tree]) -> Tree:
    """The tree of a product; factors 1 are left out and nested products are flattened."""
    flat_factors: list[Tree] = []
    for factor in factors:
        flat_factors += factor[1:] if isinstance(factor, list) and factor[0] == "*" else [factor]
    flat_factors = [factor for factor in flat_factors if factor != "1"] or ["1"]
    return flat_factors[0] if len(flat_factors) == 1 else ["*", *flat_factors]
