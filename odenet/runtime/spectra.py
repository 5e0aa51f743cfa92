"""Eigenvalues of the Jacobian of a flow's equations, and the spectral radius of a norm matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from odenet.runtime.passes.shear import state_like
from odenet.runtime.repetition.recorder import evaluation_mode

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow

_DENSE_SIZE = 512  # up to this size computing all eigenvalues is cheaper than computing a few
_TOLERANCE = 1e-4  # residual of eigenvalues, relative to the largest


def jacobian_spectrum(flow: Flow, state: tuple[Tensor, ...], step: int, count: int) -> Tensor:
    """Eigenvalues of the Jacobian of ``flow.field`` in evaluation mode, largest modulus first.

    All of them for small states, else ``count`` of largest modulus and of largest real part, by
    Arnoldi iteration on vector-Jacobian products: the transpose has the same eigenvalues. They are
    nan if the Jacobian is not finite.

    Args:
        flow: the flow.
        state: the state at which the Jacobian is taken.
        step: the step whose weights are used.
        count: number of eigenvalues of each of these two kinds.
    """
    leaves = state_like(state, [tensor.detach().requires_grad_() for tensor in state])
    variables = [leaves[flow.slots.index(name)] for name in flow.states]  # Y and Z in Y' = F(Y, Z)
    sizes = [tensor.numel() for tensor in variables]
    with evaluation_mode(flow), torch.enable_grad():
        # A right-hand side that reads no state may be smaller; its derivative is zero.
        pairs = zip(flow.field(leaves, step), variables, strict=True)
        rates = [rate + torch.zeros_like(variable) * variable for rate, variable in pairs]

    def transposed_product(vector: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(np.ascontiguousarray(vector.ravel())).to(variables[0])
        pairs = zip(flat.split(sizes), variables, strict=True)
        cotangents = [part.view_as(variable) for part, variable in pairs]
        gradients = torch.autograd.grad(
            rates, variables, cotangents, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in gradients]).double().cpu().numpy()

    # numpy gives a real array if all eigenvalues happen to be real
    values = _eigenvalues(transposed_product, sum(sizes), count).astype(np.complex128)
    return torch.from_numpy(values[np.argsort(-np.abs(values))])


def _eigenvalues(multiply: Callable[[np.ndarray], np.ndarray], n: int, count: int) -> np.ndarray:
    """All or some eigenvalues of an n × n matrix, given by its products with vectors."""
    if n <= max(_DENSE_SIZE, count + 2):
        matrix = np.stack([multiply(unit) for unit in np.eye(n)], axis=1)
        if not np.isfinite(matrix).all():
            return np.full(n, np.nan)
        return np.linalg.eigvals(matrix)
    return _arnoldi(multiply, n, count)


def _arnoldi(multiply: Callable[[np.ndarray], np.ndarray], n: int, count: int) -> np.ndarray:
    """Ritz values of largest modulus and of largest real part, from one Krylov space.

    The space grows until their residuals are small, or to 40 products per value; those that have
    converged are returned. It is not restarted: extreme eigenvalues of these Jacobians lie so close
    together that restarts would not converge.
    """
    max_size = min(n - 1, 40 * count)
    basis, H = np.zeros((max_size + 1, n)), np.zeros((max_size + 1, max_size))
    basis[0] = 1 / np.sqrt(n)
    values, converged = np.zeros(0), np.zeros(0, dtype=bool)
    for j in range(max_size):
        image = multiply(basis[j])
        for _ in range(2):  # Gram-Schmidt twice, since once leaves rounding errors
            coefficients = basis[: j + 1] @ image
            image -= coefficients @ basis[: j + 1]
            H[: j + 1, j] += coefficients
        H[j + 1, j] = length = float(np.linalg.norm(image))
        if not np.isfinite(length):
            return np.full(count, np.nan)
        exhausted = length <= 1e-10 * np.abs(H).max()
        if exhausted or j == max_size - 1 or (j + 1) % (4 * count) == 0:
            ritz, vectors = np.linalg.eig(H[: j + 1, : j + 1])
            by_modulus, by_real_part = (np.argsort(-np.abs(ritz)), np.argsort(-np.real(ritz)))
            chosen = sorted({*by_modulus[:count], *by_real_part[:count]})
            # |A v - λ v| of a Ritz pair is |H[j+1, j]| |the last entry of its eigenvector|
            values, residuals = ritz[chosen], length * np.abs(vectors[-1, chosen])
            converged = residuals <= _TOLERANCE * np.abs(values).max()
            if exhausted or converged.all():
                break
        basis[j + 1] = image / length
    return values[converged] if converged.any() else values


def spectral_radius(bounds: Sequence[Sequence[float | Tensor]]) -> Tensor:
    """A bound on the spectral radius of a block matrix, from norms of blocks: ρ(A) ≤ ρ(‖A_ij‖)."""
    rows = [torch.stack([torch.as_tensor(entry).detach().cpu() for entry in row]) for row in bounds]
    matrix = torch.stack(rows).double()
    if not matrix.isfinite().all():
        return matrix.amax()  # inf, or nan if there is one
    return torch.linalg.eigvals(matrix).abs().amax()
