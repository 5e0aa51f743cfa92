"""Propositions 1 to 4 of Sander et al. 2021, measured in float64 on generated modules.

They are compared with closed solutions, a matrix, and a power series, all written out here.
"""

import cmath
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.optimize import brentq

import odenet

REVNET = odenet.loads("""odenet 1
state v, x
param A, B : dense
v' = A tanh(x)
x' = B tanh(v)
discretise verlet(h = 1)
""")
SINES = odenet.loads("""odenet 1
state x
shared param A, B : dense
x' = A sin(x) + B sin(2 x)
discretise momentum(γ = 0.9)
""")
LINEAR = odenet.loads("""odenet 1
state x
shared param K : dense
x' = K x
discretise momentum(γ = 0.9)
""")
DAMPED = odenet.loads("""odenet 1
state x
x' = -tanh(x)
discretise momentum(γ = 0.9)
""")


def matrices(seed, size=3):
    """Two normally distributed matrices, which are almost surely invertible."""
    return torch.randn(
        2, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def revnet_flow(A, B, steps=1):
    """RevNet steps with the fixed point 0, where the Jacobians of the two maps are A and B."""
    flow = REVNET.flow(2 * len(A), steps, space=0).double()
    with torch.no_grad():
        flow.A.copy_(A)
        flow.B.copy_(B)
    return flow


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 3))
def test_proposition_1_a_revnet_has_no_attractive_fixed_point(seed, scale):
    A, B = scale * matrices(seed)
    origin = torch.zeros(1, 6, dtype=torch.float64)
    flow = revnet_flow(A, B)
    assert torch.equal(flow(origin), origin)
    jacobian = torch.autograd.functional.jacobian(flow, origin)[0, :, 0]
    eye = torch.eye(3, dtype=torch.float64)
    expected = torch.cat([torch.cat([eye, A], 1), torch.cat([B, eye + B @ A], 1)])
    assert torch.allclose(jacobian, expected, rtol=1e-12, atol=1e-12)
    eigenvalues = torch.linalg.eigvals(jacobian)
    is_not_attracting = eigenvalues.abs() >= 1 - 1e-9
    # Some eigenvalue other than 1 lies on or outside the unit circle.
    assert ((eigenvalues - 1).abs()[is_not_attracting] > 1e-6).any()


def test_the_iterates_of_a_revnet_stay_away_from_the_fixed_point_that_momentum_reaches():
    """With f(x) = -tanh(x), momentum with γ < 1 tends to 0, and a RevNet of f and -f does not."""
    start = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    assert DAMPED.flow(2, 400, space=0)(start).norm() < 1e-6
    eye = torch.eye(2, dtype=torch.float64)
    coupled = revnet_flow(-eye, eye, steps=400).trajectory(start.repeat(1, 2))
    assert min(torch.cat(state, 1).norm() for state in coupled) > 0.1


START = torch.tensor([[-2.0], [-0.5], [0.1], [1.0], [2.5]], dtype=torch.float64)


def momentum_path(weights, speed, epsilon, steps):
    """x(t) at every step on [0, 1] for εx'' + x' = a sin x + b sin 2x, x(0) = START, x'(0) = speed.

    `weights` is (a, b). The steps are those of the momentum scheme for h f, with γ = 1 - h/ε.
    """
    flow = SINES.flow(1, steps, space=0, gamma=1 - 1 / (steps * epsilon)).double()
    with torch.no_grad():
        for matrix, weight in zip((flow.A, flow.B), weights, strict=True):
            matrix.fill_(weight / steps)
        first_state = flow.first_state(START)._replace(v=speed / steps)
        return torch.stack([state.x for state in flow.trajectory(first_state)])


def max_error(trajectory):
    """The largest distance from the solution of x' = sin x, for which tan(x/2) grows like e^t."""
    t = torch.linspace(0, 1, len(trajectory), dtype=torch.float64)[:, None, None]
    return (trajectory - 2 * torch.atan(torch.tan(START / 2) * t.exp())).abs().max().item()


@pytest.mark.parametrize("speed", [0 * START, START.sin(), 2 * START], ids=["0", "f(x)", "other"])
def test_proposition_2_solutions_tend_to_the_first_order_s_as_ε_tends_to_0(speed):
    errors = [
        max_error(momentum_path((1, 0), speed, epsilon, 1000)) for epsilon in (0.08, 0.04, 0.02)
    ]
    assert errors[-1] < 0.1
    for larger, smaller in pairwise(errors):
        assert 1.6 < larger / smaller < 2.4  # nearly in proportion to ε


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_proposition_3_solutions_of_the_first_order_are_solutions_of_the_second(epsilon):
    """With f̂ = f + ε f' f, which is sin x + ε sin(2 x)/2 for f = sin, and x'(0) = f(x0)."""
    weights = (1, epsilon / 2)  # of sin x and of sin 2x
    errors = [
        max_error(momentum_path(weights, START.sin(), epsilon, steps)) for steps in (200, 400, 800)
    ]
    assert errors[-1] < 2e-3
    for larger, smaller in pairwise(errors):
        assert 1.8 < larger / smaller < 2.2  # of order 1, as the scheme
    error_of_f_itself = max_error(momentum_path((1, 0), START.sin(), epsilon, 800))
    assert error_of_f_itself > 20 * errors[-1]


def solution_at_one(theta, epsilon):
    """x(1) of the scalar εx'' + x' = θx from x(0) = 1 at rest, by the roots of its polynomial."""
    s = cmath.sqrt(theta / epsilon + 1 / (4 * epsilon**2))
    growth = cmath.cosh(s) + cmath.sinh(s) / (2 * epsilon * s)
    return (math.exp(-1 / (2 * epsilon)) * growth).real


@pytest.mark.parametrize("factor", [-0.9, -0.5, 0.0, 3.0])
def test_proposition_3_from_rest_every_multiple_above_minus_1_is_represented(factor, epsilon=10):
    """Some θ takes x(0) to x(1) = `factor` x(0).

    The larger ε, the nearer to -1 is the least factor, about -e^(-1/(2 ε)) (appendix B.4).
    """
    # at θ = -98 the factor is near its minimum
    theta = brentq(lambda value: solution_at_one(value, epsilon) - factor, -98, 100)
    coarse, fine = (network_matrix(np.array([[theta]]), epsilon, steps) for steps in (500, 1000))
    extrapolated = 2 * fine - coarse  # the scheme has order 1
    assert abs(extrapolated - factor).item() < 1e-5


def power_series(theta, epsilon, terms=60):
    """Ψ_ε(θ) as Proposition 4 writes it."""
    square = theta / epsilon + np.eye(len(theta)) / (4 * epsilon**2)
    power, total = np.eye(len(theta)), np.zeros_like(theta)
    for n in range(terms):
        even, odd = math.factorial(2 * n), math.factorial(2 * n + 1)
        total = total + (1 / even + 1 / (2 * epsilon * odd)) * power
        power = power @ square
    return math.exp(-1 / (2 * epsilon)) * total


def network_matrix(theta, epsilon, steps):
    """The matrix of a linear momentum network: ``steps`` steps with θ = N K and γ = 1 - 1/(N ε)."""
    size = len(theta)
    gamma = 1 - 1 / (steps * epsilon)
    flow = LINEAR.flow(size, steps, space=0, gamma=gamma).double()
    with torch.no_grad():
        flow.K.copy_(torch.from_numpy(theta) / steps)
        return flow(torch.eye(size, dtype=torch.float64)).T.numpy()


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 5.0])
def test_proposition_4_a_linear_momentum_network_is_the_series(epsilon):
    theta = 2 * matrices(4)[0].numpy()
    expected = power_series(theta, epsilon)
    eye = np.eye(3)
    system = np.block([[0 * eye, eye], [theta / epsilon, -eye / epsilon]])
    assert np.allclose(expected, expm(system)[:3, :3], rtol=1e-10, atol=1e-10)
    coarse, fine = (network_matrix(theta, epsilon, steps) for steps in (500, 1000))
    errors = [np.abs(matrix - expected).max() for matrix in (coarse, fine, 2 * fine - coarse)]
    assert 1.9 < errors[0] / errors[1] < 2.1  # of order 1
    assert errors[2] < 1e-2 * errors[1]  # extrapolated
