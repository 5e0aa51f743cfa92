"""The derived order against convergence slopes measured on nonlinear dynamics."""

from itertools import product

import pytest

from odenet.derive import derive
from odenet.derive.order import derive_order
from tests.derive.convergence import STEPS, Problem
from tests.derive.literature import LITERATURE, TEXTS
from tests.derive.numeric import SCHEMES, read_scheme

ORDERS = {
    "euler": 1, "heun": 2, "rk4": 4, "verlet": 1, "stormer_verlet": 2, "midpoint": 2, "leapfrog": 2,
    "yoshida4": 4, "ruth3": 3, "reversible_rk2": 2, "asynchronous_leapfrog": 2,
    "asynchronous_leapfrog_in_two_lines": 2, "velocity_verlet": 2, "ring": 1, "quinlan": 4,
    "adams_bashforth2": 2, "kutta3": 3, "nystrom4": 4, "divided_velocity": 1, "coupled": 2,
    "damped_midpoint": 2, "damped_leapfrog": 2, "damped_verlet": 2, "explicit_decay": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_is_the_slope_of_the_error(name):
    scheme = SCHEMES[name]
    derived = derive(scheme).order
    assert derived == ORDERS[name]
    assert Problem(scheme).convergence_slope(STEPS[derived]) == pytest.approx(derived, abs=0.1)


def test_a_scheme_without_a_step_size_has_no_order():
    order = derive(SCHEMES["momentum"]).accuracy
    assert order.value is None
    assert "step size" in order.reason


@pytest.mark.parametrize(
    "name, equation, factor",
    [("heavy_ball_of_polyak", "Y' = F(Y)/(1 - β)", 2.0), ("nesterov", "Y' = F(Y)/(1 - β)", 2.0),
     ("rescaled", "Y' = F(Y)/(a + 1)", 2 / 3)],
)  # fmt: skip
def test_a_scheme_of_order_zero_says_which_equation_it_solves(name, equation, factor):
    order = derive_order(LITERATURE[name])
    assert (order.value, order.solved_equations) == (0, f"{equation}, to order 1")
    measured = Problem(LITERATURE[name], factor=factor).convergence_slope(STEPS[1])
    assert measured == pytest.approx(1, abs=0.15)


def test_second_order_equations_are_rescaled_too():
    text = """scheme s(b) {
        for Y'' = F(Y)
        start Y[-1] = Y[0]
        Y[n+1] = 2 Y[n] - Y[n-1] + b h^2 F(Y[n])
    }"""
    assert derive_order(read_scheme(text)).solved_equations == "Y'' = b F(Y), to order 2"


def test_a_velocity_that_relaxes_over_a_time_of_its_own_solves_no_equation_of_the_pattern():
    text = """scheme s {
        for Y' = F(Y)
        aux V
        start V[0] = 0
        V[n+1] = (1 - h) V[n] + h F(Y[n])
        Y[n+1] = Y[n] + h V[n+1]
    }"""
    order = derive_order(read_scheme(text))
    assert (order.value, order.solved_equations) == (0, "")
    assert abs(Problem(read_scheme(text)).convergence_slope(STEPS[0])) < 0.15


@pytest.mark.parametrize(
    "linear_term", ["(1 - h) Y[n]", "(1 - γ h) Y[n]", "2 h Y[n-1]", "1/2 Y[n]"]
)
def test_a_step_that_changes_constant_solutions_has_order_zero(linear_term):
    text = f"""scheme s(γ = 0.3) {{
        for Y' = F(Y)
        {"start Y[-1] = Y[0]" if "n-1" in linear_term else ""}
        Y[n+1] = {linear_term} + h F(Y[n])
    }}"""
    order = derive_order(read_scheme(text))
    assert order.value == 0
    assert order.reason == "a step changes Y even where all right-hand sides are 0"
    assert Problem(read_scheme(text)).convergence_slope(STEPS[0]) < 0.15


def test_decimals_are_taken_as_exact_to_the_printed_digits():
    order = derive_order(LITERATURE["pefrl"])
    assert str(order) == "4 to the 16 digits given; residual 3e-17"
    exact = derive_order(LITERATURE["candy_rozmus"])
    assert str(exact) == "4"


@pytest.mark.parametrize("digit", range(8, 15))
def test_a_wrong_digit_is_found_however_late_it_is(digit):
    printed = "0.1786178958448091"  # the decimal of that number is printed[digit + 1]
    wrong_digit = str((int(printed[digit + 1]) + 5) % 10)
    text = next(part for part in TEXTS.split("scheme ") if part.startswith("pefrl"))
    wrong_text = text.replace(printed, printed[: digit + 1] + wrong_digit + printed[digit + 2 :])
    order = derive_order(read_scheme("scheme " + wrong_text))
    assert order.value == 2
    assert order.reason.startswith("the condition of order 3 for F''(G, G) is off by ")
    size = abs(float(order.reason.split()[-1]))
    assert 0.01 < size / 10.0**-digit < 10


def test_decimals_given_where_the_scheme_is_used_are_taken_as_printed_too():
    text = """scheme s(a, b) {
        for Y' = F(Y)
        k1 = F(Y[n])
        k2 = F(Y[n] + a h k1)
        Y[n+1] = Y[n] + (1 - b) h k1 + b h k2
    }"""
    scheme = read_scheme(text)
    rounded = derive_order(scheme, {"a": 0.3333333333, "b": 1.5})
    assert (rounded.value, rounded.digits_note) == (2, " to the 10 digits given; residual 5e-11")
    assert derive_order(scheme, {"a": 0.33, "b": 1.5}).value == 1
    assert derive_order(scheme, {"a": 0.3333334444, "b": 1.5}).value == 1


def test_a_constant_computed_in_doubles_may_be_off_by_a_few_roundings():
    # 1 / (2 - 2^(1/3)) in doubles is off by 1.7e-16, more than one in its last printed decimal;
    # Yoshida 1990: three symmetric steps of second order with it have order 4
    text = """scheme s(w) {
        for Y' = F(Y)
        aux Z
        start Z[0] = Y[0]
        let v = 1 - 2 w
        Y1 = Y[n] + w h/2 F(Z[n])
        Z1 = 2 Y1 - Z[n]
        Y2 = Y1 + (w + v) h/2 F(Z1)
        Z2 = 2 Y2 - Z1
        Y3 = Y2 + (w + v) h/2 F(Z2)
        Z[n+1] = 2 Y3 - Z2
        Y[n+1] = Y3 + w h/2 F(Z[n+1])
    }"""
    computed = 1 / (2 - 2 ** (1 / 3))
    assert derive_order(read_scheme(text), {"w": computed}).value == 4
    assert derive_order(read_scheme(text), {"w": computed + 1e-14}).value == 2


@pytest.mark.parametrize("last, value", [("8", "4 to the 17 digits given"), ("9", "0")])
def test_an_order_holds_if_one_unit_in_the_last_place_of_each_number_explains_the_residual(
    last, value
):
    # 2a - b = 1 is off by 3 units of the last place for 8, and by 5 for 9; 2a and b explain 3
    text = f"""scheme s {{
        for Y' = F(Z), Z' = G(Y)
        let a = 1.351207191959657{last}
        let b = 1.7024143839193153
        Y1 = Y[n] + a/2 h F(Z[n])
        Z1 = Z[n] + a h G(Y1)
        Y2 = Y1 + (a - b)/2 h F(Z1)
        Z2 = Z1 - b h G(Y2)
        Y3 = Y2 + (a - b)/2 h F(Z2)
        Z[n+1] = Z2 + a h G(Y3)
        Y[n+1] = Y3 + a/2 h F(Z[n+1])
    }}"""
    assert str(derive_order(read_scheme(text))).startswith(value)


@pytest.mark.parametrize("factor", ["0.99999", "0.999999", "0.9999999999999999"])
def test_constant_solutions_must_be_kept_exactly(factor):
    text = f"scheme s {{\nfor Y' = F(Y)\nY[n+1] = {factor} Y[n] + h F(Y[n])\n}}"
    order = derive_order(read_scheme(text))
    assert (order.value, order.digits_note) == (0, "")


@pytest.mark.parametrize("gamma", [0.9, 1 - 1e-10, 1 - 1e-16])
def test_a_velocity_that_settles_slowly_has_the_order_that_it_has_after_settling(gamma):
    assert derive_order(SCHEMES["heavy_ball"], {"gamma": gamma}).value == 1


def test_the_first_violated_condition_is_named_with_its_residual():
    assert derive_order(SCHEMES["heun"]).reason == (
        "the condition of order 3 for F''(F, F) is off by -1/6"
    )
    assert "for F'(G) " in derive_order(SCHEMES["ring"]).reason
    assert "for F_YY(F, F) " in derive_order(SCHEMES["coupled"]).reason


@pytest.mark.parametrize("starts, reached", [
    ("Y[0] - h F(Y[0]) and Y[0] - 2 h F(Y[0])", 3), ("Y[0] and Y[0]", 2), ("0 and 0", 1),
    ("Y[0] - h F(Y[0]) and Y[0]", 2), ("Y[0] - 6/11 h F(Y[0]) and Y[0] - h F(Y[0])", 3),
])  # fmt: skip
def test_the_order_in_the_start_note_of_adams_bashforth_is_the_measured_slope(starts, reached):
    first, second = starts.split(" and ")
    text = f"""scheme s {{
        for Y' = F(Y)
        start Y[-1] = {first}
        start Y[-2] = {second}
        Y[n+1] = Y[n] + h/12 (23 F(Y[n]) - 16 F(Y[n-1]) + 5 F(Y[n-2]))
    }}"""
    order = derive_order(read_scheme(text))
    assert order.value == 3
    measured = Problem(read_scheme(text)).convergence_slope((400, 800), exact_start=False)
    assert (order.note == "") == (reached == 3)
    assert reached == 3 or order.note.endswith(f"followed to order {reached} only")
    assert measured == pytest.approx(reached, abs=0.15)


@pytest.mark.parametrize("start, reached", [("0", 0), ("Y[0]", 1), ("Y[0] - h F(Y[0])", 2)])
@pytest.mark.parametrize("history", ["slot", "aux"])
def test_history_may_be_kept_in_an_auxiliary_unknown(history, start, reached):
    slots = f"""start Y[-1] = {start}
        Y[n+1] = Y[n-1] + 2 h F(Y[n])"""
    aux = f"""aux A
        start A[0] = {start}
        Y[n+1] = A[n] + 2 h F(Y[n])
        A[n+1] = Y[n]"""
    text = f"scheme s {{\nfor Y' = F(Y)\n{slots if history == 'slot' else aux}\n}}"
    scheme = read_scheme(text)
    order = derive_order(scheme)
    assert order.value == 2
    assert derive(scheme).symmetric
    assert "two interleaved networks" in order.parasitic
    assert (order.note == "") == (reached == 2)
    assert reached == 2 or order.note.endswith(f"order {reached} only")
    assert Problem(scheme).convergence_slope((400, 800), exact_start=False) == pytest.approx(
        reached, abs=0.15
    )


@pytest.mark.parametrize("start", ["0", "F(Y[0])", "2 F(Y[0])"])
def test_an_alternating_error_of_the_velocity_does_not_lower_the_order(start):
    """Two steps undo what the error adds to Y."""
    text = f"""scheme s {{
        for Y' = F(Y)
        aux V
        start V[0] = {start}
        Y1     = Y[n] + h/2 V[n]
        V[n+1] = 2 F(Y1) - V[n]
        Y[n+1] = Y1 + h/2 V[n+1]
    }}"""
    order = derive_order(read_scheme(text))
    assert (order.value, order.note) == (2, "")
    measured = Problem(read_scheme(text)).convergence_slope((400, 800), exact_start=False)
    assert measured == pytest.approx(2, abs=0.15)


def test_the_order_from_a_resting_start_of_leapfrog_is_the_measured_slope():
    text = """scheme s {
        for Y'' = F(Y)
        start Y[-1] = Y[0]
        Y[n+1] = 2 Y[n] - Y[n-1] + h^2 F(Y[n])
    }"""
    problem = Problem(read_scheme(text), at_rest=True)
    assert problem.convergence_slope((400, 800), exact_start=False) == pytest.approx(1, abs=0.15)
    assert derive_order(read_scheme(text)).note.endswith("order 1 only")


def test_parasitic_eigenvalues_are_those_on_the_unit_circle_other_than_one():
    assert derive_order(LITERATURE["milne"]).parasitic == (
        "the eigenvalues -1, ±i at h = 0: four interleaved networks, "
        "every 4th step writes to the output"
    )
    assert "errors of the start" in derive_order(SCHEMES["asynchronous_leapfrog"]).parasitic
    for name in ("leapfrog", "rk4", "verlet", "coupled_heun"):
        assert derive_order(SCHEMES[name]).parasitic == ""
    for name in ("adams_bashforth3", "robert_asselin", "extrapolated_bdf2", "nesterov"):
        assert derive_order(LITERATURE[name]).parasitic == ""


def test_a_scheme_that_amplifies_errors_has_no_order():
    text = """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0]
        Y[n+1] = 3 Y[n] - 2 Y[n-1] - h F(Y[n])
    }"""
    assert "errors of earlier steps grow" in derive_order(read_scheme(text)).reason


def test_a_double_root_is_a_velocity_in_second_order_dynamics_only():
    text = """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0]
        Y[n+1] = 2 Y[n] - Y[n-1] + h F(Y[n]) - h F(Y[n-1])
    }"""
    assert derive_order(read_scheme(text)).value is None


@pytest.mark.parametrize("weight, order", [("1/2", 2), ("1/3", 1)])
def test_a_wrong_weight_lowers_the_order(weight, order):
    text = f"""scheme s {{
        for Y' = F(Y)
        k = F(Y[n] + h F(Y[n]))
        Y[n+1] = Y[n] + h ((1 - {weight}) F(Y[n]) + ({weight}) k)
    }}"""
    assert derive_order(read_scheme(text)).value == order


def test_a_step_of_the_wrong_length_has_order_zero():
    text = "scheme s {\nfor Y' = F(Y)\nY[n+1] = Y[n] + 2 h F(Y[n])\n}"
    assert derive_order(read_scheme(text)).value == 0


def test_the_order_holds_for_every_value_of_a_free_constant():
    text = """scheme s(a) {
        for Y' = F(Y)
        let b = 1/(2 a)
        k1 = F(Y[n])
        k2 = F(Y[n] + a h k1)
        Y[n+1] = Y[n] + (1 - b) h k1 + b h k2
    }"""
    assert derive_order(read_scheme(text)).value == 2


def test_the_order_may_depend_on_the_value_of_a_constant():
    text = """scheme s(a = 3/2) {
        for Y' = F(Y)
        start Y[-1] = Y[0] - h F(Y[0])
        Y[n+1] = Y[n] + h (a F(Y[n]) + (1 - a) F(Y[n-1]))
    }"""
    derivation = derive(read_scheme(text))
    assert derivation.order == 2
    assert derivation.order_at({"a": 1.25}).value == 1


def test_a_start_that_is_not_on_the_solution_is_noted():
    note = derive(SCHEMES["midpoint"]).accuracy.note
    assert note == "with `start Y[-1] = 0` the equation's solution is followed to order 0 only"
    text = """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0] - h F(Y[0])
        Y[n+1] = Y[n-1] + 2 h F(Y[n])
    }"""
    assert derive(read_scheme(text)).accuracy.note == ""


def test_a_resting_start_of_second_order_dynamics_keeps_the_order():
    text = """scheme s {{
        for Y'' = F(Y)
        start Y[-1] = {start}
        Y[n+1] = 2 Y[n] - Y[n-1] + h^2 F(Y[n])
    }}"""
    good = derive(read_scheme(text.format(start="Y[0] + h^2/2 F(Y[0])"))).accuracy
    assert (good.value, good.note) == (2, "")
    assert "order 1 only" in derive(read_scheme(text.format(start="Y[0]"))).accuracy.note


def test_a_right_hand_side_at_a_value_that_does_not_tend_to_y_has_no_order():
    text = "scheme s {\nfor Y' = F(Y)\nY[n+1] = Y[n] + h F(2 Y[n])\n}"
    order = derive_order(read_scheme(text))
    assert order.value is None
    assert order.reason == "`2 Y[n]`: this does not tend to Y as h tends to 0"


@pytest.mark.parametrize("levels, order", [("aba uvu", "6"), (
    "cdc aba uvu", "8 or more (not searched beyond 8)")])  # fmt: skip
def test_yoshidas_compositions_are_followed_to_order_eight(levels, order):
    # Yoshida 1990: a composition of order 2 k, composed once more; the length of a step is h times
    # the product of one letter of each level
    text = """scheme yoshida {
        for Y' = F(Z), Z' = G(Y)
        let u = 1 / (2 - 2^(1/3))
        let v = 1 - 2 u
        let a = 1 / (2 - 2^(1/5))
        let b = 1 - 2 a
        let c = 1 / (2 - 2^(1/7))
        let d = 1 - 2 c
    """
    weights = [" ".join(names) for names in product(*levels.split())]
    z, y = "Z[n]", "Y[n]"
    lines = []
    for i, weight in enumerate(weights):
        lines.append(f"p{i} = {z} + {weight} h/2 G({y})")
        lines.append(f"q{i} = {y} + {weight} h F(p{i})")
        lines.append(f"r{i} = p{i} + {weight} h/2 G(q{i})")
        z, y = f"r{i}", f"q{i}"
    lines += [f"Y[n+1] = {y}", f"Z[n+1] = {z}"]
    found = derive_order(read_scheme(text + "\n".join(lines) + "\n}"))
    assert str(found) == order
