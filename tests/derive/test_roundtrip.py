"""The estimated error of a state rebuilt by inverse steps, against steps in simulated low precision."""

import numpy as np
import pytest

from odenet.derive import derive
from tests.derive.numeric import SCHEMES, as_vector, constant_values, step, step_back
from tests.derive.rounded import BITS, roundtrip_error

H = 0.1
EPS = float(np.finfo(np.float32).eps)
LARGEST_HW = {  # the largest hω in these tests: half of the stability limit
    "verlet": 1.0,
    "stormer_verlet": 1.0,
    "leapfrog": 1.0,
    "yoshida4": 0.78,
    "midpoint": 0.5,
    "reversible_heun": 0.5,
    "asynchronous_leapfrog": 0.5,
}


def estimate(name: str, steps: int, precision: str = "float32", largest_hw: float | None = None):
    eps = 2.0 ** (1 - BITS[precision])
    frequency = (LARGEST_HW[name] if largest_hw is None else largest_hw) / H
    return derive(SCHEMES[name]).roundtrip_error(steps, H, eps, frequency)


def worst_measured_error(name: str, steps: int, precision: str = "float32") -> float:
    """The largest measured error with equal frequencies in all steps."""
    fractions = (0.01, 0.03, 0.1, 0.3, 0.7, 1.0)
    return max(
        roundtrip_error(name, [fraction * LARGEST_HW[name] / H] * steps, precision) for fraction in fractions
    )  # fmt: skip


@pytest.mark.parametrize("precision", BITS)
@pytest.mark.parametrize("steps", [8, 40])
@pytest.mark.parametrize("name", LARGEST_HW)
def test_with_equal_weights_the_error_is_at_most_the_estimate_and_at_least_a_thirtieth(
    name, steps, precision
):
    expected = estimate(name, steps, precision).estimate
    assert expected / 30 < worst_measured_error(name, steps, precision) < expected


def test_the_error_is_as_near_to_the_estimate_after_400_steps():
    assert estimate("verlet", 400).estimate / 30 < worst_measured_error("verlet", 400)
    assert worst_measured_error("verlet", 400) < estimate("verlet", 400).estimate


@pytest.mark.parametrize("name", LARGEST_HW)
def test_with_weights_that_change_slowly_the_error_is_at_most_twice_the_estimate(name):
    ramp = np.linspace(0.2, 1.0, 40) * LARGEST_HW[name] / H
    assert roundtrip_error(name, list(ramp), "float32") < 2 * estimate(name, 40).estimate


@pytest.mark.parametrize(("steps", "least_error"), [(28, 1e-4), (112, 1e2)])
def test_frequencies_that_alternate_resonate_and_the_estimate_for_unequal_ones_says_so(
    steps, least_error
):
    pattern = [0.9, 0.9, 0.3, 0.3, 0.3, 0.3, 0.3]  # hω of stable steps whose product grows
    error = roundtrip_error("leapfrog", [p / H for p in pattern] * (steps // 7), "float32")
    found = estimate("leapfrog", steps, largest_hw=0.9)
    assert error > least_error
    assert error < found.uneven
    # it says so: nothing is left of the state, or the error is far above that for equal frequencies
    assert found.uneven > 1 or found.uneven > 3 * found.estimate


@pytest.mark.parametrize("name", LARGEST_HW)
def test_with_random_frequencies_the_error_is_at_most_twice_the_estimate_for_unequal_ones(name):
    frequencies = np.random.default_rng(3).uniform(0, LARGEST_HW[name] / H, size=30)
    assert roundtrip_error(name, list(frequencies), "float32") < 2 * estimate(name, 30).uneven


def test_a_start_line_of_zero_lets_the_state_grow_and_its_error_with_it():
    # leapfrog from Y[-1] = 0 moves by Y[0] in every step at low frequencies, and the error grows as
    # steps^2.5; roundings alone, as those of verlet, add up to an error like steps^0.5
    grown = [estimate("leapfrog", n, largest_hw=1e-6).estimate for n in (100, 400)]
    assert np.log(grown[1] / grown[0]) / np.log(4) == pytest.approx(2.5, abs=0.05)
    steady = [estimate("verlet", n, largest_hw=1e-6).estimate for n in (100, 400)]
    assert np.log(steady[1] / steady[0]) / np.log(4) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("steps", [20, 60, 100])
def test_momentum_loses_a_factor_gamma_in_every_step(steps):
    # a constant right-hand side, of frequency 0, keeps the velocity near 1, and its rounding error
    # near EPS, which every inverse step divides by γ = 0.9
    scheme, derivation = SCHEMES["momentum"], derive(SCHEMES["momentum"])
    numbers = {k: np.float32(v) for k, v in constant_values(scheme, H).items()}
    rates = {"f": lambda x: np.ones_like(x)}
    rng = np.random.default_rng(0)
    first = state = {slot: rng.normal(size=100).astype(np.float32) for slot in scheme.slots}
    for _ in range(steps):
        state = step(scheme, state, rates, numbers)
    for _ in range(steps):
        state = step_back(derivation, state, rates, numbers)
    difference = np.linalg.norm(as_vector(state) - as_vector(first))
    error = float(difference / np.linalg.norm(as_vector(first)))
    found = derivation.roundtrip_error(steps, H, EPS, frequency=1e-9).estimate
    assert found / 300 < error < 3 * found
    assert found > EPS * 0.9**-steps / 10


def test_nothing_is_predicted_where_there_is_no_inverse():
    assert derive(SCHEMES["euler"]).roundtrip_error(10, H, EPS) is None
    assert derive(SCHEMES["ring"]).roundtrip_error(10, H, EPS) is None


@pytest.mark.parametrize("name", LARGEST_HW)
@pytest.mark.parametrize("h", [1e-300, 1e-12, 1e6, 1e150, 1e300])
def test_steps_of_any_size_give_a_number_or_infinity(name, h):
    found = derive(SCHEMES[name]).roundtrip_error(6, h, EPS, frequency=1.0)
    assert found.estimate >= 0 and found.uneven >= found.estimate
