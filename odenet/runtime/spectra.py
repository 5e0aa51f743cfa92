"""Norms of the real operators by power iteration, and eigenvalues of the real Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from odenet.runtime.ambient import evaluating
from odenet.runtime.operators import adjoint_conv, adjoint_dense, conv, dense
from odenet.runtime.shear import like

if TYPE_CHECKING:
    from odenet.runtime.flow import Flow

_SIZE = {0: (), 1: (32,), 2: (32, 32), 3: (16, 16, 16)}  # of the map that a kernel acts on
_FEW = 20  # iterations that come as close on a map half as wide, which costs a quarter
_SMALL = 512  # up to this size all eigenvalues are cheaper than a few


@torch.no_grad()
def operator_norm(
    K: Tensor,
    start: Tensor | None = None,
    *,
    groups: int = 1,
    dilation: int = 1,
    tolerance: float = 1e-4,
    limit: int = 200,
) -> tuple[Tensor, Tensor]:
    """The largest singular value of a kernel or matrix, by power iteration on K^T K.

    Args:
        K: as ``conv`` or ``dense`` take it.
        start: the direction an earlier call returned; a good one saves most iterations.
        groups: as in ``conv``.
        dilation: as in ``conv``.
        tolerance: relative change at which to stop.
        limit: iterations at most.

    Returns:
        The norm, approached from below, and the direction that attains it.
    """

    def apply(x: Tensor) -> Tensor:
        return dense(x, K) if K.ndim == 2 else conv(x, K, groups=groups, dilation=dilation)

    def adjoint(y: Tensor) -> Tensor:
        if K.ndim == 2:
            return adjoint_dense(y, K)
        return adjoint_conv(y, K, groups=groups, dilation=dilation)

    if start is None:
        size = [side // 2 if limit <= _FEW else side for side in _SIZE[K.ndim - 2]]
        shape = (1, K.shape[1] * groups, *size)
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(shape, generator=generator).to(K)
    direction = start / torch.linalg.vector_norm(start)
    image = apply(direction)
    norm = torch.linalg.vector_norm(image)
    for _ in range(limit):
        if not norm:
            break
        back = adjoint(image)
        direction = back / torch.linalg.vector_norm(back)
        image, before = apply(direction), norm
        norm = torch.linalg.vector_norm(image)
        if norm - before <= tolerance * norm:
            break
    return norm, direction


def jacobian_spectrum(flow: Flow, state: tuple[Tensor, ...], step: int, count: int) -> Tensor:
    """Eigenvalues of the Jacobian of ``flow.field``, as in evaluation, largest modulus first.

    All of them where they are few, else ``count`` of largest modulus and of largest real part, by
    Arnoldi iteration on vector-Jacobian products: the transpose has the same eigenvalues.
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
        return np.linalg.eigvals(matrix).astype(complex)  # numpy gives real ones as real numbers
    # Only this needs scipy, which takes as long to import as the rest of the runtime.
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    operator = LinearOperator(shape=(n, n), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    options = {"v0": np.ones(n), "ncv": min(n, 8 * count), "maxiter": 50, "tol": 1e-4}
    found = []
    for which in ("LM", "LR"):
        try:
            found.append(eigs(operator, count, which=which, return_eigenvectors=False, **options))
        except ArpackNoConvergence as short:  # a cluster: some of it tells where it is
            found.append(short.eigenvalues)
    return np.concatenate(found)


def spectral_radius(bounds: Sequence[Sequence[float | Tensor]]) -> Tensor:
    """Of a small matrix of block norms, which bounds that of the block matrix."""
    rows = [torch.stack([torch.as_tensor(entry).detach().cpu() for entry in row]) for row in bounds]
    return torch.linalg.eigvals(torch.stack(rows).double()).abs().amax()
