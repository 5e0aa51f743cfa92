"""Fields in one normal form: sums of operators applied to functions that are not sums.

The functions are compared by what they are made of, each number, operator and offset in its place.
Their equality is the only one by which units are merged (odenet/analyse/read_units.py).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, reduce

from odenet.analyse.laurent import ZERO, factor_text, signed_sum
from odenet.analyse.operator_algebra import Operator, Word, added_up, word_text
from odenet.diagnostics import Span
from odenet.model.expressions import expr
from odenet.model.tables.activations import ACTIVATIONS


@dataclass(frozen=True)
class Applied:
    """stage(Σ operator · leaf): an activation, a norm or a map of a field.

    Args:
        stage: what is applied; norms and maps by name.
        argument: what to, in canonical order.
        node: the formula it was read from.
        sign: -1 if that formula is minus this function, which happens where the stage is odd.
    """

    stage: expr.Activation | expr.Map
    argument: "Affine"
    node: expr.Activate | expr.MapCall = field(compare=False, repr=False)
    sign: int = field(default=1, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """A text by which to sort; equal functions have the same."""
        constants = getattr(self.stage, "constants", ())
        inside = ", ".join(f"{operator} @ {leaf_key(leaf)}" for leaf, operator in self.argument)
        return f"{self.stage.name}{constants or ''}({inside})"

    @cached_property
    def reads_state(self) -> bool:
        """Whether it depends on the states."""
        return any(reads_state(leaf) for leaf, _ in self.argument)


@dataclass(frozen=True)
class Times:
    """The element-wise product of some leaves, each behind a word of operators.

    Args:
        factors: in canonical order.
        node: a formula of it, where all factors are functions without a word before them.
        span: the product it was read from.
    """

    factors: tuple[tuple["Leaf", Word], ...]
    node: expr.Node = field(compare=False, repr=False)
    span: Span | None = field(default=None, compare=False, repr=False)

    @cached_property
    def key(self) -> str:
        """A text by which to sort; equal functions have the same."""
        return " * ".join(f"{word_text(word)} @ {leaf_key(leaf)}" for leaf, word in self.factors)

    @cached_property
    def reads_state(self) -> bool:
        """Whether it depends on the states."""
        return any(reads_state(leaf) for leaf, _ in self.factors)


Leaf = expr.Node | Applied | Times
Form = dict[Leaf, Operator]
Affine = tuple[tuple[Leaf, Operator], ...]


def leaf_key(leaf: Leaf) -> str:
    """A text by which to sort."""
    if isinstance(leaf, Applied | Times):
        return leaf.key
    if isinstance(leaf, expr.State):
        return leaf.written
    return leaf.name if isinstance(leaf, expr.Bias) else repr(leaf)


def reads_state(leaf: Leaf) -> bool:
    """Whether a leaf depends on the states."""
    if isinstance(leaf, Applied | Times):
        return leaf.reads_state
    return isinstance(leaf, expr.State)


def written(leaf: Leaf) -> expr.Node:
    """The formula of a leaf."""
    return leaf.node if isinstance(leaf, Applied | Times) else leaf


def never_negative(leaf: Leaf) -> bool:
    """Whether a function is >= 0 whatever it is applied to."""
    if not isinstance(leaf, Applied) or not isinstance(leaf.stage, expr.Activation):
        return False
    return ACTIVATIONS[leaf.stage.name].nonnegative


def affine(form: Form) -> Affine:
    """A form in canonical order, to be compared."""
    return tuple(sorted(form.items(), key=lambda item: leaf_key(item[0])))


def times(factors: Iterable[tuple[Leaf, Word]], node: expr.Hadamard) -> Times:
    """The product of leaves behind words, products in it taken apart."""
    found: list[tuple[Leaf, Word]] = []
    for leaf, word in factors:
        found += leaf.factors if isinstance(leaf, Times) and not word else [(leaf, word)]
    found.sort(key=lambda factor: (leaf_key(factor[0]), word_text(factor[1])))
    formula = reduce(expr.Hadamard, (written(leaf) for leaf, _ in found))
    return Times(tuple(found), formula, node.span)


def leading_sign(argument: Affine) -> int:
    """The sign of the first coefficient: that of the negative is the opposite."""
    for _, operator in argument:
        for _, scalar in operator.terms:
            return -1 if scalar.terms[0][1] < 0 else 1
    return 1


def scaled(factor: Operator, form: Form) -> Form:
    """An operator applied to a form."""
    return added_up((leaf, factor @ operator) for leaf, operator in form.items())


def affine_text(argument: Affine, names: dict[Leaf, str]) -> str:
    """`K Y + b`; leaves that have no name in `names` show their key."""
    return signed_sum(_terms(argument, names)) if argument else "0"


def _terms(argument: Affine, names: dict[Leaf, str]) -> Iterator[tuple[int, str]]:
    for leaf, operator in argument:
        name = names.get(leaf, leaf_key(leaf))
        word, scalar = operator.terms[0] if len(operator.terms) == 1 else ((), ZERO)
        if not scalar:
            yield 1, f"({operator}) {name}"
            continue
        letters = f"{word_text(word)} " if word else ""
        yield scalar.sign, f"{factor_text(scalar.unsigned)}{letters}{name}"
