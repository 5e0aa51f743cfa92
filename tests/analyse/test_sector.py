"""Steps that a decay makes stable, against eigenvalues of drawn Jacobians."""

import numpy as np
import pytest

import odenet
from odenet.analyse.sector import damped_sector

INSIDE = "state Y\nparam K : dense\nlet γ = {decay}\nY' = {act}((K - K^T - γ I) Y)\n"
OUTSIDE = "state Y\nparam K : dense\nlet γ = {decay}\nY' = {act}((K - K^T) Y) - γ Y\n"
SLOPES = {"tanh": 1.0, "sigmoid": 0.25, "leaky_relu(2)": 2.0}


def compiled(form, scheme, decay=0.2, act="tanh", h=0.1):
    text = form.format(decay=decay, act=act) + f"discretise {scheme}(h = {h})"
    return odenet.loads(text)


def reach(program):
    """The largest ω of K - Kᵀ, without the slope that the sector's own ω has."""
    sector = damped_sector(program.model, program.certificate)
    tested = program.derivation.stability.tested[-1]
    return sector.stable_frequency(tested, float(program.model.discretisation.h))


def radius(form, step, decay, slope, omega, h, draws):
    """The largest spectral radius of a step over drawn slopes and matrices of norm omega."""
    worst = 0.0
    for _ in range(60):
        K = draws.normal(size=(4, 4))
        A = (K - K.T) * omega / np.linalg.norm(K - K.T, 2)
        D = np.diag(slope * draws.uniform(0, 1, 4) ** draws.choice([0, 1, 4]))
        J = D @ (A - decay * np.eye(4)) if form is INSIDE else D @ A - decay * np.eye(4)
        worst = max(worst, np.abs(np.linalg.eigvals(step(h * J))).max())
    return worst


STEPS = {
    "euler": lambda z: np.eye(4) + z,
    "heun": lambda z: np.eye(4) + z + z @ z / 2,
}


@pytest.mark.parametrize("scheme", STEPS)
@pytest.mark.parametrize("form", [INSIDE, OUTSIDE])
@pytest.mark.parametrize("act", SLOPES)
def test_steps_inside_the_sector_are_stable_and_outside_they_need_not_be(scheme, form, act):
    h, decay, slope = 0.3, 0.2, SLOPES[act]
    program = compiled(form, scheme, decay, act, h)
    omega = reach(program) / slope
    draws = np.random.default_rng(0)
    assert omega > 0.1
    assert radius(form, STEPS[scheme], decay, slope, 0.999 * omega, h, draws) <= 1 + 1e-9
    assert radius(form, STEPS[scheme], decay, slope, 1.1 * omega, h, draws) > 1


def test_the_closed_form_of_euler_is_said_with_what_it_means_for_the_file():
    (warning,) = compiled(INSIDE, "euler", 0.1).warnings
    assert "imaginary eigenvalues" in warning.message and "on a dissipative" not in warning.message
    assert "ω = ‖K - Kᵀ‖, steps h ≤ 2 γ/(γ² + ω²) are stable" in warning.message
    assert "h = 0.1 while ω ≤ 1.41" in warning.message


def test_no_step_of_midpoint_is_said_to_be_stable_on_a_damped_spectrum():
    (warning,) = compiled(INSIDE, "midpoint").warnings
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
def test_without_a_decay_by_a_known_number_there_is_no_sector(text):
    program = odenet.loads(text + "discretise euler(h = 0.1)")
    assert damped_sector(program.model, program.certificate) is None
