"""No proved verdict is contradicted by numpy, over thousands of specs, weights and inputs."""

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odenet.analyse import certify
from odenet.analyse.jacobian import Evaluation
from odenet.analyse.sampling import Point
from odenet.model.activations import ACTIVATIONS
from tests.analyse.checks import PRIMITIVES, check, sample, value
from tests.analyse.specs import Drawn, model

EXAMPLES = 2000


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_no_verdict_and_no_energy_is_contradicted(rnd: Random, seed: int):
    program = model(Drawn(rnd).text())
    check(program, certify(program), np.random.default_rng(seed))


def test_the_drawn_specs_reach_every_verdict():
    found = [certify(model(Drawn(Random(seed)).text())) for seed in range(150)]
    for verdict in ("imaginary", "real", "stable", "open"):
        assert sum(c.verdict == verdict for c in found) >= 5
    falling = [c.energy for c in found if c.energy and c.energy.terms and not c.energy.conserved]
    assert len(falling) >= 10
    assert any(c.conditions for c in found)
    assert any(len(c.parts) > 1 for c in found)


SMOOTH = {
    "conserved": """
        state Y, Z
        param K1, K2 : dense
        param b1, b2 : bias
        Y' =  2 K1^T tanh(K1 Z + b1)
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
def test_the_integrated_energy_is_conserved_or_falls(name: str):
    program = model("\n".join(line.strip() for line in SMOOTH[name].splitlines()))
    certificate = certify(program)
    assert certificate.energy is not None
    for seed in range(20):
        point, size = sample(program, certificate, np.random.default_rng(seed))
        weights = {key: tensor / 16 for key, tensor in point.weights.items()}

        def at(state: np.ndarray, weights=weights, point=point, size=size) -> Evaluation:
            return Evaluation(program, Point(weights, state, point.input), size)

        energies = [value(certificate.energy, at(s)) for s in integrate(at, point.state)]
        changes = np.diff(energies)
        slack = 1e-6 * max(map(abs, energies))
        assert (
            (abs(changes) < slack).all()
            if certificate.energy.conserved
            else (changes < slack).all()
        )


def integrate(at, state: np.ndarray, h: float = 0.02, steps: int = 25):
    """The classical Runge-Kutta method."""
    yield state
    for _ in range(steps):
        k1 = at(state).rates()[0]
        k2 = at(state + h / 2 * k1).rates()[0]
        k3 = at(state + h / 2 * k2).rates()[0]
        k4 = at(state + h * k3).rates()[0]
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield state


@pytest.mark.parametrize("name", PRIMITIVES)
def test_primitives_have_the_activation_as_derivative(name: str):
    x = np.linspace(-2, 2, 81) + 0.0123
    constants = (0.3,) if name in ("leaky_relu", "shrink") else ()
    rise = PRIMITIVES[name](x + 1e-5, *constants) - PRIMITIVES[name](x - 1e-5, *constants)
    assert np.allclose(
        rise / 2e-5, [ACTIVATIONS[name].value(at, *constants) for at in x], atol=1e-8
    )
