"""Schemes whose coefficients depend on the step number n, against theorems on Nesterov's method.

The theorems are those of Su, Boyd & Candès 2016.
"""

import mpmath
import numpy as np
import pytest

from odenet.derive import derive
from tests.derive.literature import LITERATURE
from tests.derive.numeric import constant_values, read_scheme, step

SCHEMES_OF_PAPERS = ("nesterov_1983", "vanishing_friction")


def trajectory(name, force, start, h, steps):
    """The values of Y at the start and after each step, which reads its number n as a constant."""
    scheme = LITERATURE[name]
    state = {slot: start if slot.name == "Y" else 0 * start for slot in scheme.slots}
    values = [start]
    for n in range(steps):
        state = step(scheme, state, {"F": force}, constant_values(scheme, h, n=n))
        values.append(state[next(s for s in scheme.slots if (s.name, s.offset) == ("Y", 0))])
    return np.array(values)


def exact_solution(t):
    """X(t) of X'' + 3/t X' + X = 0 from rest at 1: section 3.2 of the paper, a Bessel function."""
    return float(2 * mpmath.besselj(1, t) / t)


@pytest.mark.parametrize("name", SCHEMES_OF_PAPERS)
def test_iterates_tend_to_the_solution_of_the_equation_of_the_paper(name):
    """Theorem 2: at t = n √s as s tends to 0; the measured slope of the error is 1."""
    end, errors = 4.0, []
    for steps in (100, 200):
        h = end / steps
        # in the paper t = n √s, where s is the step size of Nesterov's method
        step_size = h**2 if name == "nesterov_1983" else h
        found = trajectory(name, lambda y: -y, np.ones(1), step_size, steps)
        errors.append(abs(found[-1, 0] - exact_solution(end)))
    assert errors[1] < 0.02
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15)


def test_the_gap_of_a_convex_function_falls_as_nesterov_proved():
    """f(x_k) - f* ≤ 2 |x_0|² / (s (k + 1)²), for any convex quadratic f and s ≤ 1/L: Eq. 4."""
    rng = np.random.default_rng(5)
    for _ in range(5):
        root = rng.normal(size=(6, 6))
        matrix = root @ np.diag(rng.integers(0, 2, 6)) @ root.T  # flat in some directions
        s = 1 / np.linalg.norm(matrix, 2)
        start = rng.normal(size=6)
        found = trajectory("nesterov_1983", lambda y, a=matrix: -a @ y, start, s, 60)
        gaps = np.einsum("ki,ij,kj->k", found, matrix, found) / 2
        bounds = 2 * (start @ start) / (s * (np.arange(61) + 1) ** 2)
        assert (gaps[1:] <= bounds[1:]).all()


def test_no_order_is_derived_where_the_step_number_is_read():
    """n h is a time, so that what seems small in h is not: this solves Y' = (1 + t) F(Y)."""
    scheme = read_scheme("""scheme growing {
    for Y' = F(Y)
    Y[n+1] = Y[n] + h F(Y[n]) + n h^2 F(Y[n])
}""")
    found = derive(scheme)
    assert found.order is None and found.accuracy.not_derived
    assert found.symmetry_order is None
    assert found.varying == ("n",)


@pytest.mark.parametrize("name", SCHEMES_OF_PAPERS)
def test_the_scheme_with_a_velocity_is_reversible_unless_n_is_minus_one(name):
    found = derive(LITERATURE[name])
    assert found.reversible is (name == "vanishing_friction")
    assert ("n + 1" in map(str, found.conditions)) is found.reversible
    assert not found.violated_conditions({"n": 0})
    assert bool(found.violated_conditions({"n": -1})) is found.reversible
