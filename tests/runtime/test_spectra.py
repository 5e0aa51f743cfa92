"""Operator norms, stability and spectra of flows, against dense matrices and Jacobians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import odenet
from odenet.runtime import adjoint_conv, conv, operator_norm
from odenet.runtime.learned.operator_norms import _eigenvectors_by_squaring
from tests.runtime.handwritten import HamiltonianFlow, MidpointFlow, TwoStepState, build

SPECS = Path(__file__).parents[2] / "specs"


def matrix_of(operator, shape):
    """The matrix of a linear operator: its values at the unit vectors of a shape."""
    n = int(np.prod(shape))
    basis = torch.eye(n, dtype=torch.float64).view(n, *shape)
    return operator(basis).flatten(1).T


@pytest.mark.parametrize(
    ("shape", "options"),
    [((3, 2, 3, 3), {}), ((4, 2, 2, 3), {"groups": 2}), ((2, 2, 3, 3), {"dilation": 2})],
)
def test_the_norm_of_a_kernel_is_its_largest_singular_value(shape, options, monkeypatch):
    # By default the norm is that of a convolution of 32 x 32 points; here the matrix stays small.
    monkeypatch.setattr("odenet.runtime.learned.operator_norms._MAP_SHAPE", {2: (6, 6)})
    K = torch.randn(shape, dtype=torch.float64)
    channels = shape[1] * options.get("groups", 1)
    matrix = matrix_of(lambda x: conv(x, K, **options), (channels, 6, 6))
    norm, direction = operator_norm(K, tolerance=1e-9, **options)
    torch.testing.assert_close(norm, torch.linalg.matrix_norm(matrix, 2), rtol=1e-3, atol=0)
    torch.testing.assert_close(conv(direction, K, **options).norm(), norm)


def test_the_norm_of_a_matrix_is_its_largest_singular_value_and_that_of_zero_is_zero():
    W = torch.randn(5, 3, dtype=torch.float64)
    norm, _ = operator_norm(W, tolerance=1e-12)
    torch.testing.assert_close(norm, torch.linalg.matrix_norm(W, 2), rtol=1e-6, atol=0)
    assert operator_norm(torch.zeros(2, 2, 3, 3))[0] == 0


@pytest.mark.parametrize("channels", [4, 16])
def test_a_few_iterations_come_close_to_the_norm_from_below(channels):
    torch.manual_seed(channels)
    K = torch.randn(channels, channels, 3, 3)
    converged, _ = operator_norm(K, tolerance=1e-7, limit=2000)
    rough, _ = operator_norm(K, limit=12)
    assert 0.9 * converged < rough < converged


def test_a_norm_starts_from_where_the_last_one_ended(monkeypatch):
    flow, calls = HamiltonianFlow(4, 2), []

    def counting_adjoint_conv(y, K, **options):
        calls.append(1)
        return adjoint_conv(y, K, **options)

    monkeypatch.setattr("odenet.runtime.learned.operator_norms.adjoint_conv", counting_adjoint_conv)
    cold_norm, cold_calls = flow.norm("K1", flow.K1[0], step=0), len(calls)
    warm_norm = flow.norm("K1", flow.K1[0], step=0)
    assert len(calls) - cold_calls <= 2 < cold_calls
    assert warm_norm >= cold_norm


def test_stability_is_the_share_of_the_limit_that_each_step_uses():
    flow = HamiltonianFlow(4, 3, h=0.1)
    with torch.no_grad():
        flow.K1[1] *= 10
    stability = flow.stability()
    bounds = torch.stack([flow.frequency_bound(step) for step in range(3)])
    # h ω / limit; Verlet steps are stable for h ω < 2.
    torch.testing.assert_close(stability, 0.1 * bounds.double() / 2, rtol=1e-3, atol=0)
    assert stability[1] > 3 * stability[0]


def test_the_spectrum_is_that_of_the_jacobian_of_the_field():
    flow, u = build("hamiltonian", steps=3)
    u = u[:1, :, :3, :3]
    state = flow.trajectory(u)[2]

    def field(*unknowns):
        return flow.field(type(state)(*unknowns), step=2)

    jacobian = torch.autograd.functional.jacobian(field, tuple(state))
    size = state[0].numel()
    matrix = torch.cat([torch.cat([b.reshape(size, size) for b in row], 1) for row in jacobian])
    # Rounded before sorting, since double eigenvalues are inexact; + 0.0 turns -0.0 into 0.0.
    expected = np.sort_complex(np.linalg.eigvals(matrix.numpy()).round(6) + 0.0)
    actual = np.sort_complex(flow.spectrum(u, step=2).numpy().round(6) + 0.0)
    np.testing.assert_allclose(actual, expected, atol=3e-6)
    assert np.abs(actual.real).max() < 3e-6  # double eigenvalues have half the digits


def test_the_extreme_eigenvalues_of_a_large_jacobian_are_found():
    torch.manual_seed(0)
    flow = MidpointFlow(4, 2, gamma=0.5).double()
    u = torch.randn(1, 4, 12, 12, dtype=torch.float64)
    actual = flow.spectrum(u, step=1, count=4)
    assert 4 <= len(actual) <= 8  # four of largest modulus, four of largest real part
    assert (actual.abs().diff() <= 1e-12).all()  # in descending order
    state = flow.trajectory(u)[1]
    jacobian = torch.autograd.functional.jacobian(
        lambda Y: flow.field(TwoStepState(Y, Y), step=1)[0], state.Y
    )
    size = u.numel()
    expected = torch.linalg.eigvals(jacobian.reshape(size, size))
    assert actual[0].abs().item() == pytest.approx(expected.abs().amax().item(), rel=1e-3)
    assert actual.real.max().item() == pytest.approx(expected.real.amax().item(), abs=1e-2)


@pytest.mark.parametrize("name", ["momentum", "momentum with dropout", "leapfrog"])
def test_the_spectrum_is_taken_in_evaluation_mode_and_changes_nothing(name):
    flow, u = build(name)
    buffers = [buffer.clone() for buffer in flow.buffers()]
    modes = [module.training for module in flow.modules()]
    first, again = flow.spectrum(u[:1], step=0), flow.spectrum(u[:1], step=0)
    assert torch.equal(first, again)
    assert all(map(torch.equal, buffers, flow.buffers()))
    assert modes == [module.training for module in flow.modules()]


def test_eigenvectors_by_squaring_belong_to_the_largest_eigenvalue():
    torch.manual_seed(0)
    factors = torch.randn(50, 3, 3, dtype=torch.float64)
    matrices = factors @ factors.mT
    matrices[0] = 0
    matrices[1] = torch.eye(3)
    matrices[2] = torch.diag(torch.tensor([1.0, 1 - 1e-6, 0.5]))  # the two largest are close
    eigenvectors = _eigenvectors_by_squaring(matrices)
    largest = torch.from_numpy(np.linalg.eigvalsh(matrices.numpy())[:, -1])
    quotients = (eigenvectors[:, None] @ matrices @ eigenvectors[..., None]).flatten()
    torch.testing.assert_close(quotients, largest, rtol=1e-6, atol=0)
    torch.testing.assert_close(eigenvectors[1:].norm(dim=1), torch.ones(49).double())


@pytest.mark.parametrize("scale", [1e-35, 1e-22, 1e18, 1e25, 1e35, 3e38])
@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (5, 3)])
def test_the_norm_scales_with_the_operator_also_where_squares_overflow_or_vanish(scale, shape):
    K = torch.rand(shape) - 0.5
    K = K / K.abs().max() / (1 if scale < 1e38 else 64)  # so that the scaled norm is finite
    norm, direction = operator_norm(K)
    scaled_norm, _ = operator_norm(scale * K)
    assert scaled_norm.item() == pytest.approx(scale * norm.item(), rel=1e-3)
    assert direction.isfinite().all()


@pytest.mark.parametrize("non_finite", [float("inf"), -float("inf"), float("nan")])
@pytest.mark.parametrize("name", ["hamiltonian", "midpoint", "leapfrog"])
def test_a_step_whose_weights_are_not_finite_has_a_stability_that_is_not_finite(name, non_finite):
    flow = odenet.load(SPECS / f"{name}.ode").flow(8, 3)
    before = flow.stability()
    with torch.no_grad():
        getattr(flow, flow.operators[0])[1, 0, 0] = non_finite
    # None: until the norms converge; the second time that begins with what the first found.
    for iterations in (None, 12, None):
        stability = flow.stability(iterations)
        assert not stability[1] <= 1 and not stability[1].isfinite()
        torch.testing.assert_close(stability[[0, 2]], before[[0, 2]], rtol=0.2, atol=0)
    with torch.no_grad():
        getattr(flow, flow.operators[0])[1, 0, 0] = 0.1
    assert flow.stability().isfinite().all()


def test_stability_does_not_overflow_for_very_large_weights():
    flow = HamiltonianFlow(4, 2, h=0.1)
    before = flow.stability()
    with torch.no_grad():
        flow.K1 *= 1e25
        flow.K2 *= 1e25
    ratio = flow.stability() / before
    assert ((ratio > 1e24) & ratio.isfinite()).all()  # products of two norms grow by up to 1e50


# With 3 x 3 cells all eigenvalues are computed, with 12 x 12 a few by iteration.
@pytest.mark.parametrize("side", [3, 12])
def test_the_eigenvalues_of_a_jacobian_that_is_not_finite_are_nan(side):
    flow = HamiltonianFlow(4, 2)
    with torch.no_grad():
        flow.K1[0, 0, 0] = float("nan")
    assert flow.spectrum(torch.randn(1, 4, side, side), count=4).isnan().all()
