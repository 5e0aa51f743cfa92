"""The predicted error of a rebuilt state, against single precision."""

import numpy as np
import pytest

from odenet.derive import derive
from tests.derive.numeric import SCHEMES, as_vector, numbers_of, step, unstep

EPS = float(np.finfo(np.float32).eps)
TURN = np.array([[0, 1], [-1, 0]], dtype=np.float32)


def measured(name: str, steps: int, rate=None) -> float:
    """The error of float32 steps and inverse steps, relative to the largest value on the way.

    Args:
        name: of the scheme, with h = 0.1.
        steps: forward, and back.
        rate: the right-hand side; by default the test equation with ω = 1.
    """
    scheme, derivation = SCHEMES[name], derive(SCHEMES[name])
    numbers = {k: np.float32(v) for k, v in numbers_of(scheme, 0.1).items()}
    rates = {}
    for p in scheme.patterns:
        turn = np.linalg.matrix_power(TURN, p.order)
        rates[p.function] = rate or (lambda x, turn=turn: turn @ x)
    draws = np.random.default_rng(0)
    values = {u: draws.normal(size=(2, 50)).astype(np.float32) for u in scheme.unknowns}
    state = first = {slot: values[slot.name] for slot in scheme.slots}
    largest = 0.0
    for _ in range(steps):
        state = step(scheme, state, rates, numbers)
        largest = max(largest, float(np.abs(as_vector(state)).max()))
    for _ in range(steps):
        state = unstep(derivation, state, rates, numbers)
    return float(np.abs(as_vector(state) - as_vector(first)).max()) / largest


@pytest.mark.parametrize("name", ["verlet", "stormer_verlet", "midpoint", "leapfrog", "yoshida4"])
@pytest.mark.parametrize("steps", [10, 100, 1000])
def test_the_error_stays_below_the_bound_and_near_the_estimate(name, steps):
    found = derive(SCHEMES[name]).roundtrip_error(steps, 0.1, EPS, frequency=1.0)
    error = measured(name, steps)
    assert error < found.bound
    assert found.estimate / 300 < error < 10 * found.estimate


@pytest.mark.parametrize("steps", [20, 60, 100])
def test_momentum_loses_a_factor_gamma_in_every_step(steps):
    # a constant right-hand side keeps the velocity at 1, so that it is rounded by as much
    found = derive(SCHEMES["momentum"]).roundtrip_error(steps, 0.1, EPS, frequency=1e-9)
    error = measured("momentum", steps, lambda x: np.ones_like(x))
    assert error < found.bound
    assert found.estimate / 300 < error
    assert found.estimate > EPS * 0.9**-steps / 10


def test_the_double_root_of_leapfrog_costs_one_more_power_of_the_depth():
    grown = {}
    for name in ("verlet", "leapfrog"):
        derivation = derive(SCHEMES[name])
        found = [derivation.roundtrip_error(n, 0.1, EPS, frequency=1e-6) for n in (100, 400)]
        grown[name] = np.log(found[1].bound / found[0].bound) / np.log(4)
    assert grown["verlet"] == pytest.approx(1, abs=0.05)
    assert grown["leapfrog"] == pytest.approx(2, abs=0.05)


def test_nothing_is_predicted_where_there_is_no_inverse():
    assert derive(SCHEMES["euler"]).roundtrip_error(10, 0.1, EPS) is None
    assert derive(SCHEMES["ring"]).roundtrip_error(10, 0.1, EPS) is None
