"""Stability of schemes on linear equations with numeric coefficients, from the matrix of a step.

Independent routes: Eq. 21 of Chang et al. 2018 (AAAI), and step matrices written out in numpy.
"""

from fractions import Fraction

import numpy as np
import pytest

import odenet
from odenet.analyse.step_matrix import step_matrix_stability
from tests.analyse.specs import load_model

EQUATION_21 = "state Y, Z\nlet β = {beta}\nlet α = {alpha}\nY' = β Z\nZ' = α Y\n"


def equation_21(alpha, beta, h, scheme="verlet"):
    """The stability of a scheme on Eq. 21 of Chang et al., Y' = β Z, Z' = α Y."""
    text = EQUATION_21.format(alpha=f"({alpha})", beta=f"({beta})")
    return step_matrix_stability(load_model(text + f"discretise {scheme}(h = {h})"))


@pytest.mark.parametrize("alpha_beta", ["-4", "-3.999999999999", "-2", "-1/1000000", "0"])
def test_equation_21_is_stable_from_minus_four_to_zero(alpha_beta):
    # Chang et al. 2018 (AAAI), Eq. 21: -4 ≤ αβ h² ≤ 0; here β = h = 1
    assert equation_21(alpha_beta, "1", "1").in_unit_disk


@pytest.mark.parametrize("alpha_beta", ["-4.000000000001", "-5", "1/1000000000", "3"])
def test_equation_21_is_unstable_beyond(alpha_beta):
    stability = equation_21(alpha_beta, "1", "1")
    assert (
        not stability.in_unit_disk
        and not stability.power_bounded
        and "steps grow" in str(stability)
    )


def test_the_limit_is_one_of_alpha_beta_times_the_square_of_the_step_size():
    assert equation_21("-100", "1", "0.2").in_unit_disk
    assert not equation_21("-101", "1", "0.2").in_unit_disk


def test_at_the_ends_of_the_interval_values_grow_with_the_depth_and_the_text_says_so():
    assert not equation_21("-4", "1", "1").power_bounded and "defective" in str(
        equation_21("-4", "1", "1")
    )
    assert not equation_21("0", "1", "1").power_bounded
    assert equation_21("0", "0", "1").power_bounded


@pytest.mark.parametrize("scheme", ["euler", "heun", "rk4", "midpoint", "asynchronous_leapfrog"])
@pytest.mark.parametrize("h", [0.25, 0.9, 1.5])
def test_several_states_that_are_one_unknown_have_the_step_matrix_of_numpy(scheme, h):
    system = "state A, B\nA' = -1/2 A + 2 B\nB' = -2 B\n"
    stability = step_matrix_stability(load_model(system + f"discretise {scheme}(h = {h})"))
    J = np.array([[-0.5, 2.0], [0, -2.0]])
    eye, zero, z = np.eye(2), np.zeros((2, 2)), h * J
    step = {
        "euler": eye + z,
        "heun": eye + z + z @ z / 2,
        "rk4": eye + z + z @ z / 2 + z @ z @ z / 6 + z @ z @ z @ z / 24,
        "midpoint": np.block([[zero, eye], [eye, 2 * z]]),
        "asynchronous_leapfrog": np.block([[eye + z, h / 2 * z], [2 * J, z - eye]]),
    }[scheme]
    expected_radius = np.abs(np.linalg.eigvals(step)).max()
    assert stability.spectral_radius == pytest.approx(expected_radius, rel=1e-6)
    assert stability.in_unit_disk == (expected_radius <= 1)


def test_second_order_equations_and_external_forces_are_decided():
    text = "state Y\nparam b : bias\nlet k = {k}\nY'' = -k Y + b\ndiscretise leapfrog(h = 1)"
    assert step_matrix_stability(load_model(text.format(k=Fraction(399, 100)))).power_bounded
    assert not step_matrix_stability(load_model(text.format(k=Fraction(401, 100)))).in_unit_disk


def test_nothing_is_decided_with_weights_or_activations_or_without_a_step_size():
    assert (
        step_matrix_stability(
            load_model("state Y\nparam K : dense\nY' = K Y\ndiscretise euler(h = 1)")
        )
        is None
    )
    assert (
        step_matrix_stability(
            load_model("state Y\nparam a : scalar\nY' = a Y\ndiscretise euler(h = 1)")
        )
        is None
    )
    assert (
        step_matrix_stability(load_model("state Y\nY' = tanh(Y)\ndiscretise euler(h = 1)")) is None
    )
    assert step_matrix_stability(load_model("state Y\nY' = -Y\ndiscretise euler(T = 1)")) is None


def test_a_step_too_long_for_the_numbers_of_the_file_is_warned_of():
    program = odenet.loads(EQUATION_21.format(alpha="(-3)", beta="2") + "discretise verlet(h = 1)")
    (warning,) = program.warnings
    assert warning.message.startswith("verlet is unstable here, on a stable spectrum")
    assert odenet.loads(program.text, set={"h": 0.5}).warnings == []


def test_an_irrational_number_of_the_scheme_counts_with_all_its_digits():
    text = """state Y, Z
Y' = Z
Z' = -4 Y
scheme stretched {
    for Y' = F(Z), Z' = G(Y)
    let a = 2^(1/2)
    Y[n+1] = Y[n] + a h F(Z[n])
    Z[n+1] = Z[n] + h/a G(Y[n+1])
}
"""  # √2 · 1/√2 = 1: stable exactly up to h = 1
    assert step_matrix_stability(load_model(text + "discretise stretched(h = 1)")).in_unit_disk
    assert not step_matrix_stability(
        load_model(text + "discretise stretched(h = 1.000000001)")
    ).in_unit_disk
