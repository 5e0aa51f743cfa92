"""Eigenvalues of the real Jacobian of a flow, and a bound of a block matrix's by norms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from odenet.runtime.passes.shear import like
from odenet.runtime.repetition.recorder import evaluating

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow

_SMALL = 512  # up to this size all eigenvalues are cheaper than a few
_SETTLED = 1e-4  # residual of eigenvalues, relative to the largest


def jacobian_spectrum(flow: Flow, state: tuple[Tensor, ...], step: int, count: int) -> Tensor:
    """Eigenvalues of the Jacobian of ``flow.field``, as in evaluation, largest modulus first.

    All of them where they are few, else ``count`` of largest modulus and of largest real part, by
    Arnoldi iteration on vector-Jacobian products: the transpose has the same eigenvalues. Those of
    a Jacobian that is not finite are nan.
    """
    leaves = like(state, [tensor.detach().requires_grad_() for tensor in state])
    unknowns = [leaves[flow.slots.index(name)] for name in flow.states]
    sizes = [tensor.numel() for tensor in unknowns]
    with evaluating(flow), torch.enable_grad():
        # What reads no state has the shape of what it reads, and a derivative all the same: zero.
        pairs = zip(flow.field(leaves, step), unknowns, strict=True)
        rates = [rate + torch.zeros_like(unknown) * unknown for rate, unknown in pairs]

    def product(vector: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(np.ascontiguousarray(vector.ravel())).to(unknowns[0])
        parts = zip(flat.split(sizes), unknowns, strict=True)
        cotangents = [part.view_as(unknown) for part, unknown in parts]
        pulled = torch.autograd.grad(
            rates, unknowns, cotangents, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.flatten() for part in pulled]).double().cpu().numpy()

    # numpy's eigenvalues are real numbers where all happen to be
    values = _eigenvalues(product, sum(sizes), count).astype(np.complex128)
    return torch.from_numpy(values[np.argsort(-np.abs(values))])


def _eigenvalues(product: Callable[[np.ndarray], np.ndarray], n: int, count: int) -> np.ndarray:
    if n <= max(_SMALL, count + 2):
        matrix = np.stack([product(unit) for unit in np.eye(n)], axis=1)
        if not np.isfinite(matrix).all():
            return np.full(n, np.nan)
        return np.linalg.eigvals(matrix)
    return _arnoldi(product, n, count)


def _arnoldi(product: Callable[[np.ndarray], np.ndarray], n: int, count: int) -> np.ndarray:
    """Ritz values of largest modulus and of largest real part, from one Krylov space for both.

    It grows until their residuals are small, or to 40 products per value, and those that have
    settled are given. It is not restarted: extreme eigenvalues of these Jacobians lie so close
    together that restarts would not end.
    """
    most = min(n - 1, 40 * count)
    basis, H = np.zeros((most + 1, n)), np.zeros((most + 1, most))
    basis[0] = 1 / np.sqrt(n)
    values, settled = np.zeros(0), np.zeros(0, dtype=bool)
    for j in range(most):
        image = product(basis[j])
        for _ in range(2):  # Gram-Schmidt twice, since once leaves rounding errors
            shares = basis[: j + 1] @ image
            image -= shares @ basis[: j + 1]
            H[: j + 1, j] += shares
        H[j + 1, j] = size = float(np.linalg.norm(image))
        if not np.isfinite(size):
            return np.full(count, np.nan)
        exhausted = size <= 1e-10 * np.abs(H).max()
        if exhausted or j == most - 1 or (j + 1) % (4 * count) == 0:
            found, vectors = np.linalg.eig(H[: j + 1, : j + 1])
            by_size, by_part = np.argsort(-np.abs(found)), np.argsort(-np.real(found))
            wanted = sorted({*by_size[:count], *by_part[:count]})
            # |A v - λ v| of a Ritz pair is |H[j+1, j]| |the last entry of its eigenvector|
            values, residuals = found[wanted], size * np.abs(vectors[-1, wanted])
            settled = residuals <= _SETTLED * np.abs(values).max()
            if exhausted or settled.all():
                break
        basis[j + 1] = image / size
    return values[settled] if settled.any() else values


def spectral_radius(bounds: Sequence[Sequence[float | Tensor]]) -> Tensor:
    """ρ of a small matrix of block norms, at least that of the block matrix: ρ(A) ≤ ρ(‖A_ij‖)."""
    rows = [torch.stack([torch.as_tensor(entry).detach().cpu() for entry in row]) for row in bounds]
    matrix = torch.stack(rows).double()
    if not matrix.isfinite().all():
        return matrix.amax()  # inf, or nan if there is one
    return torch.linalg.eigvals(matrix).abs().amax()
