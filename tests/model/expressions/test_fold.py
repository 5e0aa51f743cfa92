"""Functions that traverse formulas, against Python's own evaluation of the same formulas."""

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

SMALL_FRACTIONS = st.fractions(-9, 9, max_denominator=9)
NUMBERS = SMALL_FRACTIONS.map(lambda value: expr.Number(value, str(value)))
X, Y = expr.State("X"), expr.State("Y")


def larger_formulas(formulas):
    """Sums, products and quotients of the given formulas."""
    terms = st.lists(st.tuples(st.sampled_from((1, -1)), formulas), min_size=1, max_size=4)
    return st.one_of(
        terms.map(lambda drawn: expr.Sum(tuple(drawn))),
        st.builds(expr.Product, NUMBERS, formulas),
        st.builds(expr.Quotient, formulas, NUMBERS.filter(lambda number: number.value != 0)),
    )


SCALARS = st.recursive(NUMBERS, larger_formulas, max_leaves=12)
FIELDS = st.recursive(st.sampled_from((X, Y)), larger_formulas, max_leaves=12)


def python_text(node: expr.Node) -> str:
    """A formula as a Python expression, fully bracketed, whose value is the expected one."""
    match node:
        case expr.Number():
            return f"Fraction({node.value.numerator}, {node.value.denominator})"
        case expr.Sum():
            terms = "".join(f"{sign:+d} * {python_text(term)}" for sign, term in node.terms)
            return f"({terms})"
        case expr.Product():
            return f"({python_text(node.left)} * {python_text(node.right)})"
        case expr.Quotient():
            return f"({python_text(node.numerator)} / {python_text(node.denominator)})"
    assert isinstance(node, expr.State)
    return node.name


def evaluate(node: expr.Node) -> Fraction:
    """The value of a scalar formula by the function under test."""
    return node.value if isinstance(node, expr.Number) else fold_arithmetic(node, evaluate)


@given(SCALARS)
def test_the_arithmetic_of_a_formula_is_that_of_python(node):
    assert evaluate(node) == eval(python_text(node))


@given(FIELDS, SMALL_FRACTIONS, SMALL_FRACTIONS)
def test_a_field_is_the_linear_combination_of_its_linear_terms(node, x, y):
    values = {X: x, Y: y}

    def value_at(part: expr.Node) -> Fraction:
        if isinstance(part, expr.State):
            return values[part]
        assert isinstance(part, expr.Sum | expr.Product | expr.Quotient)
        return sum(
            (factor * value_at(inner) for factor, inner in linear_terms(part, evaluate)), Fraction()
        )

    assert value_at(node) == eval(python_text(node), {"Fraction": Fraction, "X": x, "Y": y})


@given(FIELDS, SMALL_FRACTIONS, SMALL_FRACTIONS)
def test_a_formula_rebuilt_with_other_leaves_has_the_value_at_these(node, x, y):
    def swap(part: expr.Node) -> expr.Node:
        return {X: Y, Y: X}[part] if isinstance(part, expr.State) else map_children(part, swap)

    swapped = eval(python_text(swap(node)), {"Fraction": Fraction, "X": x, "Y": y})
    assert swapped == eval(python_text(node), {"Fraction": Fraction, "X": y, "Y": x})


def test_a_formula_rebuilt_keeps_its_span():
    (rate,) = odenet.loads("odenet 1\nstate Y\nY' = Y - 2 Y\n").model.dynamics.rates.values()
    assert rate.span is not None
    assert map_children(rate, lambda part: part).span is rate.span


def test_arithmetic_refuses_what_is_not_a_number():
    with pytest.raises(SpecError, match="a number is wanted here"):
        fold_arithmetic(X, evaluate)


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


@given(st.lists(st.tuples(st.sampled_from((1, -1)), SMALL_FRACTIONS), min_size=1, max_size=4))
def test_a_sum_of_terms_and_a_product_of_factors_have_their_values(terms):
    nodes = [(sign, expr.Number(value, str(value))) for sign, value in terms]
    total = eval(python_text(sum_of(nodes)))
    assert total == sum(sign * value for sign, value in terms)
    assert eval(python_text(product_of(node for _, node in nodes))) == math.prod(
        v for _, v in terms
    )


def test_an_empty_sum_is_the_zero_field_and_an_empty_product_is_one():
    assert sum_of([]) == expr.Zero()
    assert sum_of([(1, X)]) is X and sum_of([(-1, X)]) == expr.Sum(((-1, X),))
    assert product_of([]) == expr.Number(Fraction(1), "1")
