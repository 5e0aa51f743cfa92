"""The fold over formulas, against Python's own arithmetic."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import odenet
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.fold import (
    fold_arithmetic,
    linear_terms,
    map_children,
    product_of,
    sum_of,
)

SMALL = st.fractions(-9, 9, max_denominator=9)
LEAVES = SMALL.map(lambda value: expr.Number(value, str(value)))
X, Y = expr.State("X"), expr.State("Y")


def grown(inner):
    """Formulas made of others of their kind."""
    terms = st.lists(st.tuples(st.sampled_from((1, -1)), inner), min_size=1, max_size=4)
    return st.one_of(
        terms.map(lambda found: expr.Sum(tuple(found))),
        st.builds(expr.Product, LEAVES, inner),
        st.builds(expr.Quotient, inner, LEAVES.filter(lambda number: number.value != 0)),
    )


SCALARS = st.recursive(LEAVES, grown, max_leaves=12)
FIELDS = st.recursive(st.sampled_from((X, Y)), grown, max_leaves=12)


def spelled(node: expr.Node) -> str:
    """A formula as Python text, every part in brackets."""
    match node:
        case expr.Number():
            return f"Fraction({node.value.numerator}, {node.value.denominator})"
        case expr.Sum():
            terms = "".join(f"{sign:+d} * {spelled(term)}" for sign, term in node.terms)
            return f"({terms})"
        case expr.Product():
            return f"({spelled(node.left)} * {spelled(node.right)})"
        case expr.Quotient():
            return f"({spelled(node.numerator)} / {spelled(node.denominator)})"
    assert isinstance(node, expr.State)
    return node.name


def number(node: expr.Node) -> Fraction:
    """The value of a scalar, through the fold."""
    return node.value if isinstance(node, expr.Number) else fold_arithmetic(node, number)


@given(SCALARS)
def test_the_arithmetic_of_a_formula_is_that_of_python(node):
    assert number(node) == eval(spelled(node))


@given(FIELDS, SMALL, SMALL)
def test_a_field_is_the_combination_of_its_parts(node, x, y):
    values = {X: x, Y: y}

    def read(part: expr.Node) -> Fraction:
        if isinstance(part, expr.State):
            return values[part]
        assert isinstance(part, expr.Sum | expr.Product | expr.Quotient)
        return sum(
            (factor * read(inner) for factor, inner in linear_terms(part, number)), Fraction()
        )

    assert read(node) == eval(spelled(node), {"Fraction": Fraction, "X": x, "Y": y})


@given(FIELDS, SMALL, SMALL)
def test_a_formula_rebuilt_with_other_leaves_has_the_value_at_these(node, x, y):
    def swap(part: expr.Node) -> expr.Node:
        return {X: Y, Y: X}[part] if isinstance(part, expr.State) else map_children(part, swap)

    swapped = eval(spelled(swap(node)), {"Fraction": Fraction, "X": x, "Y": y})
    assert swapped == eval(spelled(node), {"Fraction": Fraction, "X": y, "Y": x})


def test_a_formula_rebuilt_keeps_its_span():
    (rate,) = odenet.loads("odenet 1\nstate Y\nY' = Y - 2 Y\n").model.dynamics.rates.values()
    assert rate.span is not None
    assert map_children(rate, lambda part: part).span is rate.span


def test_what_is_no_arithmetic_is_reported_at_its_place():
    with pytest.raises(SpecError, match="a number is wanted here"):
        fold_arithmetic(X, number)


@pytest.mark.parametrize(
    ("width", "message"),
    [
        ("c / 2^0.5", "a channel count is a multiple of `c`"),
        ("2^0.5 c", "a channel count is a multiple of `c`"),
        ("c c", "a channel count is a multiple of `c`"),
        ("1 / c", "`c` cannot divide"),
        ("c / c", "`c` cannot divide"),
        ("c / 0", "this divides by zero"),
        ("c^2", "`c` cannot appear in a power"),
    ],
)
def test_a_channel_count_that_is_not_linear_in_c_is_reported(width, message):
    text = f"odenet 1\nstate Y\nparam K : conv(3, out = {width})\nY' = K Y\n"
    with pytest.raises(SpecError, match=message):
        odenet.loads(text)


@given(st.lists(st.tuples(st.sampled_from((1, -1)), SMALL), min_size=1, max_size=4))
def test_a_sum_of_terms_and_a_product_of_factors_have_their_values(terms):
    nodes = [(sign, expr.Number(value, str(value))) for sign, value in terms]
    total = eval(spelled(sum_of(nodes)))
    assert total == sum(sign * value for sign, value in terms)
    assert eval(spelled(product_of(node for _, node in nodes))) == math.prod(v for _, v in terms)


def test_what_has_no_terms_is_the_zero_field_and_what_has_no_factors_one():
    assert sum_of([]) == expr.Zero()
    assert sum_of([(1, X)]) is X and sum_of([(-1, X)]) == expr.Sum(((-1, X),))
    assert product_of([]) == expr.Number(Fraction(1), "1")
