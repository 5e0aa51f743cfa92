"""No verdict and no energy of hundreds of random specs is contradicted by numpy."""

from random import Random

import numpy as np
import pytest

from odenet.analyse import certify
from odenet.model.tables.activations import ACTIVATIONS
from tests.analyse.numpy_checks import PRIMITIVES, energy_value, oracle_at
from tests.analyse.soundness import checked_certificate
from tests.analyse.specs import RandomSpec, load_model

SPECS = 300  # `python -m tests.analyse.soundness` checks more; see CONTRIBUTING.md
SPECS_PER_TEST = 50


@pytest.mark.parametrize("first", range(0, SPECS, SPECS_PER_TEST))
def test_no_verdict_and_no_energy_is_contradicted(first: int):
    for seed in range(first, first + SPECS_PER_TEST):
        checked_certificate(seed)


def test_every_verdict_occurs_among_the_random_specs():
    certificates = [certify(load_model(RandomSpec(Random(seed)).text())) for seed in range(150)]
    for verdict in ("imaginary", "real", "stable", "open"):
        assert sum(c.verdict == verdict for c in certificates) >= 5
    decreasing = [
        c.energy for c in certificates if c.energy and c.energy.terms and not c.energy.conserved
    ]
    assert len(decreasing) >= 10
    assert any(c.conditions for c in certificates)
    assert any(len(c.parts) > 1 for c in certificates)


def test_every_part_of_a_unit_occurs_among_the_random_specs():
    texts = [RandomSpec(Random(seed)).text() for seed in range(300)]
    for piece in ("N1(", "N2(", " u", "g1 ", "d1", "''", "state Y, Z, X, V", ") * ", "b2 - "):
        assert sum(piece in text for text in texts) >= 3, piece
    nested = [text for text in texts if any(f"{name}(2 " in text for name in ACTIVATIONS)]
    assert len(nested) >= 10


# systems with smooth activations, which the Runge-Kutta method integrates accurately
SMOOTH = {
    "conserved": """
        state Y, Z
        param K1, K2 : dense
        param b1, b2 : bias
        Y' = 2 K1^T tanh(K1 Z + b1)
        Z' = -1/3 K2^T sigmoid(K2 Y + b2)""",
    "coupled oscillators": """
        state Y
        param K : conv(3)
        param b : bias
        Y'' = -K^T tanh(K Y + b) - 2 Y""",
    "damped": """
        state Y
        param K, W : dense
        Y'' = -K^T tanh(K Y) - 1/2 Y' + (W - W^T) Y'""",
    "diffusion": """
        state Y
        param K : dense
        Y' = -1/10 Y - K^T elu(K Y)""",
}


@pytest.mark.parametrize("name", SMOOTH)
def test_the_energy_along_an_integrated_solution_is_conserved_or_falls(name: str):
    model = load_model("\n".join(line.strip() for line in SMOOTH[name].splitlines()))
    certificate = certify(model)
    assert certificate.energy is not None
    for seed in range(20):
        point = oracle_at(model, certificate, np.random.default_rng(seed))
        energies = []
        for state in integrate(point.right_hand_sides, point.state):
            point.state = state
            energies.append(energy_value(certificate.energy, point))
        changes = np.diff(energies)
        tolerance = 1e-6 * max(map(abs, energies))
        assert (
            (abs(changes) < tolerance).all()
            if certificate.energy.conserved
            else (changes < tolerance).all()
        )


def integrate(right_hand_sides, state: np.ndarray, h: float = 0.005, steps: int = 25):
    """The initial state, and the state after each step of the classical Runge-Kutta method."""

    def rate(state: np.ndarray) -> np.ndarray:
        return right_hand_sides(state[:, None].astype(complex)).real[:, 0]

    yield state
    for _ in range(steps):
        k1 = rate(state)
        k2 = rate(state + h / 2 * k1)
        k3 = rate(state + h / 2 * k2)
        k4 = rate(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield state


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_have_the_activation_as_derivative(name: str):
    x = np.linspace(-2, 2, 81) + 0.0123  # off the kinks, as of relu at 0
    constants = (0.3,) if name in ("leaky_relu", "shrink") else ()
    increase = PRIMITIVES[name](x + 1e-5, *constants) - PRIMITIVES[name](x - 1e-5, *constants)
    activation = [ACTIVATIONS[name].value(point, *constants) for point in x]
    assert np.allclose(increase / 2e-5, activation, atol=1e-8)
