"""Formulas as typed expressions: what juxtaposition means, and the order of operations."""

from fractions import Fraction

import pytest

from odenet.model.expressions import expr
from tests.model.load_models import error_messages, load_model, load_right_hand_side, one_state_spec

Y = expr.State("Y")
K, L = expr.LearnedOperator("K"), expr.LearnedOperator("L")
b = expr.Bias("b")
a, d = expr.Constant("a"), expr.Constant("d")
g = expr.LearnedScalar("g")
f = expr.Map("f")
relu = expr.Activation("relu")
I = expr.Identity()  # noqa: E741 - its name in the language
DECLARATIONS = """
param K, L : conv(3)
param D : diag
param b : bias
param g : scalar
map f = relu -> conv(3)
let a = 1/2
let d = 3
"""
# A summand that reads every declaration, since an unused parameter is an error.
USES = "0 * (K Y + L Y + D Y + b + f(Y) + g Y)"


# Short names for the nodes of formulas.
def number(text):
    return expr.Number(Fraction(text), text)


def sum_of(*terms):
    return expr.Sum(tuple((1, term) for term in terms))


def negative(term):
    return expr.Sum(((-1, term),))


def apply(operator, operand):
    return expr.Apply(operator, operand)


def first_summand(text):
    """The formula that this text becomes as the first summand of a right-hand side."""
    (_, first), *_ = load_right_hand_side(f"{text} + {USES}", DECLARATIONS).terms
    return first


FORMULAS = [
    # juxtaposition, from the right; numbers that stand together are multiplied first
    ("K Y", apply(K, Y)),
    ("K L Y", apply(K, apply(L, Y))),
    ("(K L) Y", apply(expr.Compose(K, L), Y)),
    ("a K Y", expr.Product(a, apply(K, Y))),
    ("2 a K Y", expr.Product(expr.Product(number("2"), a), apply(K, Y))),
    ("K a Y", apply(K, expr.Product(a, Y))),
    ("g K Y", expr.Product(g, apply(K, Y))),
    # `*`
    ("K Y * Y", expr.Hadamard(apply(K, Y), Y)),
    ("a * K Y", expr.Product(a, apply(K, Y))),
    ("Y * a", expr.Product(a, Y)),
    ("Y * Y * Y", expr.Hadamard(expr.Hadamard(Y, Y), Y)),
    # `/`
    ("Y / 2", expr.Quotient(Y, number("2"))),
    ("a / 2 * Y", expr.Product(expr.Quotient(a, number("2")), Y)),
    ("a/2 Y", expr.Product(expr.Quotient(a, number("2")), Y)),
    ("K Y / 2", expr.Quotient(apply(K, Y), number("2"))),
    ("1/2 K Y", expr.Product(expr.Quotient(number("1"), number("2")), apply(K, Y))),
    ("7/24 a Y", expr.Product(
        expr.Product(expr.Quotient(number("7"), number("24")), a), Y)),
    ("Y / a / d", expr.Quotient(expr.Quotient(Y, a), d)),
    ("Y * Y / 3", expr.Quotient(expr.Hadamard(Y, Y), number("3"))),
    ("Y * a/2 Y", expr.Hadamard(Y, expr.Product(expr.Quotient(a, number("2")), Y))),
    # signs and sums
    ("-K Y", negative(apply(K, Y))),
    ("-a Y + K Y", expr.Sum(((-1, expr.Product(a, Y)), (1, apply(K, Y))))),
    ("Y - (Y - Y)", expr.Sum(((1, Y), (-1, expr.Sum(((1, Y), (-1, Y))))))),
    ("K (Y + b)", apply(K, sum_of(Y, b))),
    ("(a + d) Y", expr.Product(sum_of(a, d), Y)),
    # powers
    ("a^2 Y", expr.Product(expr.Power(a, number("2")), Y)),
    ("2^(1/3) Y", expr.Product(
        expr.Power(number("2"), expr.Quotient(number("1"), number("3"))), Y)),
    ("2 a^2 K Y", expr.Product(
        expr.Product(number("2"), expr.Power(a, number("2"))), apply(K, Y))),
    # functions take the brackets that follow
    ("relu(Y)", expr.Activate(relu, Y)),
    ("relu (Y)", expr.Activate(relu, Y)),
    ("K relu(K Y + b)", apply(K, expr.Activate(relu, sum_of(apply(K, Y), b)))),
    ("f(Y)", expr.MapCall(f, Y)),
    ("relu(f(Y))", expr.Activate(relu, expr.MapCall(f, Y))),
    ("leaky_relu(a)(Y)", expr.Activate(expr.Activation("leaky_relu", (a,)), Y)),
    ("u + Y", sum_of(expr.Input(), Y)),
    # the algebra of operators
    ("(K - K^T) Y", apply(expr.Sum(((1, K), (-1, expr.Adjoint(K)))), Y)),
    ("(K - K^T - a I) Y", apply(
        expr.Sum(((1, K), (-1, expr.Adjoint(K)), (-1, expr.Product(a, I)))), Y)),
    ("(K / 2) Y", apply(expr.Quotient(K, number("2")), Y)),
    ("(2 K + L) Y", apply(sum_of(expr.Product(number("2"), K), L), Y)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FORMULAS, ids=[text for text, _ in FORMULAS])
def test_a_formula_means_what_it_means_on_paper(text, expected):
    assert first_summand(f"({text})") == expected


ADJOINTS = [
    ("K^T", expr.Adjoint(K)),
    ("Kᵀ", expr.Adjoint(K)),
    ("(K^T)^T", K),
    ("(K L)^T", expr.Compose(expr.Adjoint(L), expr.Adjoint(K))),
    ("(K^T L)^T", expr.Compose(expr.Adjoint(L), K)),
    ("(a K)^T", expr.Product(a, expr.Adjoint(K))),
    ("(K / d)^T", expr.Quotient(expr.Adjoint(K), d)),
    ("(K - 2 L^T)^T", expr.Sum(((1, expr.Adjoint(K)), (-1, expr.Product(number("2"), L))))),
    ("I^T", I),
    ("D^T", expr.LearnedOperator("D")),
    ("(D K)^T", expr.Compose(expr.Adjoint(K), expr.LearnedOperator("D"))),
]


@pytest.mark.parametrize(("text", "expected"), ADJOINTS, ids=[text for text, _ in ADJOINTS])
def test_an_adjoint_moves_inwards_to_the_parameters(text, expected):
    assert first_summand(f"{text} Y") == apply(expected, Y)


def test_a_zero_right_hand_side_is_the_zero_field():
    assert load_right_hand_side("0") == expr.Zero()


def test_a_let_may_name_a_number_an_activation_an_operator_or_a_field():
    lets = "param K : conv(3)\nlet s = leaky_relu(0.1)\nlet A = K - K^T\nlet F = s(A Y)\nlet n = 2"
    activation = expr.Activation("leaky_relu", (number("0.1"),))
    antisymmetric = expr.Sum(((1, K), (-1, expr.Adjoint(K))))
    field = expr.Activate(activation, apply(antisymmetric, Y))
    assert load_right_hand_side("n F", lets) == expr.Product(expr.Constant("n"), field)


def test_a_let_of_a_learned_number_is_replaced_by_its_formula():
    assert load_right_hand_side("a Y", "param g : scalar\nlet a = 2 g") == expr.Product(
        expr.Product(number("2"), g), Y
    )


def test_lets_may_be_used_before_the_line_that_defines_them():
    model = load_model(one_state_spec("a Y", "let a = d + 1\nlet d = 3"))
    assert model.constants == {"a": 4, "d": 3}


def test_numbers_are_exact():
    lets = "let a = 1/3 + 1/6\nlet d = 2^10 / 3\nlet e = -(2 - 1/2)^2"
    model = load_model(one_state_spec("a d e Y", lets))
    assert model.constants == {"a": Fraction(1, 2), "d": Fraction(1024, 3), "e": Fraction(-9, 4)}


def test_an_irrational_power_is_a_float():
    (value,) = load_model(one_state_spec("a Y", "let a = 2^(1/2)")).constants.values()
    assert value == pytest.approx(2**0.5, abs=0)


def test_all_errors_of_a_formula_are_found():
    assert error_messages(one_state_spec("(K + 1) Y + Y Y + q", "param K : conv(3)")) == [
        "an operator and a number cannot be added",
        "two fields side by side are not a product",
        "unknown name `q`",
    ]
    assert error_messages(one_state_spec("relu(p) * q(Y, r)", "")) == [
        "unknown name `p`", "unknown name `q`", "unknown name `r`",
    ]  # fmt: skip
