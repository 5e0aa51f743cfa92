"""The numerical check of schemes confirms right derivations and catches wrong ones.

It evaluates the lines of a scheme. The reference is the order in the literature.
"""

from dataclasses import fields, replace
from fractions import Fraction
from random import Random

import pytest

import odenet
from odenet.confirm import Disagreement, NotEvaluable
from odenet.confirm.measured_order import measure_slopes
from odenet.confirm.problem import MODELLED_FIELDS, draw_problem
from odenet.confirm.scheme import confirm_derivation, confirm_order
from odenet.derive import Derivation, Order, derive
from odenet.model.elaboration.library import library_names
from odenet.model.expressions import expr
from odenet.model.typed.scheme import Pattern
from tests.derive.numeric import SCHEMES, read_scheme

# schemes of the literature and their orders, none of them derived here
LITERATURE = {
    "Forest-Ruth like, 16 digits (PEFRL)": (4, """scheme s {
        for Y' = F(Z), Z' = G(Y)
        let x = 0.1786178958448091
        let l = -0.2123418310626054
        let k = -0.06626458266981849
        Y1 = Y[n] + x h F(Z[n])
        Z1 = Z[n] + (1 - 2 l)/2 h G(Y1)
        Y2 = Y1 + k h F(Z1)
        Z2 = Z1 + l h G(Y2)
        Y3 = Y2 + (1 - 2 (k + x)) h F(Z2)
        Z3 = Z2 + l h G(Y3)
        Y4 = Y3 + k h F(Z3)
        Z[n+1] = Z3 + (1 - 2 l)/2 h G(Y4)
        Y[n+1] = Y4 + x h F(Z[n+1])
    }"""),
    "momentum, rightly scaled": (1, """scheme s {
        for Y' = F(Y)
        aux v
        start v[0] = 0
        v[n+1] = 1/2 v[n] + h/2 F(Y[n])
        Y[n+1] = Y[n] + v[n+1]
    }"""),
    "midpoint with its history in an auxiliary unknown": (2, """scheme s {
        for Y' = F(Y)
        aux W
        start W[0] = Y[0] - h F(Y[0])
        Y[n+1] = W[n] + 2 h F(Y[n])
        W[n+1] = Y[n]
    }"""),
    # W[n] is minus the mean of Y[n] and Y[n+1]; from another start Y alternates in sign.
    "leapfrog with the mean of neighbours in an auxiliary unknown": (2, """scheme s {
        for Y' = F(Y)
        aux W
        start W[0] = 0
        Y[n+1] = -Y[n] - 2 W[n]
        W[n+1] = W[n] - h F(Y[n+1])
    }"""),
    "Adams-Bashforth 3": (3, """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0] - h F(Y[0])
        start Y[-2] = Y[0] - 2 h F(Y[0])
        Y[n+1] = Y[n] + h/12 (23 F(Y[n]) - 16 F(Y[n-1]) + 5 F(Y[n-2]))
    }"""),
    "Newmark with stored acceleration": (2, """scheme s {
        for Y'' = F(Y)
        aux V, A
        start V[0] = 0
        start A[0] = F(Y[0])
        Y[n+1] = Y[n] + h V[n] + h^2/2 A[n]
        A[n+1] = F(Y[n+1])
        V[n+1] = V[n] + h/2 (A[n] + A[n+1])
    }"""),
    "Milne": (4, """scheme s {
        for Y' = F(Y)
        start Y[-1] = 0
        start Y[-2] = 0
        start Y[-3] = 0
        Y[n+1] = Y[n-3] + 4 h/3 (2 F(Y[n]) - F(Y[n-1]) + 2 F(Y[n-2]))
    }"""),
    "Robert and Asselin's filter": (1, """scheme s {
        for Y' = F(Y)
        aux W
        start W[0] = Y[0] - h F(Y[0])
        Y1 = W[n] + 2 h F(Y[n])
        W[n+1] = Y[n] + 1/20 (W[n] - 2 Y[n] + Y1)
        Y[n+1] = Y1
    }"""),
}  # fmt: skip
HEAVY_BALL = """scheme s {
    for Y' = F(Y)
    aux v
    start v[0] = 0
    v[n+1] = 1/2 v[n] + h F(Y[n])
    Y[n+1] = Y[n] + v[n+1]
}"""
# with a coupling of λ = 0.99 (McCallum & Foster 2024) errors fall as h^p only after many steps; those of dopri5 soon reach rounding
SLOW_CONVERGENCE = ("coupled_euler", "coupled_heun", "coupled_rk4", "reversible_rk2", "dopri5")


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_derived_is_confirmed(name: str):
    derivation = derive(SCHEMES[name])
    confirm_derivation(derivation)
    confirm_order(derivation.scheme, derivation.accuracy, {})


def test_every_scheme_of_the_library_is_among_those_confirmed_here():
    assert set(library_names()) <= set(SCHEMES)


@pytest.mark.parametrize("name", LITERATURE)
def test_the_order_of_the_literature_is_measured(name: str):
    order, text = LITERATURE[name]
    scheme = read_scheme(text)
    confirm_order(scheme, Order(order), {})
    for wrong in {max(order - 1, 1), order + 1} - {order}:
        with pytest.raises(Disagreement, match=r"errors fall as h\^"):
            confirm_order(scheme, Order(wrong), {})


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCHEMES if name not in SLOW_CONVERGENCE])
def test_an_order_that_is_off_by_one_is_caught(name: str):
    scheme = SCHEMES[name]
    order = derive(scheme).order
    if order is None:
        return
    values = {name: Fraction(2, 3) for name, default in scheme.constants if default is None}
    confirm_order(scheme, Order(order), values)
    for wrong in {max(order - 1, 1), order + 1} - {order}:
        with pytest.raises(Disagreement):
            confirm_order(scheme, Order(wrong), values)


SECOND_ORDER = "for Y'' = F(Y)\naux v\nstart v[0] = {start}\n{lines}"
# v is the velocity in the first two, 3/2 of it in the third, and h times it in the last
SYMPLECTIC = "v[n+1] = v[n] + h F(Y[n])\nY[n+1] = Y[n] + h v[n+1]"
POSITION_FIRST = "t = Y[n] + h v[n]\nv[n+1] = v[n] + h F(t)\nY[n+1] = t"
SCALED = "v[n+1] = v[n] + 3/2 h F(Y[n])\nY[n+1] = Y[n] + 2 h/3 v[n+1]"
PER_STEP = "v[n+1] = v[n] + h^2 F(Y[n])\nY[n+1] = Y[n] + v[n+1]"


@pytest.mark.slow
@pytest.mark.parametrize("start", ["0", "h/2 F(Y[0])", "F(Y[0])"])
@pytest.mark.parametrize("lines", [SYMPLECTIC, POSITION_FIRST, SCALED, PER_STEP])
def test_a_velocity_of_any_scale_and_start_is_found(lines: str, start: str):
    scheme = read_scheme(f"scheme s {{\n{SECOND_ORDER.format(start=start, lines=lines)}\n}}")
    confirm_derivation(derive(scheme))
    with pytest.raises(Disagreement, match=r"errors fall as h\^2"):
        confirm_order(scheme, Order(3), {})


# {} is a factor that should be 1
EULER = "Y[n+1] = Y[n] + {} h F(Y[n])"
DECAYING = "Y[n+1] = {} Y[n] + h F(Y[n])"
MIDPOINT = "Y[n+1] = Y[n] + {} h F(Y[n] + h/2 F(Y[n]))"
RK4 = """k1 = F(Y[n])
    k2 = F(Y[n] + h/2 k1)
    k3 = F(Y[n] + h/2 k2)
    k4 = F(Y[n] + h k3)
    Y[n+1] = Y[n] + h/6 ({} k1 + 2 k2 + 2 k3 + k4)"""


@pytest.mark.parametrize("lines", [EULER, DECAYING, MIDPOINT, RK4])
@pytest.mark.parametrize(
    "factor", ["0.99", "0.999", "0.9999", "0.999999", "1.00000005", "1.000000000001"]
)
def test_the_order_of_a_scheme_with_a_slightly_wrong_factor_is_not_contradicted(
    lines: str, factor: str
):
    text = f"scheme s {{\nfor Y' = F(Y)\n{lines.format(factor)}\n}}"
    confirm_derivation(derive(read_scheme(text)))


def test_a_residual_does_not_excuse_a_wrong_order_where_no_number_is_rounded():
    adams = read_scheme(LITERATURE["Adams-Bashforth 3"][1])
    # With so small a residual order 0 would be right if coefficients were rounded; these are fractions.
    with pytest.raises(Disagreement, match=r"errors fall as h\^3"):
        confirm_order(adams, Order(0, residual=1.1e-16), {})


@pytest.mark.parametrize("name", ["momentum", "heavy_ball"])
@pytest.mark.parametrize("gamma", [1e-300, -1e-30, 1e-5, 1 - 1e-10, 1 - 1e-16, 1e5, 1e30, 1e300])
def test_constants_of_any_size_are_checked_with_enough_digits(name: str, gamma: float):
    confirm_derivation(derive(SCHEMES[name]), {"gamma": gamma})


def test_the_solution_of_another_equation_has_no_order():
    with pytest.raises(Disagreement):
        confirm_order(read_scheme(HEAVY_BALL), Order(1), {})


def test_an_order_that_no_quick_measurement_shows_is_not_judged():
    with pytest.raises(NotEvaluable, match="settles slowly"):
        measure_slopes(SCHEMES["coupled_euler"], 3, {}, Random(1))
    confirm_order(SCHEMES["coupled_euler"], Order(3), {})


def test_the_fields_that_a_problem_models_are_those_of_a_pattern():
    # With another name a pattern would be refused for each of its fields, and no order be measured.
    assert set(MODELLED_FIELDS) <= {field.name for field in fields(Pattern)}


def test_the_series_solves_the_equations():
    scheme = SCHEMES["ring"]
    problem = draw_problem(scheme, {}, Random(0))
    h, time = 1e-5, 0.7 * problem.final_time
    for pattern in scheme.patterns:
        arguments = [x for name in pattern.reads for x in problem.values_at(name, time)]
        rate = problem.rates.function(pattern.function)(*arguments)
        earlier, later = (problem.values_at(pattern.unknown, time + s * h) for s in (-1, 1))
        slopes = [(b - a) / (2 * h) for a, b in zip(earlier, later, strict=True)]
        assert slopes == pytest.approx(rate, abs=1e-8)
        assert problem.values_at(pattern.unknown, time, derivative=1) == pytest.approx(
            rate, abs=1e-10
        )


# --- planted faults ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["verlet", "leapfrog", "momentum", "asynchronous_leapfrog"])
def test_an_inverse_with_a_wrong_coefficient_is_caught(name: str):
    derivation = derive(SCHEMES[name])
    first, *others = derivation._shear_pairs
    small_factor = expr.Number(Fraction(1, 10**9), "1/1000000000")
    operand = next(n for n in first.backward.value.walk() if isinstance(n, expr.Slot))
    value = expr.Sum(((1, first.backward.value), (1, expr.Product(small_factor, operand))))
    wrong = replace(first, backward=replace(first.backward, value=value))
    with pytest.raises(Disagreement, match="the inverse of a step"):
        confirm_derivation(replace(derivation, _shear_pairs=(wrong, *others)), {"gamma": 0.9})


@pytest.mark.parametrize(("name", "claimed"), [("verlet", True), ("leapfrog", False)])
def test_a_wrong_symmetry_is_caught(name: str, claimed: bool):
    class WrongSymmetry(Derivation):
        symmetric = claimed  # type: ignore[assignment]

    right = derive(SCHEMES[name])
    wrong = WrongSymmetry(**{field: getattr(right, field) for field in right.__dataclass_fields__})
    with pytest.raises(Disagreement, match="a step with -h"):
        confirm_derivation(wrong)


def test_a_wrong_volume_is_caught():
    right = derive(SCHEMES["momentum"])
    first, *others = right.shears or ()
    wrong = replace(right, shears=(replace(first, scale=2 * first.scale), *others))
    with pytest.raises(Disagreement, match="changes volume"):
        confirm_derivation(wrong, {"gamma": 0.9})


def test_a_symmetry_that_exchanges_an_unknown_with_its_stored_history_is_confirmed():
    class Symmetric(Derivation):
        symmetric = True  # type: ignore[assignment]

    right = derive(read_scheme(LITERATURE["midpoint with its history in an auxiliary unknown"][1]))
    symmetric = Symmetric(**{field: getattr(right, field) for field in right.__dataclass_fields__})
    symmetric.__dict__["accuracy"] = Order(2)  # a cached property
    confirm_derivation(symmetric)


def test_the_order_is_checked_at_the_constants_that_it_is_derived_for():
    scheme = read_scheme("""scheme s(g = 1) {
        for Y' = F(Z), Z' = G(Y)
        Y[n+1] = Y[n] + h F(Z[n])
        Z[n+1] = Z[n] + g h G(Y[n+1])
    }""")
    half = {"g": Fraction(1, 2)}
    derivation = derive(scheme, {**half, "h": Fraction(1, 10)})
    assert derivation.order == 0  # it solves Z' = G(Y)/2
    confirm_derivation(derivation, half)


# --- through the public interface -----------------------------------------------------------------


def test_the_compiler_returns_no_derivation_that_numbers_contradict(
    monkeypatch: pytest.MonkeyPatch,
):
    text = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\n"
    text += HEAVY_BALL.replace("scheme s", "scheme ball") + "\ndiscretise ball(h = 0.1)\n"
    monkeypatch.setattr("odenet.derive.derivation.derive_order", lambda *_: Order(1), raising=True)
    with pytest.raises(Disagreement, match="the order is said to be 1"):
        odenet.loads(text).derivation  # noqa: B018
