"""Operators as sums of words such as `K^T d K` with coefficients: the algebra is that of matrices."""

from fractions import Fraction
from math import prod

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from odenet.analyse.laurent import ONE, Scalar, Signs, common_factor
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator, word_powers, word_root
from odenet.analyse.squares import negated, negative_squares, sum_of_squares

SYMBOL_VALUES = {"γ": Fraction(7, 10), "ε": Fraction(19, 10), "g": Fraction(-2, 5)}
SIZE = 3

numbers = st.fractions(-3, 3, max_denominator=4)
powers = st.tuples(st.sampled_from(sorted(SYMBOL_VALUES)), st.sampled_from([-1, 1, 2]))
monomials = st.tuples(numbers, st.lists(powers, max_size=2))
letters = st.one_of(
    st.builds(Letter, st.sampled_from("KLM"), st.booleans()),
    st.builds(lambda name: Diagonal(((name, 1),)), st.sampled_from("de")),
)


@st.composite
def scalars(draw) -> Scalar:
    total = Scalar()
    for number, factors in draw(st.lists(monomials, max_size=2)):
        term = Scalar.number(number)
        for name, power in factors:
            symbol = Scalar.symbol(name)
            term = term * symbol if power > 0 else term.over(symbol) or term
            term = term * symbol if power == 2 else term
        total = total + term
    return total


@st.composite
def operators(draw) -> Operator:
    total = Operator()
    for scalar, word in draw(
        st.lists(st.tuples(scalars(), st.lists(letters, max_size=3)), max_size=3)
    ):
        product = Operator.word((), scalar)
        for letter in word:
            product = product @ Operator.word((letter,))
        total = total + product
    return total


def scalar_value(scalar: Scalar) -> Fraction:
    """The exact value of a scalar where its symbols have SYMBOL_VALUES."""
    return sum(
        (
            coefficient * prod(SYMBOL_VALUES[name] ** power for name, power in monomial)
            for monomial, coefficient in scalar.terms
        ),
        Fraction(0),
    )


def matrix(operator: Operator) -> np.ndarray:
    """The oracle: an operator as a matrix, with a fixed random matrix for each letter."""
    rng = np.random.default_rng(0)
    matrices = {name: rng.standard_normal((SIZE, SIZE)) for name in "KLM"}
    diagonals = {name: np.exp(rng.standard_normal(SIZE)) for name in "de"}
    total = np.zeros((SIZE, SIZE))
    for word, scalar in operator.terms:
        product = np.eye(SIZE)
        for letter in word:
            if isinstance(letter, Letter):
                product = product @ (
                    matrices[letter.name].T if letter.adjoint else matrices[letter.name]
                )
            else:
                for name, power in letter.powers:
                    product = product @ np.diag(diagonals[name] ** float(power))
        total += float(scalar_value(scalar)) * product
    return total


def close(left: np.ndarray, right: np.ndarray) -> bool:
    return np.allclose(left, right, rtol=1e-7, atol=1e-6 * (1 + abs(left).max()))


@given(operators(), operators())
def test_sums_products_and_adjoints_are_those_of_matrices(a: Operator, b: Operator):
    assert close(matrix(a + b), matrix(a) + matrix(b))
    assert close(matrix(a - b), matrix(a) - matrix(b))
    assert close(matrix(a @ b), matrix(a) @ matrix(b))
    assert close(matrix(a.adjoint), matrix(a).T)


@given(operators(), operators(), operators())
def test_the_laws_of_a_ring_with_involution_hold_exactly(a: Operator, b: Operator, c: Operator):
    assert a @ (b + c) == a @ b + a @ c
    assert (a @ b) @ c == a @ (b @ c)
    assert (a @ b).adjoint == b.adjoint @ a.adjoint
    assert a.adjoint.adjoint == a
    assert not a - a


@given(scalars(), scalars())
def test_the_arithmetic_of_scalars_is_exact(a: Scalar, b: Scalar):
    assert scalar_value(a * b) == scalar_value(a) * scalar_value(b)
    assert scalar_value(a + b) == scalar_value(a) + scalar_value(b)
    assert not a - a
    quotient = a.over(b) if b else None
    assert quotient is None or quotient * b == a


@given(scalars())
@example(Scalar.number(Fraction(-5, 2)) - (ONE.over(Scalar.symbol("g")) or ONE))  # zero at g = -2/5
def test_the_sign_of_a_scalar_is_that_of_its_value(a: Scalar):
    value = scalar_value(a)
    sign = Signs(SYMBOL_VALUES).sign_of(a)
    assert sign == (value > 0) - (value < 0)
    sign_without_values = Signs({}, frozenset({"γ", "ε"})).sign_of(a)
    assert sign_without_values in (None, sign)


@given(st.lists(scalars(), min_size=1, max_size=3))
def test_a_common_factor_leaves_whole_numbers(terms: list[Scalar]):
    common = common_factor(terms)
    for scalar in terms:
        quotient = scalar.over(common)
        assert quotient is not None and quotient * common == scalar
        assert all(c.denominator == 1 and all(p > 0 for _, p in m) for m, c in quotient.terms)


@given(st.lists(letters, max_size=3))
def test_the_root_of_a_square_is_found(word: list):
    factor = Operator.word(())
    for letter in word:
        factor = factor @ Operator.word((letter,))
    ((square, _),) = (factor.adjoint @ factor).terms
    root_word = word_root(square, nonnegative=frozenset(name for name, _ in word_powers(square)))
    assert root_word is not None
    root = Operator.word(root_word)
    assert root.adjoint @ root == Operator.word(square)


@given(st.lists(st.lists(operators(), min_size=2, max_size=2), min_size=1, max_size=2))
def test_what_is_called_negative_is_a_sum_of_squares(rows: list[list[Operator]]):
    total = negated(
        tuple(
            tuple(sum((row[i].adjoint @ row[j] for row in rows), Operator()) for j in range(2))
            for i in range(2)
        )
    )
    signs = Signs(SYMBOL_VALUES)
    squares = negative_squares(total, signs)
    if squares is not None:
        assert sum_of_squares(squares, 2) == negated(total)
        assert all(signs.sign_of(square.weight) == 1 for square in squares)


def test_single_squares_and_their_sums_are_recognised():
    k, m, identity = (
        Operator.word((Letter("K"),)),
        Operator.word((Letter("M"),)),
        Operator.word(()),
    )
    for w in ([k, m], [k + m, identity], [k - k.adjoint, k], [identity, k @ m]):
        total = tuple(tuple(-(a.adjoint @ b) for b in w) for a in w)
        assert negative_squares(total, Signs({})) is not None
    assert negative_squares(((k.adjoint @ k,),), Signs({})) is None
    assert negative_squares(((-k - k.adjoint,),), Signs({})) is None


def test_operators_are_printed_as_one_writes_them():
    k, m = Operator.word((Letter("K"),)), Operator.word((Letter("M", adjoint=True),))
    half, gamma = Scalar.number(Fraction(1, 2)), Scalar.symbol("γ")
    assert str(-(gamma * Operator.word(())) + k - k.adjoint) == "K - Kᵀ - γ I"
    assert str(half * (k @ m) - (ONE + gamma) * m) == "1/2 K Mᵀ + (-1 - γ) Mᵀ"
    d = Operator.word((Diagonal((("d", 1),)),))
    assert str(k @ d @ d) == "K d²"
    assert str(Operator()) == "0"
