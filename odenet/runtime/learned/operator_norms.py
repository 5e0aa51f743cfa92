"""Operator norms of convolutions and matrices, computed from products with K and K^T alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from odenet.runtime.learned.operators import adjoint_conv, conv

# Number of kernel axes -> shape of the map that the kernels are applied to.
_MAP_SHAPE = {0: (), 1: (32,), 2: (32, 32), 3: (16, 16, 16)}
_COARSE_LIMIT = 20  # with more iterations a first run on a smaller map saves time
_SQUARINGS = 24  # enough to separate eigenvalues that differ by 1e-6 of the largest
_SMALLEST = 1e-300  # avoids a division by zero

Directions = dict[tuple[str, int], Tensor]  # (operator, step) -> vector that attains its norm


def operator_norm(K: Tensor, start: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
    """The largest singular value of one kernel or matrix, and a vector that attains it.

    See `operator_norms` for the options.
    """
    norms, directions = operator_norms(K[None], start, **options)
    return norms[0], directions


@torch.no_grad()
def operator_norms(
    K: Tensor,
    start: Tensor | None = None,
    *,
    groups: int = 1,
    dilation: int = 1,
    tolerance: float = 1e-4,
    limit: int = 200,
) -> tuple[Tensor, Tensor]:
    """The largest singular values of kernels or matrices, all at once.

    By the locally optimal gradient method on K^T K (LOBPCG, Knyazev 2001, with blocks of one
    vector), which takes about as many iterations as Lanczos' method and keeps only three vectors.

    Args:
        K: a stack of the kernels or matrices that ``conv`` or ``dense`` take.
        start: the vectors that an earlier call returned; good ones save most iterations.
        groups: as in ``conv``.
        dilation: as in ``conv``.
        tolerance: relative change of every norm at which to stop.
        limit: largest number of iterations.

    Returns:
        The norms, approached from below, and the vectors that attain them, one for each. The norm
        of an operator that contains inf or nan is inf or nan, and its vector means nothing.
    """
    scale, K = _rescaled(K)
    stack = _OperatorStack(K, groups, dilation)
    if start is None:
        half_shape = tuple(side // 2 for side in stack.map_shape)
        start = stack.random_vectors(half_shape)
        if limit > _COARSE_LIMIT:  # a result on a map half as wide is a good start
            start = stack.pad(stack.maximise(start, tolerance, limit))
    direction = stack.maximise(start.to(K), tolerance, limit)
    norms = scale * torch.linalg.vector_norm(stack.apply(direction).flatten(1), dim=1)
    return torch.where(scale.isfinite(), norms, scale), direction


def _rescaled(K: Tensor) -> tuple[Tensor, Tensor]:
    """A power of two near the largest entry of each operator, and the operators divided by it.

    In single precision, squares of entries above 1e19 overflow, and those below 1e-19 vanish. An
    operator that contains inf or nan becomes zero, with inf or nan as its scale.
    """
    largest = K.abs().flatten(1).amax(1)
    finite = largest.isfinite()
    exponent = torch.frexp(torch.where(finite, largest, 1.0)).exponent.clamp(-126, 126)
    scale = torch.exp2(exponent.to(K))
    shape = (-1, *(1,) * (K.ndim - 1))
    scaled = torch.where(finite.view(shape), K / scale.view(shape), 0.0)
    return torch.where(finite, scale, largest), scaled


class _OperatorStack:
    """Operators of one shape, each of which is applied to its own vector."""

    def __init__(self, K: Tensor, groups: int, dilation: int):
        self.map_shape = _MAP_SHAPE[K.ndim - 3]
        self._K = K
        self._count, self._channels = len(K), K.shape[2] * groups
        self._options = {"groups": self._count * groups, "dilation": dilation}

    def random_vectors(self, map_shape: tuple[int, ...]) -> Tensor:
        """The same random vector for each operator, from a fixed seed."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((1, self._channels, *map_shape), generator=generator).to(self._K)
        return x.expand(self._count, *x.shape[1:])

    def pad(self, x: Tensor) -> Tensor:
        """Vectors on a smaller map, padded with zeros to the whole map."""
        pads = [
            ((full_side - side) // 2, full_side - side - (full_side - side) // 2)
            for side, full_side in zip(x.shape[2:], self.map_shape, strict=True)
        ]
        return F.pad(x, [n for pair in reversed(pads) for n in pair]) if pads else x

    def apply(self, x: Tensor) -> Tensor:
        """K x for each operator."""
        if self._K.ndim == 3:
            return (self._K @ x[..., None])[..., 0]
        return conv(x.flatten(0, 1)[None], self._K.flatten(0, 1), **self._options)[0].unflatten(
            0, (self._count, -1)
        )

    def adjoint(self, y: Tensor) -> Tensor:
        """K^T y for each operator."""
        if self._K.ndim == 3:
            return (self._K.mT @ y[..., None])[..., 0]
        x = adjoint_conv(y.flatten(0, 1)[None], self._K.flatten(0, 1), **self._options)[0]
        return x.unflatten(0, (self._count, -1))

    def maximise(self, x: Tensor, tolerance: float, limit: int) -> Tensor:
        """Unit vectors that maximise |K x|, starting from x.

        With A = K^T K, each iteration takes the largest Ritz vector in the span of x, of the
        gradient w = A x - (x, A x) x, and of the last change p (Knyazev 2001). The images A x and
        A p are updated with x and p, so that only A w has to be computed.
        """
        x = _normalised(x)
        Ax = self.adjoint(self.apply(x))
        p, Ap = torch.zeros_like(x), torch.zeros_like(x)
        last_value = _inner(x, Ax)
        check_every = 1 if x.device.type == "cpu" else 8  # reading a number makes a GPU wait
        for iteration in range(1, limit + 1):
            w = _normalised(Ax - _inner(x, Ax) * x)
            w = _normalised(w - _inner(x, w) * x)
            Aw = self.adjoint(self.apply(w))
            p, Ap = _orthogonalised(p, Ap, (x, Ax), (w, Aw))
            basis, images = (x, w, p), (Ax, Aw, Ap)
            products = [torch.stack([_inner(v, Av).flatten() for Av in images], -1) for v in basis]
            factors = _leading_eigenvectors(torch.stack(products, -2)).T
            a, b, c = (factor.view(-1, *(1,) * (x.ndim - 1)) for factor in factors)
            p, Ap = b * w + c * p, b * Aw + c * Ap
            x, Ax = a * x + p, a * Ax + Ap
            if iteration % check_every == 0:
                value = _inner(x, Ax)  # |K x|², whose relative change is twice that of the norm
                if bool((value - last_value <= 2 * tolerance * value).all()):
                    break
                last_value = value
        return _normalised(x)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1).view(-1, *(1,) * (a.ndim - 1))


def _normalised(x: Tensor) -> Tensor:
    return x / _inner(x, x).sqrt().clamp_min(torch.finfo(x.dtype).tiny ** 0.5)


def _orthogonalised(p: Tensor, Ap: Tensor, *others: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Makes p orthogonal to other vectors and normalises it; A p follows from their images."""
    for _ in range(2):  # a second time, since the first leaves rounding errors
        for q, Aq in others:
            coefficient = _inner(q, p)
            p, Ap = p - coefficient * q, Ap - coefficient * Aq
        size = _inner(p, p).sqrt()
        scale = torch.where(size > 0, 1 / size.clamp_min(torch.finfo(p.dtype).tiny ** 0.5), size)
        p, Ap = p * scale, Ap * scale
    return p, Ap


def _leading_eigenvectors(matrices: Tensor) -> Tensor:
    """Unit eigenvectors to the largest eigenvalues of small positive semidefinite matrices."""
    if matrices.device.type == "cpu":
        return torch.linalg.eigh(matrices)[1][..., -1]
    return _eigenvectors_by_squaring(matrices)  # `eigh` makes a GPU wait for its error code


def _eigenvectors_by_squaring(matrices: Tensor) -> Tensor:
    """The same by repeated squaring, which leaves a multiple of the projector to one vector."""
    power = matrices.double()
    for _ in range(_SQUARINGS):
        power = power / power.abs().amax((-2, -1), keepdim=True).clamp_min(_SMALLEST)
        power = power @ power
    longest = power.square().sum(-2).argmax(-1)[..., None, None]
    vector = power.gather(-1, longest.expand(*power.shape[:-1], 1))[..., 0]
    return (vector / vector.square().sum(-1, keepdim=True).sqrt().clamp_min(_SMALLEST)).to(matrices)


class BatchedNorms:
    """The norms that the bounds of all steps need, computed together.

    Use: compute the bounds once, where `read` notes the operators and returns 1; call `compute`;
    then compute the bounds again, where `read` returns the norms.

    Args:
        directions: start vectors by operator and step, which are updated.
        iterations: their number for each norm, from a fixed start; None continues from
            ``directions`` until the norms have converged.
    """

    def __init__(self, directions: Directions, iterations: int | None):
        self._directions = directions
        self._iterations = iterations
        # Operator -> its kernel in each step, and the options of its convolution.
        self._requests: dict[str, tuple[dict[int, Tensor], dict[str, Any]]] = {}
        self._norms: dict[tuple[str, int], Tensor] = {}

    def read(self, name: str, K: Tensor, step: int, options: dict[str, int]) -> Tensor:
        """The norm of an operator in a step; 1 before `compute`."""
        if (name, step) in self._norms:
            return self._norms[name, step]
        self._requests.setdefault(name, ({}, options))[0][step] = K.detach()
        return torch.ones(())

    def compute(self) -> None:
        """Computes the norms of all operators that were read."""
        for name, (kernels, options) in self._requests.items():
            K = torch.stack(list(kernels.values()))
            if self._iterations is not None:
                norms, _ = operator_norms(K, limit=self._iterations, **options)
            else:
                last_directions = [self._directions.get((name, step)) for step in kernels]
                starts = [start for start in last_directions if start is not None]
                start = torch.cat(starts) if len(starts) == len(last_directions) else None
                norms, directions = operator_norms(K, start, **options)
                pairs = zip(kernels, directions.split(1), strict=True)
                self._directions |= {(name, step): direction.clone() for step, direction in pairs}
            # in double precision, in which their products do not overflow
            norms = norms.cpu().double()
            self._norms |= {(name, step): n for step, n in zip(kernels, norms, strict=True)}
