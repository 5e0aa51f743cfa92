"""Norms of the real operators: largest singular values, from products with K and K^T alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from odenet.runtime.learned.operators import adjoint_conv, conv

_SIZE = {0: (), 1: (32,), 2: (32, 32), 3: (16, 16, 16)}  # of the map that a kernel acts on
_FEW = 20  # iterations that come as close on a map half as wide, which costs a quarter
_SQUARINGS = 24  # part eigenvalues that differ by 1e-6 of the largest
_TINY = 1e-300

Directions = dict[tuple[str, int], Tensor]


def operator_norm(K: Tensor, start: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
    """The largest singular value of one kernel or matrix, and a direction that attains it.

    See `operator_norms`, of which this is the case of a single one.
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

    By the locally optimal gradient method on K^T K (Knyazev 2001, with blocks of one vector), which
    takes the iterations of Lanczos' and keeps three vectors.

    Args:
        K: a stack of what ``conv`` or ``dense`` take.
        start: the directions an earlier call returned; good ones save most iterations.
        groups: as in ``conv``.
        dilation: as in ``conv``.
        tolerance: relative change of every norm at which to stop.
        limit: iterations at most.

    Returns:
        The norms, approached from below, and the directions that attain them, one for each. What
        holds inf or nan has no direction, and a norm that is inf or nan.
    """
    size, K = _of_size_one(K)
    problem = _Stack(K, groups, dilation)
    if start is None:
        half = tuple(side // 2 for side in problem.space)
        start = problem.random(half)
        if limit > _FEW:  # settled on a map half as wide, it starts well on the whole
            start = problem.embedded(problem.settled(start, tolerance, limit))
    direction = problem.settled(start.to(K), tolerance, limit)
    norms = size * torch.linalg.vector_norm(problem.apply(direction).flatten(1), dim=1)
    return torch.where(size.isfinite(), norms, size), direction


def _of_size_one(K: Tensor) -> tuple[Tensor, Tensor]:
    """The size of each operator, a power of two, and the operators divided by it.

    Squares of what is larger than 1e19 overflow in single precision, and those of what is smaller
    than 1e-19 vanish. What holds inf or nan becomes zero, and has that as its size.
    """
    largest = K.abs().flatten(1).amax(1)
    finite = largest.isfinite()
    exponent = torch.frexp(torch.where(finite, largest, 1.0)).exponent.clamp(-126, 126)
    size = torch.exp2(exponent.to(K))
    shape = (-1, *(1,) * (K.ndim - 1))
    scaled = torch.where(finite.view(shape), K / size.view(shape), 0.0)
    return torch.where(finite, size, largest), scaled


class _Stack:
    """Operators of the same kind, applied each to a vector of its own."""

    def __init__(self, K: Tensor, groups: int, dilation: int):
        self.space = _SIZE[K.ndim - 3]
        self._K = K
        self._count, self._channels = len(K), K.shape[2] * groups
        self._options = {"groups": self._count * groups, "dilation": dilation}

    def random(self, space: tuple[int, ...]) -> Tensor:
        """The same random vector for each, from a fixed seed."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((1, self._channels, *space), generator=generator).to(self._K)
        return x.expand(self._count, *x.shape[1:])

    def embedded(self, x: Tensor) -> Tensor:
        """Vectors on a smaller map in the middle of a whole one."""
        pads = [
            ((whole - side) // 2, whole - side - (whole - side) // 2)
            for side, whole in zip(x.shape[2:], self.space, strict=True)
        ]
        return F.pad(x, [n for pair in reversed(pads) for n in pair]) if pads else x

    def apply(self, x: Tensor) -> Tensor:
        """K x for each."""
        if self._K.ndim == 3:
            return (self._K @ x[..., None])[..., 0]
        return conv(x.flatten(0, 1)[None], self._K.flatten(0, 1), **self._options)[0].unflatten(
            0, (self._count, -1)
        )

    def adjoint(self, y: Tensor) -> Tensor:
        """K^T y for each."""
        if self._K.ndim == 3:
            return (self._K.mT @ y[..., None])[..., 0]
        x = adjoint_conv(y.flatten(0, 1)[None], self._K.flatten(0, 1), **self._options)[0]
        return x.unflatten(0, (self._count, -1))

    def settled(self, x: Tensor, tolerance: float, limit: int) -> Tensor:
        """Unit vectors of largest |K x|, from others.

        With A = K^T K, each iteration takes the largest Ritz vector in the span of x, of the
        gradient w = A x - (x, A x) x, and of p, the last step (Knyazev 2001). The images of the
        three are combined as they are, so that only A w has to be computed.
        """
        x = _unit(x)
        Ax = self.adjoint(self.apply(x))
        p, Ap = torch.zeros_like(x), torch.zeros_like(x)
        before = _dot(x, Ax)
        every = 1 if x.device.type == "cpu" else 8  # looking at a number makes a GPU wait
        for iteration in range(1, limit + 1):
            w = _unit(Ax - _dot(x, Ax) * x)
            w = _unit(w - _dot(x, w) * x)
            Aw = self.adjoint(self.apply(w))
            p, Ap = _apart(p, Ap, (x, Ax), (w, Aw))
            basis, images = (x, w, p), (Ax, Aw, Ap)
            products = [torch.stack([_dot(a, b).flatten() for b in images], -1) for a in basis]
            weights = _leading(torch.stack(products, -2)).T
            a, b, c = (weight.view(-1, *(1,) * (x.ndim - 1)) for weight in weights)
            p, Ap = b * w + c * p, b * Aw + c * Ap
            x, Ax = a * x + p, a * Ax + Ap
            if iteration % every == 0:
                value = _dot(x, Ax)
                if bool((value - before <= 2 * tolerance * value).all()):
                    break
                before = value
        return _unit(x)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1).view(-1, *(1,) * (a.ndim - 1))


def _unit(x: Tensor) -> Tensor:
    return x / _dot(x, x).sqrt().clamp_min(torch.finfo(x.dtype).tiny ** 0.5)


def _apart(p: Tensor, Ap: Tensor, *others: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The unit vector of the part of p that is orthogonal to others, and its image."""
    for _ in range(2):  # a second time, since the first leaves rounding errors
        for q, Aq in others:
            share = _dot(q, p)
            p, Ap = p - share * q, Ap - share * Aq
        size = _dot(p, p).sqrt()
        scale = torch.where(size > 0, 1 / size.clamp_min(torch.finfo(p.dtype).tiny ** 0.5), size)
        p, Ap = p * scale, Ap * scale
    return p, Ap


def _leading(matrices: Tensor) -> Tensor:
    """Unit eigenvectors of the largest eigenvalues of small matrices without negative ones."""
    if matrices.device.type == "cpu":
        return torch.linalg.eigh(matrices)[1][..., -1]
    return _leading_by_squaring(matrices)  # after that, a GPU is asked whether it found them


def _leading_by_squaring(matrices: Tensor) -> Tensor:
    """The same: squared over and over, a matrix becomes a multiple of the projector to one."""
    power = matrices.double()
    for _ in range(_SQUARINGS):
        power = power / power.abs().amax((-2, -1), keepdim=True).clamp_min(_TINY)
        power = power @ power
    longest = power.square().sum(-2).argmax(-1)[..., None, None]
    vector = power.gather(-1, longest.expand(*power.shape[:-1], 1))[..., 0]
    return (vector / vector.square().sum(-1, keepdim=True).sqrt().clamp_min(_TINY)).to(matrices)


class BatchedNorms:
    """The norms that the bounds of all steps ask for, computed together.

    A first round of questions is answered by ones, and noted.

    Args:
        directions: those of the last time, by operator and step; changed.
        iterations: per norm, from a fixed start; None goes on from the last time till settled.
    """

    def __init__(self, directions: Directions, iterations: int | None):
        self._directions = directions
        self._iterations = iterations
        self._asked: dict[str, tuple[dict[int, Tensor], dict[str, Any]]] = {}
        self._found: dict[tuple[str, int], Tensor] = {}

    def read(self, name: str, K: Tensor, step: int, options: dict[str, int]) -> Tensor:
        """The norm of an operator at a step."""
        if (name, step) in self._found:
            return self._found[name, step]
        self._asked.setdefault(name, ({}, options))[0][step] = K.detach()
        return torch.ones(())

    def settle(self) -> None:
        """Computes what was asked for."""
        for name, (kernels, options) in self._asked.items():
            K = torch.stack(list(kernels.values()))
            if self._iterations is not None:
                norms, _ = operator_norms(K, limit=self._iterations, **options)
            else:
                known = [self._directions.get((name, step)) for step in kernels]
                starts = [start for start in known if start is not None]
                start = torch.cat(starts) if len(starts) == len(known) else None
                norms, found = operator_norms(K, start, **options)
                ends = zip(kernels, found.split(1), strict=True)
                self._directions |= {(name, step): end.clone() for step, end in ends}
            # in double precision, in which their products do not overflow
            norms = norms.cpu().double()
            self._found |= {(name, step): n for step, n in zip(kernels, norms, strict=True)}
