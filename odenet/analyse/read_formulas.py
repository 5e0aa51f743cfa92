"""From typed formulas to the algebra: numbers, operators, right-hand sides as sums of leaves."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from odenet.analyse.functions import (
    Applied,
    Form,
    Leaf,
    Times,
    affine,
    leading_sign,
    leaf_key,
    never_negative,
    reads_state,
    scaled,
    times,
)
from odenet.analyse.laurent import Scalar
from odenet.analyse.operator_algebra import (
    IDENTITY,
    Diagonal,
    Letter,
    Operator,
    Word,
    added_up,
    word_text,
)
from odenet.analyse.read_numbers import NumberReader, text_of
from odenet.diagnostics import Span
from odenet.model.expressions import expr
from odenet.model.expressions.fold import arithmetic, combination
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.typed.program import Model


class OutsideTheorems(Exception):
    """A formula to which the theorem does not apply; the text says why.

    Attributes:
        span: the piece that is to blame.
    """

    def __init__(self, message: str, span: Span | None):
        super().__init__(message)
        self.span = span


@dataclass(frozen=True)
class Gate:
    """A diagonal made of a field without states: `b * Y`.

    Args:
        leaf: the field.
        word: operators before it.
    """

    leaf: Leaf
    word: Word


class FormulaReader(NumberReader):
    """Reads the formulas of a model.

    Attributes:
        names: spelling -> canonical name of a parameter, or the Gate it means.
    """

    def __init__(self, model: Model):
        super().__init__(model)
        self.names: dict[str, str | Gate] = {}

    def spell(self, name: str) -> str:
        """A name as the author wrote it."""
        spelling = super().spell(name)
        self.names[spelling] = name
        return spelling

    def state(self, state: expr.State) -> expr.State:
        """A state under its author's spelling."""
        return expr.State(self.spell(state.name), state.order)

    # operators

    def operator(self, node: expr.Node) -> Operator:
        """A formula for an operator."""
        match node:
            case expr.Identity():
                return IDENTITY
            case expr.Param():
                return Operator.word((self._letter(node.name),))
            case expr.Adjoint():
                return self.operator(node.of).adjoint
            case expr.Compose():
                return self.operator(node.left) @ self.operator(node.right)
            case expr.Quotient():
                return self.inverse(node.denominator) * self.operator(node.numerator)
            case _:
                return arithmetic(node, self.operator, self.scalar)

    def _letter(self, name: str) -> Letter | Diagonal:
        spelling = self.spell(name)
        learned = self.model.parameters[name]
        if not learned.is_diagonal:
            return Letter(spelling)
        self._note_sign(spelling, learned)
        return Diagonal(((spelling, 1),))

    # fields

    def form(self, node: expr.Node, whole: bool = False) -> Form:
        """A field as operators applied to leaves: states, `u`, biases, and functions of such sums.

        Args:
            node: the formula.
            whole: whether an affine function that an operator acts on stays together, as
                `identity(…)` of it, instead of falling into its states.

        Raises:
            OutsideTheorems: states are stacked along the channels.
        """
        match node:
            case expr.Zero():
                return {}
            case expr.State():
                return {self.state(node): IDENTITY}
            case expr.Sum() | expr.Product() | expr.Quotient():
                return added_up(
                    (leaf, factor * operator)
                    for factor, part in combination(node, self.scalar)
                    for leaf, operator in self.form(part, whole).items()
                )
            case expr.Apply():
                return scaled(self.operator(node.operator), self._operand(node.operand, whole))
            case expr.Activate() if node.activation == LINEAR:
                return self._operand(node.operand, whole)
            case expr.Activate() | expr.MapCall():
                return self._applied(node)
            case expr.Hadamard():
                return self._product(node, whole)
            case _:
                if any(isinstance(inside, expr.State) for inside in node.walk()):
                    message = "states stacked along the channels have no operator word"
                    raise OutsideTheorems(message, node.span)
                return {node: IDENTITY}

    def _applied(self, node: expr.Activate | expr.MapCall) -> Form:
        """A function; an odd one is read with the sign of its argument that is canonical."""
        stage = node.activation if isinstance(node, expr.Activate) else _map(node)
        argument = self.form(node.operand)
        odd = isinstance(stage, expr.Activation) and ACTIVATIONS[stage.name].odd
        sign = leading_sign(affine(argument)) if odd else 1
        factor = Operator.word((), Scalar.number(sign))
        return {Applied(stage, affine(scaled(factor, argument)), node, sign): factor}

    def _operand(self, node: expr.Node, whole: bool) -> Form:
        form = self.form(node, whole)
        states = [leaf for leaf in form if isinstance(leaf, expr.State)]
        others = [leaf for leaf in form if reads_state(leaf) and leaf not in states]
        if whole and states and not others and len(form) > 1:
            return self._applied(expr.Activate(LINEAR, node, span=node.span))
        return form

    def _product(self, node: expr.Hadamard, whole: bool) -> Form:
        """Term by term; where one of two does not depend on the states, it is a diagonal."""
        terms: list[tuple[Leaf, Operator]] = []
        for one, a, leaf in _terms(self.form(node.left, whole)):
            for two, b, other in _terms(self.form(node.right, whole)):
                if reads_state(leaf) == reads_state(other):
                    found, operator = times([(leaf, one), (other, two)], node), IDENTITY
                elif reads_state(other):
                    found, operator = other, self._gate(leaf, one) @ Operator.word(two)
                else:
                    found, operator = leaf, self._gate(other, two) @ Operator.word(one)
                terms.append((found, a * b * operator))
        return added_up(terms)

    def _gate(self, leaf: Leaf, word: Word) -> Operator:
        """The diagonal that a field without states multiplies with."""
        if isinstance(leaf, Times) and not word:
            return reduce(Operator.__matmul__, (self._gate(*factor) for factor in leaf.factors))
        letters = f"{word_text(word)} " if word else ""
        name = self._name_of((leaf, word), f"[{letters}{self.leaf_text(leaf)}]")
        self.names[name] = Gate(leaf, word)
        if isinstance(leaf, expr.Bias) and not word:
            self.learned.add(name)
        if never_negative(leaf) and not word:
            self.nonnegative.add(name)
        return Operator.word((Diagonal(((name, 1),)),))

    def leaf_text(self, leaf: Leaf) -> str:
        """A leaf as its author wrote it."""
        if isinstance(leaf, Applied):
            return ("-" if leaf.sign < 0 else "") + text_of(leaf.node)
        if isinstance(leaf, expr.Bias):
            return self.spell(leaf.name)
        return "u" if isinstance(leaf, expr.Input) else leaf_key(leaf)


LINEAR = expr.Activation("identity")


def _map(node: expr.MapCall) -> expr.Map:
    assert isinstance(node.function, expr.Map)
    return node.function


def _terms(form: Form) -> Iterator[tuple[Word, Scalar, Leaf]]:
    """The single words of a form."""
    for leaf, operator in form.items():
        for word, scalar in operator.terms:
            yield word, scalar, leaf
