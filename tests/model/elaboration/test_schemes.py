"""Schemes as typed rules: updates, starts, constants and patterns."""

from fractions import Fraction

import pytest

from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Constant, Rate, Slot, Stage
from odenet.model.typed.scheme import Pattern
from tests.language.spec_texts import SCHEMES
from tests.model.load_models import error_messages, load_model, one_state_spec


def load_scheme(lines):
    """The typed scheme that has these lines."""
    spec = "state Y\nparam K : conv(3)\nY' = K Y\ndiscretise mine(h = 0.1)\n"
    return load_model(f"{spec}scheme mine {{\n{lines}\n}}\n").scheme


@pytest.mark.parametrize("name", library_names())
def test_every_scheme_of_the_library_is_read(name):
    scheme = library_scheme(name)
    assert scheme.name == name
    assert scheme.text.startswith(f"scheme {name}")
    assert {u.target.name for u in scheme.updates if isinstance(u.target, Slot)} == set(
        scheme.unknowns
    )


def test_the_library_is_the_folder():
    assert library_names() == tuple(path.stem for path in SCHEMES)
    assert {"euler", "verlet", "midpoint", "leapfrog", "momentum"} <= set(library_names())


def test_lines_are_kept_in_the_author_s_order_of_operations():
    scheme = load_scheme("for Y' = F(Y)\nk = F(Y[n] + h/2 F(Y[n]))\nY[n+1] = Y[n] + h k")
    current = Slot("Y", 0)
    half_step = expr.Quotient(Constant("h"), expr.Number(Fraction(2), "2"))
    midpoint = expr.Sum(((1, current), (1, expr.Product(half_step, Rate("F", (current,))))))
    assert [(u.target, u.value) for u in scheme.updates] == [
        (Stage("k"), Rate("F", (midpoint,))),
        (Slot("Y", 1), expr.Sum(((1, current), (1, expr.Product(Constant("h"), Stage("k")))))),
    ]


def test_a_scheme_keeps_the_values_that_it_looks_back_to():
    lines = "for Y' = F(Y)\naux v\nstart Y[-1] = 0\nstart Y[-2] = Y[0]\nstart v[0] = F(Y[0])\n"
    scheme = load_scheme(lines + "v[n+1] = v[n]\nY[n+1] = Y[n-2] + h F(Y[n]) + v[n+1]")
    assert scheme.slots == (Slot("Y", -2), Slot("Y", -1), Slot("Y", 0), Slot("v", 0))
    assert scheme.unknowns == ("Y", "v")
    assert dict(scheme.starts)[Slot("v", 0)] == Rate("F", (Slot("Y", 0),))


def test_patterns_say_what_each_right_hand_side_reads():
    patterns = library_scheme("verlet").patterns
    assert patterns == (Pattern("Y", 1, "F", ("Z",)), Pattern("Z", 1, "G", ("Y",)))
    assert library_scheme("leapfrog").patterns == (Pattern("Y", 2, "F", ("Y",)),)


def test_constants_have_defaults_or_must_be_given():
    lines = "for Y' = F(Y)\nlet b = 1 - a\nY[n+1] = Y[n] + (a + b) d h F(Y[n])"
    use = "discretise mine(1/4, h = 0.1)"
    text = f"state Y\nY' = Y\n{use}\nscheme mine(a, d = 2/3) {{\n{lines}\n}}"
    assert load_model(text).discretisation.constants == {"a": Fraction(1, 4), "d": Fraction(2, 3)}
    assert error_messages(text.replace("1/4, ", "")) == ["mine needs a value for `a`"]
    assert load_model(text, a=0.5, d="1/2").discretisation.constants == {
        "a": Fraction(1, 2), "d": Fraction(1, 2),
    }  # fmt: skip


def test_a_scheme_without_a_step_size_takes_none():
    scheme = library_scheme("momentum")
    assert not scheme.uses_step_size
    discretisation = load_model(
        "state x\nmap f = relu\nx' = f(x)\ndiscretise momentum"
    ).discretisation
    assert (discretisation.h, discretisation.final_time) == (None, None)
    assert discretisation.constants == {"gamma": Fraction(9, 10)}


def test_a_start_can_be_replaced_where_the_scheme_is_used():
    text = "state x\nmap f = relu\nlet k = 2\nx' = f(x)\ndiscretise momentum start v[0] = {}"
    rate = Rate("f", (Slot("x", 0),))
    assert load_model(text.format("f(x[0])")).discretisation.starts == ((Slot("v", 0), rate),)
    product = expr.Product(Constant("k"), Slot("x", 0))
    assert load_model(text.format("k x[0]")).discretisation.starts == ((Slot("v", 0), product),)


def test_the_schemes_of_a_file_come_before_or_after_their_use():
    lines = "scheme mine {\nfor Y' = F(Y)\nY[n+1] = Y[n] + h F(Y[n])\n}\n"
    text = one_state_spec("Y").replace("euler", "mine")
    assert load_model(lines + text).scheme == load_model(text + lines).scheme


def test_an_unknown_scheme_is_reported():
    (message,) = error_messages(one_state_spec("Y").replace("euler", "wholly"))
    assert message == "unknown scheme `wholly`"
