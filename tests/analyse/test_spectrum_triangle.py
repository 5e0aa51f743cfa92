"""Stable step sizes where a decay confines the spectrum to a triangle in Re λ ≤ 0.

The independent route: spectral radii of Euler's and Heun's steps on random Jacobians in numpy.
"""

import numpy as np
import pytest

import odenet
from odenet.analyse.spectrum_triangle import spectrum_triangle

DECAY_INSIDE = "state Y\nparam K : dense\nlet γ = {decay}\nY' = {activation}((K - K^T - γ I) Y)\n"
DECAY_OUTSIDE = "state Y\nparam K : dense\nlet γ = {decay}\nY' = {activation}((K - K^T) Y) - γ Y\n"
SLOPES = {"tanh": 1.0, "sigmoid": 0.25, "leaky_relu(2)": 2.0}  # the largest ones


def compiled(form, scheme, decay=0.2, activation="tanh", h=0.1):
    text = form.format(decay=decay, activation=activation) + f"discretise {scheme}(h = {h})"
    return odenet.loads(text)


def stable_frequency(program):
    """The largest ω at which steps are stable, where ω is ‖K - Kᵀ‖ times the largest slope."""
    triangle = spectrum_triangle(program.model, program.certificate)
    equation = program.derivation.stability.per_equation[-1]
    return triangle.stable_frequency(equation, float(program.model.discretisation.h))


def largest_radius(form, step, decay, slope, omega, h, rng):
    """The largest spectral radius of a step over random slopes and matrices of norm omega."""
    largest = 0.0
    for _ in range(60):
        K = rng.normal(size=(4, 4))
        A = (K - K.T) * omega / np.linalg.norm(K - K.T, 2)
        exponent = rng.choice([0, 1, 4])  # all slopes the largest, evenly spread, or mostly small
        D = np.diag(slope * rng.uniform(0, 1, 4) ** exponent)
        J = D @ (A - decay * np.eye(4)) if form is DECAY_INSIDE else D @ A - decay * np.eye(4)
        largest = max(largest, np.abs(np.linalg.eigvals(step(h * J))).max())
    return largest


# the matrix of a step for z = h J
STEPS = {
    "euler": lambda z: np.eye(4) + z,
    "heun": lambda z: np.eye(4) + z + z @ z / 2,
}


@pytest.mark.parametrize("scheme", STEPS)
@pytest.mark.parametrize("form", [DECAY_INSIDE, DECAY_OUTSIDE])
@pytest.mark.parametrize("activation", SLOPES)
def test_steps_are_stable_up_to_the_limit_and_not_far_beyond(scheme, form, activation):
    h, decay, slope = 0.3, 0.2, SLOPES[activation]
    program = compiled(form, scheme, decay, activation, h)
    omega = stable_frequency(program) / slope
    rng = np.random.default_rng(0)
    assert omega > 0.1
    assert largest_radius(form, STEPS[scheme], decay, slope, 0.999 * omega, h, rng) <= 1 + 1e-9
    assert largest_radius(form, STEPS[scheme], decay, slope, 1.1 * omega, h, rng) > 1


def test_a_warning_about_euler_has_the_limit_as_a_formula_and_as_a_number():
    (warning,) = compiled(DECAY_INSIDE, "euler", 0.1).warnings
    assert "imaginary eigenvalues" in warning.message and "on a dissipative" not in warning.message
    assert "ω = ‖K - Kᵀ‖, steps h ≤ 2 γ/(γ² + ω²) are stable" in warning.message
    assert "h = 0.1 while ω ≤ 1.41" in warning.message


def test_no_step_size_of_midpoint_is_called_stable_on_a_damped_spectrum():
    (warning,) = compiled(DECAY_INSIDE, "midpoint").warnings
    assert "negative real eigenvalues" in warning.message and "are stable" not in warning.message


@pytest.mark.parametrize(
    "text",
    [
        "state Y\nparam K : dense\nparam γ : scalar\nY' = tanh((K - K^T - γ I) Y)\n",
        "state Y\nparam K : dense\nparam N : norm(batch)\nY' = tanh(N((K - K^T - I) Y))\n",
        "state Y\nparam K, L : dense\nY' = tanh((K - K^T - L^T L) Y)\n",
        "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\n",
    ],
)
def test_without_a_decay_by_a_known_number_there_is_no_triangle(text):
    program = odenet.loads(text + "discretise euler(h = 0.1)")
    assert spectrum_triangle(program.model, program.certificate) is None
