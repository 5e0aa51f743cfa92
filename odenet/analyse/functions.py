"""The normal form of a right-hand side: Σ operator · leaf.

A leaf is something other than a sum that an operator is applied to: a state, a bias, the input, or
a function of such a sum. Two functions are equal if all their numbers, operators and offsets are.
Terms with equal functions become one unit (odenet/analyse/read_units.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce

from odenet.analyse.laurent import ZERO, factor_text, signed_sum
from odenet.analyse.operator_algebra import Operator, Word, sum_by_key, word_text
from odenet.diagnostics import Span
from odenet.model.expressions import expr
from odenet.model.tables.activations import ACTIVATIONS


@dataclass(frozen=True)
class AppliedFunction:
    """stage(Σ operator · leaf): an activation, a norm or a map applied to an affine form.

    Args:
        stage: the function: an activation, or a norm or map by name.
        argument: the affine form, in canonical order.
        node: the formula from which this was read.
        sign: -1 if that formula is minus this function, as can happen where the stage is odd.
    """

    stage: expr.Activation | expr.Map
    argument: "AffineForm"
    node: expr.Activate | expr.MapCall = field(compare=False, repr=False)
    sign: int = field(default=1, compare=False, repr=False)

    @cached_property
    def canonical_text(self) -> str:
        """A text to sort terms by; equal functions have equal texts."""
        constants = getattr(self.stage, "constants", ())
        terms = ", ".join(f"{op} @ {canonical_text(leaf)}" for leaf, op in self.argument)
        return f"{self.stage.name}{constants or ''}({terms})"

    @cached_property
    def reads_state(self) -> bool:
        """Whether it depends on the states."""
        return any(reads_state(leaf) for leaf, _ in self.argument)


@dataclass(frozen=True)
class ElementwiseProduct:
    """The elementwise product of factors `word · leaf`, where a word is a product of operators.

    Args:
        factors: leaf and word of each factor, in canonical order.
        node: a formula for the product of the leaves alone, without the words.
        span: the place of the product in the text.
    """

    factors: tuple[tuple["Leaf", Word], ...]
    node: expr.Node = field(compare=False, repr=False)
    span: Span | None = field(default=None, compare=False, repr=False)

    @cached_property
    def canonical_text(self) -> str:
        """A text to sort terms by; equal functions have equal texts."""
        return " * ".join(f"{word_text(w)} @ {canonical_text(leaf)}" for leaf, w in self.factors)

    @cached_property
    def reads_state(self) -> bool:
        """Whether it depends on the states."""
        return any(reads_state(leaf) for leaf, _ in self.factors)


Function = AppliedFunction | ElementwiseProduct
Leaf = expr.Node | Function
NormalForm = dict[Leaf, Operator]
AffineForm = tuple[tuple[Leaf, Operator], ...]


def canonical_text(leaf: Leaf) -> str:
    """A text of a leaf, the same for equal leaves, by which terms are sorted."""
    if isinstance(leaf, Function):
        return leaf.canonical_text
    if isinstance(leaf, expr.State):
        return leaf.text
    return leaf.name if isinstance(leaf, expr.Bias) else repr(leaf)


def reads_state(leaf: Leaf) -> bool:
    """Whether a leaf depends on the states."""
    return leaf.reads_state if isinstance(leaf, Function) else isinstance(leaf, expr.State)


def inner_functions(leaves: Iterable[Leaf]) -> list[Function]:
    """Those of the leaves of an argument that are functions of the states."""
    return [leaf for leaf in leaves if isinstance(leaf, Function) and leaf.reads_state]


def leaf_formula(leaf: Leaf) -> expr.Node:
    """The formula of a leaf."""
    return leaf.node if isinstance(leaf, Function) else leaf


def is_nonnegative(leaf: Leaf) -> bool:
    """Whether a leaf is a function that is >= 0 everywhere."""
    if not isinstance(leaf, AppliedFunction) or not isinstance(leaf.stage, expr.Activation):
        return False
    return ACTIVATIONS[leaf.stage.name].nonnegative


def in_canonical_order(form: NormalForm) -> AffineForm:
    """A normal form with its terms in canonical order, so that equal ones compare equal."""
    return tuple(sorted(form.items(), key=lambda item: canonical_text(item[0])))


def elementwise_product(factors: list[tuple[Leaf, Word]], span: Span | None) -> ElementwiseProduct:
    """The elementwise product of factors `word · leaf`; nested products are flattened."""
    flat: list[tuple[Leaf, Word]] = []
    for leaf, w in factors:
        flat += leaf.factors if isinstance(leaf, ElementwiseProduct) and not w else [(leaf, w)]
    flat.sort(key=lambda factor: (canonical_text(factor[0]), word_text(factor[1])))
    formula = reduce(expr.Hadamard, (leaf_formula(leaf) for leaf, _ in flat))
    return ElementwiseProduct(tuple(flat), formula, span)


def leading_sign(argument: AffineForm) -> int:
    """The sign of the first coefficient; an argument and its negative have opposite signs."""
    for _, operator in argument:
        for _, scalar in operator.terms:
            return -1 if scalar.terms[0][1] < 0 else 1
    return 1


def apply_operator(factor: Operator, form: NormalForm) -> NormalForm:
    """An operator applied to every term of a normal form."""
    return sum_by_key((leaf, factor @ operator) for leaf, operator in form.items())


def affine_text(argument: AffineForm, names: dict[Leaf, str]) -> str:
    """`K Y + b`; a leaf without an entry in `names` is printed as its canonical text."""
    return signed_sum(_signed_terms(argument, names)) if argument else "0"


def _signed_terms(argument: AffineForm, names: dict[Leaf, str]) -> Iterator[tuple[int, str]]:
    """The sign of each term, and its text without that sign."""
    for leaf, operator in argument:
        name = names.get(leaf, canonical_text(leaf))
        word, scalar = operator.terms[0] if len(operator.terms) == 1 else ((), ZERO)
        if not scalar:
            yield 1, f"({operator}) {name}"
            continue
        word_prefix = f"{word_text(word)} " if word else ""
        yield scalar.printed_sign, f"{factor_text(scalar.unsigned)}{word_prefix}{name}"
