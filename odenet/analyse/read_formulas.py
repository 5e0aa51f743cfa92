"""Reads typed formulas as numbers, operators and right-hand sides Σ operator · leaf.

A leaf is a state, a bias, the input, or a function of such a sum (odenet/analyse/functions.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from odenet.analyse import functions
from odenet.analyse.functions import AppliedFunction, ElementwiseProduct, Leaf, NormalForm
from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import (
    IDENTITY,
    Diagonal,
    Letter,
    Operator,
    Word,
    sum_by_key,
    word_text,
)
from odenet.analyse.read_numbers import NumberReader, source_text
from odenet.diagnostics import Span
from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic, linear_terms
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.typed.program import Model

LINEAR = expr.Activation("identity")  # the activation of units whose function is linear


class OutsideTheorems(Exception):
    """The theorems do not apply to a formula; the message says why.

    Attributes:
        span: the part of the text that is the reason.
    """

    def __init__(self, message: str, span: Span | None):
        super().__init__(message)
        self.span = span


@dataclass(frozen=True)
class Gate:
    """A diagonal operator that multiplies by something without states, as b does in `b * Y`.

    Its diagonal is word · leaf.

    Args:
        leaf: a bias, the input or a function of these.
        word: the product of operators applied to it.
    """

    leaf: Leaf
    word: Word


class FormulaReader(NumberReader):
    """Reads the formulas of a model.

    Attributes:
        meanings: what each name in a word means: the author's spelling -> the name in the model, or
            the name that a Gate was given -> that Gate.
    """

    def __init__(self, model: Model):
        super().__init__(model)
        self.meanings: dict[str, str | Gate] = {}

    def spell(self, name: str) -> str:
        """A name as the author wrote it."""
        spelling = super().spell(name)
        self.meanings[spelling] = name
        return spelling

    def spelled_state(self, state: expr.State) -> expr.State:
        """A state under the name by which its author spells it."""
        return expr.State(self.spell(state.name), state.order)

    # operators

    def read_operator(self, node: expr.Node) -> Operator:
        """The operator that a formula describes, as a sum of words."""
        match node:
            case expr.Identity():
                return IDENTITY
            case expr.LearnedOperator():
                return Operator.word((self._letter(node.name),))
            case expr.Adjoint():
                return self.read_operator(node.operand).adjoint
            case expr.Compose():
                return self.read_operator(node.left) @ self.read_operator(node.right)
            case expr.Quotient():
                return self.reciprocal(node.denominator) * self.read_operator(node.numerator)
            case _:
                return fold_arithmetic(node, self.read_operator, self.read_scalar)

    def _letter(self, name: str) -> Letter | Diagonal:
        spelling = self.spell(name)
        parameter = self.model.parameters[name]
        if not parameter.is_diagonal:
            return Letter(spelling)
        self._note_sign(spelling, parameter)
        return Diagonal(powers=((spelling, 1),))

    # right-hand sides

    def normal_form(self, node: expr.Node, keep_affine: bool = False) -> NormalForm:
        """A right-hand side as leaf -> operator; the sum of all operator · leaf is the formula.

        Args:
            node: the formula.
            keep_affine: keep A in `K A` as one leaf, `identity(A)`, if A is affine in the states,
                instead of expanding K A.

        Raises:
            OutsideTheorems: states are concatenated along the channels.
        """
        match node:
            case expr.Zero():
                return {}
            case expr.State():
                return {self.spelled_state(node): IDENTITY}
            case expr.Sum() | expr.Product() | expr.Quotient():
                return sum_by_key(
                    (leaf, factor * operator)
                    for factor, part in linear_terms(node, self.read_scalar)
                    for leaf, operator in self.normal_form(part, keep_affine).items()
                )
            case expr.Apply():
                operator = self.read_operator(node.operator)
                operand = self._operand_form(node.operand, keep_affine)
                return functions.apply_operator(operator, operand)
            case expr.Activate() if node.activation == LINEAR:
                return self._operand_form(node.operand, keep_affine)
            case expr.Activate() | expr.MapCall():
                return self._function_form(node)
            case expr.Hadamard():
                return self._product_form(node, keep_affine)
            case _:
                if any(isinstance(inside, expr.State) for inside in node.walk()):
                    message = "states stacked along the channels have no operator word"
                    raise OutsideTheorems(message, node.span)
                return {node: IDENTITY}

    def _function_form(self, node: expr.Activate | expr.MapCall) -> NormalForm:
        """A function f(x); an odd one as ±f(±x), with that sign for which `leading_sign` is 1."""
        function = node.activation if isinstance(node, expr.Activate) else _map_of(node)
        argument = self.normal_form(node.operand)
        odd = isinstance(function, expr.Activation) and ACTIVATIONS[function.name].odd
        sign = functions.leading_sign(functions.in_canonical_order(argument)) if odd else 1
        factor = Operator.word((), Scalar.number(sign))
        canonical = functions.in_canonical_order(functions.apply_operator(factor, argument))
        return {AppliedFunction(function, canonical, node, sign): factor}

    def _operand_form(self, node: expr.Node, keep_affine: bool) -> NormalForm:
        form = self.normal_form(node, keep_affine)
        states = [leaf for leaf in form if isinstance(leaf, expr.State)]
        is_affine = not functions.inner_functions(form)
        if keep_affine and states and is_affine and len(form) > 1:
            return self._function_form(expr.Activate(LINEAR, node, span=node.span))
        return form

    def _product_form(self, node: expr.Hadamard, keep_affine: bool) -> NormalForm:
        """A product, expanded term by term; a factor without states becomes a diagonal operator."""
        terms: list[tuple[Leaf, Operator]] = []
        for left_word, a, left_leaf in _word_terms(self.normal_form(node.left, keep_affine)):
            for right_word, b, right_leaf in _word_terms(self.normal_form(node.right, keep_affine)):
                if functions.reads_state(left_leaf) == functions.reads_state(right_leaf):
                    pair = [(left_leaf, left_word), (right_leaf, right_word)]
                    leaf, operator = functions.elementwise_product(pair, node.span), IDENTITY
                elif functions.reads_state(right_leaf):
                    gate = self._gate_operator(left_leaf, left_word)
                    leaf, operator = right_leaf, gate @ Operator.word(right_word)
                else:
                    gate = self._gate_operator(right_leaf, right_word)
                    leaf, operator = left_leaf, gate @ Operator.word(left_word)
                terms.append((leaf, a * b * operator))
        return sum_by_key(terms)

    def _gate_operator(self, leaf: Leaf, word: Word) -> Operator:
        """The diagonal operator that multiplies by word · leaf; the leaf reads no state."""
        if isinstance(leaf, ElementwiseProduct) and not word:
            gates = (self._gate_operator(*factor) for factor in leaf.factors)
            return reduce(Operator.__matmul__, gates)
        letters = f"{word_text(word)} " if word else ""
        name = self._unique_name((leaf, word), f"[{letters}{self.leaf_text(leaf)}]")
        self.meanings[name] = Gate(leaf, word)
        if isinstance(leaf, expr.Bias) and not word:
            self.of_unknown_sign.add(name)
        if functions.is_nonnegative(leaf) and not word:
            self.nonnegative.add(name)
        return Operator.word((Diagonal(powers=((name, 1),)),))

    def leaf_text(self, leaf: Leaf) -> str:
        """A leaf as its author wrote it."""
        if isinstance(leaf, AppliedFunction):
            return ("-" if leaf.sign < 0 else "") + source_text(leaf.node)
        if isinstance(leaf, expr.Bias):
            return self.spell(leaf.name)
        return "u" if isinstance(leaf, expr.Input) else functions.canonical_text(leaf)


def _map_of(node: expr.MapCall) -> expr.Map:
    assert isinstance(node.function, expr.Map)
    return node.function


def _word_terms(form: NormalForm) -> Iterator[tuple[Word, Scalar, Leaf]]:
    """The terms of a normal form, one word each: word, coefficient and leaf."""
    for leaf, operator in form.items():
        for word, scalar in operator.terms:
            yield word, scalar, leaf
