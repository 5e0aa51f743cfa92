"""Texts that would take very long to work out are refused at their line, or their claims left open.

Numbers of a recipe that are out of bounds are refused too.
The limits count operations, not seconds, so that the answer is the same on every machine.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odenet.analyse.operator_algebra import Operator
from odenet.analyse.step_matrix import step_matrix_stability
from odenet.compiler import loads
from odenet.diagnostics import SpecError
from odenet.language import ConfusableNames, confusable
from odenet.language.lexer import MOST_TOKENS

DECLARATIONS = "state Y\nparam K, L : conv(3)\n"
LONG_PRODUCT = "(K + L) " * 20  # multiplied out it has 2^20 products
# Some of these letters and digits look alike, such as K and the Greek Κ.
SPELLINGS = st.text(st.sampled_from("Kκ ΚK₁1νvσοo"), min_size=1, max_size=3)


def refusal(text: str) -> tuple[str, int]:
    """The message of the one error in a text, and the line that it names."""
    with pytest.raises(SpecError) as caught:
        program = loads(text)
        _ = program.derivation
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    return diagnostic.message, diagnostic.span.line


def test_the_verdict_on_a_product_of_many_sums_is_left_open_at_its_line():
    program = loads(f"{DECLARATIONS}Y' = tanh({LONG_PRODUCT}Y)\n")
    certificate = program.decide(trials=0)
    assert certificate.verdict == "open"
    assert "more than 200,000 products" in certificate.reason
    assert certificate.span is not None and certificate.span.line == 3


def test_the_step_matrix_of_a_product_of_many_sums_is_not_multiplied_out_either():
    program = loads(f"{DECLARATIONS}Y' = {LONG_PRODUCT}Y\ndiscretise euler(h = 0.1)\n")
    assert step_matrix_stability(program.model) is None


def test_the_decision_on_n_equations_takes_fewer_than_n_cubed_operations():
    """The operations that are counted test whether an operator is zero."""
    n = 150
    states = [f"Y{i}" for i in range(n)]
    ring = zip(states, states[1:] + states[:1], strict=True)
    text = f"state {', '.join(states)}\nparam K : conv(3)\n"
    text += "".join(f"{name}' = tanh(K {next_name})\n" for name, next_name in ring)
    program = loads(text + "discretise euler(h = 0.1)\n")
    counter = CallCounter(Operator.__bool__)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Operator, "__bool__", lambda operator: counter(operator))
        program.decide(trials=0)
    assert counter.count < n**3


class CallCounter:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.count = function, 0

    def __call__(self, *args):
        self.count += 1
        return self.function(*args)


def test_a_formula_of_ordinary_length_is_multiplied_out():
    program = loads(f"{DECLARATIONS}Y' = tanh((K - K^T) Y) + L Y\n")
    assert "products" not in program.decide(trials=0).reason


def test_a_power_of_many_terms_is_refused_where_it_stands():
    text = (
        f"{DECLARATIONS}Y' = tanh((K - K^T) L Y)\ndiscretise s(h = 0.1)\n"
        "scheme s(a = 1, b = 1, d = 1, e = 1) {\n    for Y' = F(Y)\n"
        "    Y[n+1] = Y[n] + h (a + b + d + e)^40 F(Y[n])\n}\n"  # of 12,341 terms
    )
    assert refusal(text) == ("multiplied out, this power has more than 2,000 terms", 7)


def test_the_stability_of_a_scheme_of_many_constants_is_found_at_their_values():
    names = [f"c{i}" for i in range(4)]
    text = (
        "state Y\nparam K : conv(3)\nY' = tanh((K - K^T) Y)\n"
        f"discretise s(h = 0.1, {', '.join(f'{n} = 0.25' for n in names)})\n"
        f"scheme s({', '.join(names)}) {{\n    for Y' = F(Y)\n"
        "    start Y[-1] = Y[0]\n    start Y[-2] = Y[0]\n    start Y[-3] = Y[0]\n"
        "    Y[n+1] = c0 Y[n] + c1 Y[n-1] + c2 Y[n-2] + c3 Y[n-3] + h F(Y[n])\n}\n"
    )
    stability = loads(text).derivation.stability_at(dict.fromkeys(names, 0.25))
    assert not isinstance(stability, str)
    assert stability.imaginary_axis.decided


def test_a_text_of_very_many_words_is_refused_at_the_line_where_it_is_too_long():
    tokens_per_line = 7  # the end of a line is one, too
    lines_that_fit = MOST_TOKENS // tokens_per_line
    message, line_number = refusal("let a = 1 + 1\n" * (lines_that_fit + 10))
    assert message.startswith("a file has at most 100,000 words and signs")
    assert line_number == lines_that_fit + 1


def test_a_formula_of_very_many_terms_is_refused_at_its_line():
    assert refusal(f"{DECLARATIONS}Y' = L Y + {' + '.join(['K Y'] * 4_000)}\n") == (
        "this formula is too long, with its lets written out", 3)  # fmt: skip


def test_thousands_of_similar_names_are_compared_quickly():
    lets = "".join(f"let a{i} = {i}\n" for i in range(5000))  # 12.5 million pairs of names
    program = loads(f"{DECLARATIONS}Y' = (K + L) Y\n{lets}")
    assert len(program.model.dynamics.states) == 1


def test_the_search_for_errors_stops_soon_after_a_hundred():
    with pytest.raises(SpecError) as caught:
        loads(DECLARATIONS + "".join(f"Y' = q{i} Y\n" for i in range(500)))
    assert 100 <= len(caught.value.diagnostics) < 110


@given(st.lists(SPELLINGS, max_size=6), SPELLINGS)
def test_the_confusable_name_found_is_the_first_of_all_pairwise_comparisons(spellings, spelling):
    found = ConfusableNames(spellings).find_confusable(spelling)
    confusable_spellings = [other for other in spellings if confusable(spelling, other)]
    assert found == next(iter(confusable_spellings), "")


# Limits of the numbers in a recipe


def test_numbers_are_compared_with_their_limits_after_rounding():
    net = "discretise euler(h = 0.1)\nnet = input(1, 8, 8) -> conv(3, 4) -> flow(2) -> mean\n"
    text = f"{DECLARATIONS}Y' = (K + L) Y\n{net}train {{\n"
    for line, message in {
        "ema = 0.9999999999999999999": "too large",
        "optimizer = adam(betas = [0.9, 0.9999999999999999999])": "too large",
        "optimizer = sgd(lr = 1e299)": "out of reach",
        "optimizer = sgd(lr = 1e-200)": "too close to 0",
        "batch = 10^12": "out of reach",
        "data = rings(n = 10^12)": "out of reach",
        "data = rings(n = 10^8)": "too large",
    }.items():
        with pytest.raises(SpecError) as caught:
            loads(f"{text}    {line}\n}}\n")
        assert [d.label for d in caught.value.diagnostics] == [message], line


def test_nesterov_needs_a_momentum():
    text = f"{DECLARATIONS}Y' = (K + L) Y\ntrain {{\n    optimizer = sgd(momentum = 0, nesterov = yes)\n}}\n"
    assert refusal(text) == ("nesterov looks ahead along the momentum, which is 0", 5)
