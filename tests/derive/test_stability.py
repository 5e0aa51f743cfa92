"""Stability limits in closed form, against powers of the step matrix computed line by line."""

from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from odenet.derive import XI, derive
from odenet.derive.power_bounded import is_power_bounded, largest_block_at_one
from tests.derive.numeric import SCHEMES, read_scheme, step_matrix

# scheme -> the limits on the imaginary axis and on the negative real axis (None: its test equation
# has no such eigenvalue); the schemes with γ at their default, 0.9
LIMITS = {
    "verlet": ("hω < 2", None),
    "stormer_verlet": ("hω < 2", None),
    "leapfrog": ("hω < 2", None),
    "velocity_verlet": ("hω < 2", None),
    "midpoint": ("hω < 1", "unstable for every h"),
    "asynchronous_leapfrog": ("hω < 1", "unstable for every h"),
    "euler": ("unstable for every h", "hμ ≤ 2"),
    "heun": ("unstable for every h", "hμ ≤ 2"),
    "rk4": (
        "hω ≤ 2 √2 = 2.82843",
        "hμ ≤ 2.78529, where s = 2.78529 is a zero of s^3 - 4 s^2 + 12 s - 24",
    ),
    "kutta3": (
        "hω ≤ √3 = 1.73205",
        "hμ ≤ 2.51275, where s = 2.51275 is a zero of s^3 - 3 s^2 + 6 s - 12",
    ),
    "adams_bashforth2": ("unstable for every h", "hμ ≤ 1"),
    "momentum": ("unstable for every ω", "μ ≤ 2 (γ + 1)/(1 - γ) = 38"),
    "heavy_ball": ("unstable for every h", "hμ ≤ 2 (γ + 1)/(1 - γ) = 38"),
    "yoshida4": ("hω < 1.5734", None),
    "ruth3": (
        "hω < 2.50748, where s = 2.50748 is a zero of 7 s^6 - 144 s^4 + 1728 s^2 - 6912",
        None,
    ),
}


def linear_rates(scheme, h_lambda: complex, h: float) -> dict:
    """Coefficients of linear right-hand sides with the eigenvalue λ, or ±λ of two coupled ones."""
    eigenvalue = h_lambda / h if scheme.uses_step_size else h_lambda
    rates = {}
    for p in scheme.patterns:
        # λ multiplies the unknown of the equation if F reads it, else each unknown that F reads
        reads_itself = p.unknown in p.reads
        rates[p.function] = tuple(
            eigenvalue**p.order if (name == p.unknown) == reads_itself else 0 for name in p.reads
        )
    return rates


def growth(scheme, h_lambda: complex, h: float = 0.5) -> float:
    """The largest entry of the 4096th power of the step matrix; infinite on overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.linalg.matrix_power(
            step_matrix(scheme, linear_rates(scheme, h_lambda, h), h), 4096
        )
    return float(np.nan_to_num(np.abs(power), nan=np.inf).max())


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_printed_in_closed_form(name):
    stability = derive(SCHEMES[name]).stability
    real = None if stability.real_axis is None else str(stability.real_axis)
    assert (str(stability.imaginary_axis), real) == LIMITS[name]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("axis", ["imaginary", "real"])
def test_steps_stay_bounded_inside_the_limit_and_grow_beyond_it(name, axis):
    scheme = SCHEMES[name]
    found = getattr(derive(scheme).stability, f"{axis}_axis")
    if found is None:
        return
    direction = 1j if axis == "imaginary" else -1
    for share in (0.05, 0.3, 0.7, 0.99):
        if found.limit:
            assert growth(scheme, share * found.limit * direction) < 60
    beyond = 1.02 * found.limit or 0.5  # any point, where the limit is 0
    assert growth(scheme, beyond * direction) > 1e3


@pytest.mark.parametrize("name", ["verlet", "leapfrog", "midpoint", "stormer_verlet"])
def test_at_an_open_limit_errors_grow_linearly(name):
    scheme = SCHEMES[name]
    axis = derive(scheme).stability.imaginary_axis
    assert not axis.includes_limit and axis.limit not in axis.intervals[0]
    power = np.linalg.matrix_power(
        step_matrix(scheme, linear_rates(scheme, 1j * axis.limit, 0.5), 0.5), 1000
    )
    assert 100 < np.abs(power).max() < 1e5


@pytest.mark.parametrize("name", ["euler", "momentum", "heun"])
def test_at_a_closed_limit_steps_stay_bounded(name):
    scheme = SCHEMES[name]
    axis = derive(scheme).stability.real_axis
    assert axis.includes_limit and axis.limit in axis.intervals[0]
    power = np.linalg.matrix_power(
        step_matrix(scheme, linear_rates(scheme, -axis.limit, 0.5), 0.5), 1000
    )
    assert np.abs(power).max() < 100


def test_the_limit_of_momentum_depends_on_its_constant():
    derivation = derive(SCHEMES["momentum"])
    gamma = sympy.Symbol("gamma")
    expected = 2 * (1 + gamma) / (1 - gamma)
    assert sympy.simplify(derivation.stability.real_axis.closed_form - expected) == 0
    assert derivation.stability_at({"gamma": 0.5}).real_axis.limit == pytest.approx(6)


def test_constants_keep_the_values_of_the_file_where_no_others_are_given():
    derivation = derive(SCHEMES["momentum"], {"gamma": Fraction(3, 4)})
    assert derivation.stability_at({}).real_axis.limit == pytest.approx(14)
    assert derivation.stability_at({"gamma": 0.5}).real_axis.limit == pytest.approx(6)


def test_the_characteristic_polynomial_of_revnet_is_the_published_one():
    # Chang et al. 2018 (AAAI), Eq. 21
    alpha, beta = sympy.symbols("alpha beta")
    found = derive(SCHEMES["verlet"]).characteristic_polynomial(
        {"F": (beta,), "G": (alpha,)}, h=sympy.Integer(1)
    )
    assert sympy.expand(found - (XI**2 - (2 + alpha * beta) * XI + 1)) == 0


@pytest.mark.parametrize(
    "name", ["euler", "rk4", "midpoint", "reversible_rk2", "leapfrog", "verlet"]
)
def test_the_region_is_where_the_spectral_radius_is_at_most_one(name):
    scheme = SCHEMES[name]
    x, y = np.meshgrid(np.linspace(-3.05, 0.95, 17), np.linspace(-3.1, 3.1, 21))
    z = x + 1j * y
    found = derive(scheme).stability.region(z)
    radius = np.array(
        [
            np.abs(np.linalg.eigvals(step_matrix(scheme, linear_rates(scheme, w, 0.5), 0.5))).max()
            for w in z.flat
        ]
    )
    assert found.shape == z.shape
    off_boundary = np.abs(radius - 1) > 1e-3
    assert np.array_equal(found.flat[off_boundary], radius[off_boundary] < 1)


def test_the_region_of_a_reversible_scheme_is_a_piece_of_the_imaginary_axis():
    region = derive(SCHEMES["midpoint"]).stability.region
    assert region(np.array([0.5j, 0.99j, -0.99j])).all()
    assert not region(np.array([1.01j, 0.01, -0.01, -0.01 + 0.5j])).any()


def test_an_interval_away_from_zero_is_not_called_a_limit():
    text = "scheme s {\nfor Y' = F(Y)\nY[n+1] = 2 Y[n] + h F(Y[n])\n}"
    axis = derive(read_scheme(text)).stability.real_axis
    assert axis.limit == 0
    assert str(axis) == "stable only for 1 ≤ hμ ≤ 3"


def test_several_intervals_are_all_named():
    assert str(derive(SCHEMES["reversible_rk2"]).stability.real_axis) == (
        "hμ ≤ 0.0100505 or 1.98995 ≤ hμ ≤ 2.53719"
    )


def test_a_ring_of_unknowns_has_no_test_equation():
    assert "no test equation" in derive(SCHEMES["ring"]).stability


def test_a_step_that_depends_on_the_step_size_itself_needs_it():
    text = "scheme s {\nfor Y' = F(Y)\nY[n+1] = (1 - h) Y[n] + h F(Y[n])\n}"
    derivation = derive(read_scheme(text))
    assert derivation.stability == "the step depends on h itself, not on hλ alone"
    assert derivation.stability_at({"h": 0.5}).real_axis.limit == pytest.approx(1.5)


def test_stability_needs_the_value_of_every_constant():
    text = "scheme s(θ) {\nfor Y' = F(Y)\nY[n+1] = Y[n] + θ h F(Y[n])\n}"
    derivation = derive(read_scheme(text))
    assert derivation.stability == "it depends on the constant θ"
    assert str(derivation.stability_at({"theta": 2}).real_axis) == "hμ ≤ 2/θ = 1"


def test_bounded_powers_are_distinguished_from_growing_ones():
    assert is_power_bounded([[1, 0], [0, 1]])
    assert not is_power_bounded([[1, 1], [0, 1]])
    assert is_power_bounded([[1, 1], [0, 1]], max_block=2)
    assert not is_power_bounded([[-1, 1], [0, -1]], max_block=2)
    assert not is_power_bounded([[1.01]])
    assert largest_block_at_one([[1, 1, 0], [0, 1, 1], [0, 0, 1]]) == 3
    assert largest_block_at_one([[2]]) == 0


@pytest.mark.parametrize("name", "xi s S I E pi oo lambda zeta x z H mu".split())
def test_a_constant_may_have_any_name(name):
    """These are names that sympy or the derivation use themselves."""
    text = """scheme split({c} = 0.2) {{
        for Y' = F(Z), Z' = G(Y)
        Y1     = Y[n] + {c} h F(Z[n])
        Z[n+1] = Z[n] + h G(Y1)
        Y[n+1] = Y1 + (1 - {c}) h F(Z[n+1])
    }}"""
    found = derive(read_scheme(text.format(c=name))).stability
    plain = derive(read_scheme(text.format(c="c"))).stability
    assert found.imaginary_axis.limit == plain.imaginary_axis.limit == pytest.approx(2)


SYMPLECTIC_EULER = """scheme symplectic_euler {
    for Y' = F(Y, Z), Z' = G(Y, Z)
    Y[n+1] = Y[n] + h F(Y[n], Z[n])
    Z[n+1] = Z[n] + h G(Y[n+1], Z[n])
}"""


def test_unknowns_that_read_themselves_and_each_other_are_tested_on_both_equations():
    found = derive(read_scheme(SYMPLECTIC_EULER)).stability
    assert [axis.sentence for axis in found.axes] == [
        "stable for hω < 2 on the imaginary axis of y' = ω z, z' = -ω y",
        "unstable for every h on the imaginary axis of y' = λ y",
        "stable for hμ ≤ 2 on the negative real axis of y' = λ y",
    ]
    assert found.imaginary_axis.limit == 2 and found.for_kind("scalar").imaginary_axis.limit == 0


@pytest.mark.parametrize("kind", ["coupled", "scalar"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95, 1.05])
def test_the_limit_on_each_test_equation_is_that_of_its_steps(kind, share):
    scheme = read_scheme(SYMPLECTIC_EULER)
    axis = derive(scheme).stability.for_kind(kind).imaginary_axis
    h = 0.5
    omega = share * 2 / h  # hω < 2 is stable for the coupled equations
    rates = {"F": (0, omega), "G": (-omega, 0)}
    if kind == "scalar":
        rates = {"F": (1j * omega, 0), "G": (0, 1j * omega)}
    with np.errstate(over="ignore", invalid="ignore"):
        power = np.linalg.matrix_power(step_matrix(scheme, rates, h), 4096)
    bounded = bool(np.nan_to_num(np.abs(power), nan=np.inf).max() < 1e3)
    assert bounded == (h * omega < axis.limit)


def test_three_unknowns_are_tested_on_each_pair_that_read_each_other():
    text = """scheme s {
        for A' = F(A, B), B' = G(A, B, C), C' = H(B, C)
        A[n+1] = A[n] + h F(A[n], B[n])
        B[n+1] = B[n] + h G(A[n+1], B[n], C[n])
        C[n+1] = C[n] + h H(B[n], C[n])
    }"""
    found = derive(read_scheme(text)).stability
    assert [(axis.test_equation, axis.limit) for axis in found.axes] == [
        ("A' = ω B, B' = -ω A", 2),
        ("B' = ω C, C' = -ω B", 0),
        ("y' = λ y", 0),
        ("y' = λ y", 2),
    ]


def test_second_order_unknowns_that_read_only_each_other_have_no_test_equation():
    text = """scheme s {
        for Y'' = F(Z), Z'' = G(Y)
        start Y[-1] = 0
        start Z[-1] = 0
        Y[n+1] = 2 Y[n] - Y[n-1] + h^2 F(Z[n])
        Z[n+1] = 2 Z[n] - Z[n-1] + h^2 G(Y[n])
    }"""
    assert "no test equation" in derive(read_scheme(text)).stability


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["momentum", "heavy_ball", "coupled_euler", "damped_leapfrog"]),
    value=st.one_of(st.sampled_from([0, 1, -1, 2, 1e-300, 1e300]), st.floats(-10, 10)),
    h=st.sampled_from([1e-12, 0.1, 1.0, 1e6, 1e200]),
)
def test_constants_and_steps_of_any_size_give_a_statement(name, value, h):
    derivation = derive(SCHEMES[name])
    values = {constant: value for constant, _ in SCHEMES[name].constants}
    found = derivation.stability_at({**values, "h": h})
    assert isinstance(found, str) or all(axis.sentence for axis in found.axes)
    error = derivation.roundtrip_error(6, h, eps=1e-7, frequency=1.0, values=values)
    assert error is None or error.estimate >= 0


def test_a_division_by_zero_at_given_constants_is_reported():
    text = "scheme s(a = 1) {\nfor Y' = F(Y)\nY[n+1] = Y[n] + h/(a - 1) F(Y[n])\n}"
    assert "divides by zero" in derive(read_scheme(text)).stability


# Schemes that store Y[n-1] and contain an irrational number, so that their determinants are long.
# Keys: where it stands. In the first scheme the terms 1/3 Y[n-1] cancel.
IRRATIONAL = {
    "before a right-hand side": """
        for Y' = F(Y)
        start Y[-1] = 0
        k = F(Y[n-1])
        Y[n+1] = Y[n] + (1/3) Y[n-1] - (1/3) Y[n-1] + 2^(1/3) h F(Y[n]) - (1/2) h k""",
    "before stored values": """
        for Y' = F(Y)
        start Y[-1] = 0
        Y[n+1] = (2^(1/2) - 1) Y[n] + (2 - 2^(1/2)) Y[n-1] + h F(Y[n])""",
    "inside an argument": """
        for Y' = F(Y)
        start Y[-1] = Y[0]
        k = F(Y[n] + 2^(1/3) h F(Y[n-1]))
        Y[n+1] = Y[n-1] + h k""",
}


@pytest.mark.parametrize("axis", ["imaginary", "real"])
@pytest.mark.parametrize("name", IRRATIONAL)
def test_schemes_with_irrational_numbers_are_stable_exactly_on_the_derived_intervals(name, axis):
    scheme = read_scheme("scheme mine {" + IRRATIONAL[name] + "\n}")
    found = getattr(derive(scheme).stability, f"{axis}_axis")
    ends = [float(end) for interval in found.intervals for end in (interval.low, interval.high)]
    for x in np.linspace(0.2, 3, 60):  # hω or hμ
        if all(abs(x - end) > 0.02 for end in ends):
            grown = growth(scheme, 1j * x if axis == "imaginary" else -x)
            assert (grown < 1e3) == any(x in interval for interval in found.intervals), x
