"""From typed formulas to the algebra: numbers, operators, right-hand sides as sums of leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from odenet.analyse.laurent import ONE, Scalar
from odenet.analyse.operator_algebra import IDENTITY, NOTHING, Diagonal, Letter, Operator
from odenet.diagnostics import Span
from odenet.model import expr
from odenet.model.numbers import NotANumber, Width, evaluate
from odenet.model.program import Model

Form = dict[expr.Node, Operator]


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
    """A diagonal made of a field without states: `b * Y`."""

    node: expr.Node


class FormulaReader:
    """Reads the formulas of a model.

    Attributes:
        values: of the `let`s, by their spelling.
        learned: spellings of the learned scalars and diagonals: their sign is not known.
        names: spelling -> canonical name of a parameter, or the Gate it stands for.
        symbols: the formula behind each symbol of a number.
    """

    def __init__(self, model: Model):
        self.model = model
        self.values: dict[str, Fraction] = {}
        self.learned: set[str] = set()
        self.names: dict[str, str | Gate] = {}
        self.symbols: dict[str, expr.Node] = {}
        self._numbers: Mapping[str, Fraction | float | Width] = model.constants

    def spell(self, name: str) -> str:
        """A name as the author wrote it."""
        spelling = self.model.spellings.get(name, name)
        self.names[spelling] = name
        return spelling

    def state(self, state: expr.State) -> expr.State:
        """A state under its author's spelling."""
        return expr.State(self.spell(state.name), state.order)

    # numbers

    def scalar(self, node: expr.Node) -> Scalar:
        """A formula for a number; what is no sum of monomials is a symbol of its own."""
        match node:
            case expr.Number():
                return Scalar.number(node.value)
            case expr.Constant():
                return self._symbol(self.spell(node.name), node)
            case expr.Learned():
                spelling = self.spell(node.name)
                self.learned.add(spelling)
                self.symbols[spelling] = node
                return Scalar.symbol(spelling)
            case expr.Sum():
                total = Scalar()
                for sign, term in node.terms:
                    total += Scalar.number(sign) * self.scalar(term)
                return total
            case expr.Product():
                return self.scalar(node.left) * self.scalar(node.right)
            case expr.Quotient():
                return self.scalar(node.numerator) * self.inverse(node.denominator)
            case expr.Power(base, expr.Number(value)) if value.denominator == 1 and abs(value) < 9:
                factor = self.scalar(base) if value > 0 else self.inverse(base)
                product = ONE
                for _ in range(abs(int(value))):
                    product = product * factor
                return product
        return self._symbol(f"({_text(node)})", node)

    def inverse(self, node: expr.Node) -> Scalar:
        """One over a number."""
        below = self.scalar(node)
        quotient = ONE.over(below) if below else None
        return quotient or self._symbol(f"1/({_text(node)})", expr.Quotient(_ONE, node))

    def _symbol(self, name: str, node: expr.Node) -> Scalar:
        """A number by name; its value is kept if it has one, and a zero is a zero."""
        self.symbols[name] = node
        try:
            value = evaluate(node, self._numbers)
        except NotANumber:
            return Scalar.symbol(name)
        assert not isinstance(value, Width)
        if value == 0:
            return Scalar()
        self.values[name] = Fraction(value)
        return Scalar.symbol(name)

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
            case expr.Product():
                return self.scalar(node.left) * self.operator(node.right)
            case expr.Quotient():
                return self.inverse(node.denominator) * self.operator(node.numerator)
            case expr.Sum():
                total = NOTHING
                for sign, term in node.terms:
                    total = total + Scalar.number(sign) * self.operator(term)
                return total
        raise AssertionError(node)

    def _letter(self, name: str) -> Letter | Diagonal:
        spelling = self.spell(name)
        if not self.model.parameters[name].is_diagonal:
            return Letter(spelling)
        self.learned.add(spelling)
        return Diagonal(((spelling, 1),))

    def _gate(self, node: expr.Node) -> Operator:
        """The diagonal that a field without states multiplies with."""
        name = f"[{_text(node)}]"
        self.names[name] = Gate(node)
        if isinstance(node, expr.Bias):
            self.learned.add(name)
        return Operator.word((Diagonal(((name, 1),)),))

    # fields

    def form(self, node: expr.Node, whole: bool = False) -> Form:
        """A field as operators applied to leaves.

        Leaves are states, whatever reads no state, and activations, norms and maps of what does.

        Args:
            node: the formula.
            whole: whether an affine function that an operator acts on stays together, as
                `identity(…)` of it, instead of falling into its states.

        Raises:
            OutsideTheorems: two fields that depend on the states are multiplied or stacked.
        """
        if isinstance(node, expr.Zero):
            return {}
        if isinstance(node, expr.State) or not reads_state(node):
            return {node: IDENTITY}
        match node:
            case expr.Sum():
                total: Form = {}
                for sign, term in node.terms:
                    factor = Operator.word((), Scalar.number(sign))
                    total = _add(total, _scaled(factor, self.form(term, whole)))
                return total
            case expr.Product():
                factor = Operator.word((), self.scalar(node.left))
                return _scaled(factor, self.form(node.right, whole))
            case expr.Quotient():
                factor = Operator.word((), self.inverse(node.denominator))
                return _scaled(factor, self.form(node.numerator, whole))
            case expr.Apply():
                return _scaled(self.operator(node.operator), self._operand(node.operand, whole))
            case expr.Activate() if node.activation == LINEAR:
                return self._operand(node.operand, whole)
            case expr.Activate() | expr.Call():
                return {node: IDENTITY}
            case expr.Hadamard():
                return self._product(node, whole)
        raise OutsideTheorems("states stacked along the channels have no operator word", node.span)

    def _operand(self, node: expr.Node, whole: bool) -> Form:
        form = self.form(node, whole)
        states = [leaf for leaf in form if isinstance(leaf, expr.State)]
        others = [leaf for leaf in form if reads_state(leaf) and leaf not in states]
        if whole and states and not others and len(form) > 1:
            return {expr.Activate(LINEAR, node, span=node.span): IDENTITY}
        return form

    def _product(self, node: expr.Hadamard, whole: bool) -> Form:
        free = [part for part in (node.left, node.right) if not reads_state(part)]
        if not free:
            raise OutsideTheorems(
                "a product of two fields that both depend on the states has a Jacobian whose sign "
                "changes with the state", node.span,
            )  # fmt: skip
        other = node.right if free[0] is node.left else node.left
        return _scaled(self._gate(free[0]), self.form(other, whole))


LINEAR = expr.Activation("identity")
_ONE = expr.Number(Fraction(1), "1")


def reads_state(node: expr.Node) -> bool:
    """Whether a formula depends on the states."""
    return any(isinstance(inside, expr.State) for inside in node.walk())


def _add(one: Form, other: Form) -> Form:
    total = dict(one)
    for leaf, operator in other.items():
        total[leaf] = total.get(leaf, NOTHING) + operator
    return {leaf: operator for leaf, operator in total.items() if operator}


def _scaled(factor: Operator, form: Form) -> Form:
    products = {leaf: factor @ operator for leaf, operator in form.items()}
    return {leaf: operator for leaf, operator in products.items() if operator}


def _text(node: expr.Node) -> str:
    """A formula as it was written."""
    return " ".join(node.span.text.split()) if node.span else repr(node)
