"""The order that start lines leave, as the note on a scheme says, against measured slopes."""

import re

import pytest

from odenet.derive.order import Order, derive_order
from odenet.model.typed.scheme import Scheme
from tests.derive.convergence import Problem
from tests.derive.numeric import read_scheme

REVERSIBLE_HEUN = """
    Z[n+1] = 2 Y[n] - Z[n] + h F(Z[n])
    Y[n+1] = Y[n] + h/2 (F(Z[n]) + F(Z[n+1]))"""
# in these, W is an auxiliary unknown that ought to be 0: a start error that is carried along
EULER = "Y[n+1] = Y[n] + h F(Y[n] + W[n])"
DIFFERENCE = "Y[n+1] = Y[n] + h (2 F(Y[n]) - F(Y[n] + W[n]))"
LEAPFROG = """start Y[-1] = Y[0] + h^2/2 F(Y[0])
    Y[n+1] = 2 Y[n] - Y[n-1] + h^2 F(Y[n] + W[n])"""
KUTTA = """k1 = F(Y[n] + W[n])
    k2 = F(Y[n] + h/2 k1)
    k3 = F(Y[n] - h k1 + 2 h k2)
    Y[n+1] = Y[n] + h/6 (k1 + 4 k2 + k3)"""
STORED_RATE = """aux V
    start V[0] = F(Y[0])
    V[n+1] = F(Y[n] + W[n])
    Y[n+1] = Y[n] + h V[n+1]"""


def scheme_of(lines: str, order: int = 1) -> Scheme:
    """The scheme of these lines for equations of first or second order."""
    primes = "'" * order
    return read_scheme(f"scheme s {{\nfor Y{primes} = F(Y)\n{lines}\n}}")


def order_by_note(found: Order) -> tuple[int, bool]:
    """The order that the note states, and whether it is only a lower bound."""
    assert found.value is not None
    stated = re.search(r"(at least )?order (\d)", found.note)
    return (int(stated[2]), bool(stated[1])) if stated else (found.value, False)


def check_order_from_start(scheme: Scheme, order: int, reached: int) -> None:
    """Compare the derived order and note with the slope measured from the scheme's own start lines.

    Args:
        scheme: the scheme.
        order: the order of accuracy from an exact start.
        reached: the order from the scheme's own start.
    """
    found = derive_order(scheme)
    assert found.value == order
    assert order_by_note(found) == (reached, False)
    measured = Problem(scheme, at_rest=True).convergence_slope((400, 800), exact_start=False)
    assert measured == pytest.approx(reached, abs=0.15)


@pytest.mark.parametrize(
    "start, reached",
    [("0", 0), ("2 Y[0]", 0), ("Y[0]", 2), ("Y[0] + h F(Y[0])", 2), ("Y[0] + h Y[0]", 2)],
)
def test_an_alternating_start_error_of_size_one_lowers_the_order_to_zero(start: str, reached: int):
    check_order_from_start(scheme_of(f"aux Z\nstart Z[0] = {start}\n{REVERSIBLE_HEUN}"), 2, reached)


@pytest.mark.parametrize(
    "factor, start, lines, order, reached",
    [
        ("-1", "Y[0]", EULER, 1, 0), ("-1", "F(Y[0])", EULER, 1, 0), ("-1", "h F(Y[0])", EULER, 1, 1),
        ("-1", "Y[0]", DIFFERENCE, 1, 0), ("-1", "h Y[0]", DIFFERENCE, 1, 1),
        ("1/2", "Y[0]", EULER, 1, 1), ("-1/2", "Y[0]", KUTTA, 3, 1), ("-1/2", "h Y[0]", KUTTA, 3, 2),
        ("-1", "Y[0]", KUTTA, 3, 0), ("-1", "h Y[0]", KUTTA, 3, 2), ("-1", "h^2 F(Y[0])", KUTTA, 3, 3),
        ("-1", "Y[0]", STORED_RATE, 1, 0), ("-1", "h F(Y[0])", STORED_RATE, 1, 1),
    ],
)  # fmt: skip
def test_a_start_error_that_decays_or_alternates_leaves_the_measured_order(
    factor: str, start: str, lines: str, order: int, reached: int
):
    text = f"aux W\nstart W[0] = {start}\nW[n+1] = ({factor}) W[n]\n{lines}"
    check_order_from_start(scheme_of(text), order, reached)


@pytest.mark.parametrize("factor, start, reached", [("-1", "Y[0]", 0), ("1/2", "Y[0]", 1)])
def test_in_second_order_equations_a_start_error_that_dies_out_leaves_a_wrong_velocity(
    factor: str, start: str, reached: int
):
    text = f"aux W\nstart W[0] = {start}\nW[n+1] = ({factor}) W[n]\n"
    check_order_from_start(scheme_of(text + LEAPFROG, order=2), 2, reached)


def test_a_start_error_that_rotates_lowers_the_order_too():
    text = f"""aux W, V
    start W[0] = Y[0]
    start V[0] = 0
    W[n+1] = 3/5 W[n] + 4/5 V[n]
    V[n+1] = 3/5 V[n] - 4/5 W[n]
    {EULER}"""
    check_order_from_start(scheme_of(text), 1, 0)


@pytest.mark.parametrize(
    "start, reached",
    [("0", 1), ("0 Y[0] - h/2 F(Y[0])", 2), ("h/2 F(Y[0])", 1), ("F(Y[0])", 0)],
)
def test_the_order_reached_depends_on_where_a_velocity_starts(start: str, reached: int):
    text = f"""aux v
    start v[0] = {start}
    v[n+1] = v[n] + h F(Y[n])
    Y[n+1] = Y[n] + h v[n+1]"""
    check_order_from_start(scheme_of(text, order=2), 2, reached)


@pytest.mark.parametrize(
    "stored, use",
    [("F({})", "({0} {1})"), ("h F({})", "({0} {1})/h"), ("{}", "({0} F({1}))")],
    ids=["rates", "rates times h", "values"],
)
@pytest.mark.parametrize("is_accurate", [True, False])
def test_history_is_passed_along_a_chain_of_unknowns(stored: str, use: str, is_accurate: bool):
    """Adams-Bashforth 3, which has F(Y[n-1]) and F(Y[n-2]), or what gives them, in V and W."""
    back = [f"Y[0] - {k} h F(Y[0])" if is_accurate else "Y[0]" for k in (1, 2)]
    text = f"""aux V, W
    start V[0] = {stored.format(back[0])}
    start W[0] = {stored.format(back[1])}
    V[n+1] = {stored.format("Y[n]")}
    W[n+1] = V[n]
    Y[n+1] = Y[n] + h/12 (23 F(Y[n]) - {use.format(16, "V[n]")} + {use.format(5, "W[n]")})"""
    check_order_from_start(scheme_of(text), 3, 3 if is_accurate else 2)


@pytest.mark.parametrize("start, reached", [
    ("0", 0), ("Y[0]", 1), ("Y[0] - h F(Y[0]) + γ h Y[0]", 2)])  # fmt: skip
def test_the_damped_midpoint_rule_is_two_networks_and_the_note_on_its_order_quotes_the_start_line(
    start: str, reached: int
):
    text = f"""scheme s {{
    for Y' = F(Y) - γ Y
    start Y[-1] = {start}
    Y[n+1] = (1 - γ h)/(1 + γ h) Y[n-1] + 2 h/(1 + γ h) F(Y[n])
    }}"""
    found = derive_order(read_scheme(text))
    assert "the eigenvalue -1 at h = 0: two interleaved networks" in found.parasitic
    assert order_by_note(found) == (reached, False)
    assert reached == 2 or f"`start Y[-1] = {start}`" in found.note
    measured = Problem(read_scheme(text)).convergence_slope((400, 800), exact_start=False)
    assert measured == pytest.approx(reached, abs=0.15)
