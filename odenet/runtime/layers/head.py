"""The last layer of a language model, and its loss without all of its scores at once.

A batch of tokens has a score for each token of the vocabulary: (tokens × vocabulary) numbers, more
than everything else of a network that stores no activations. The loss is taken of a few tokens at a
time, and what its gradient needs of the scores is computed again.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from odenet.runtime.layers.skips import through

LEAST_SCORES = 2**18  # at a time, where a batch is small: 1 MiB in single precision


class Head(nn.Linear):
    """A score for each token of a vocabulary, at every place of a sequence.

    Args:
        c: channels of a place.
        vocabulary: how many tokens there are.
    """

    def __init__(self, c: int, vocabulary: int):
        super().__init__(c, vocabulary, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """``(batch, c, tokens)`` to scores ``(batch, vocabulary, tokens)``."""
        return super().forward(input.mT).mT


class TiedHead(nn.Module):
    """A `Head` that has the weights of an embedding and none of its own (Press and Wolf 2017).

    Args:
        embed: whose weights it takes, as they are when it is called.
    """

    def __init__(self, embed: nn.Embedding):
        super().__init__()
        self._embed = (embed,)  # in a tuple, so that it is a module of the network's alone

    @property
    def weight(self) -> Tensor:
        """``(vocabulary, c)``."""
        return self._embed[0].weight

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c, tokens)`` to scores ``(batch, vocabulary, tokens)``."""
        return F.linear(x.mT, self.weight).mT


def before_head(network: nn.Module, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """What the head of a language model is given, ``(batch tokens, c)``, and its weights.

    Args:
        network: its layers in order, a head the last.
        numbers: tokens, ``(batch, tokens)``.
    """
    *body, head = network.children()
    x = through(body, numbers)
    return x.mT.flatten(0, 1), head.weight  # pyright: ignore[reportReturnType]


def next_token_loss(x: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy of scores ``x @ weight.T`` in nats, never all of them at once.

    Args:
        x: what a head is given, ``(n, c)``.
        weight: of the head, ``(vocabulary, c)``.
        targets: the right tokens, ``(n,)`` integers.
        smoothing: part of each target that is spread over the whole vocabulary.
    """
    kind = x.device.type
    low = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return _ChunkedLoss.apply(x, weight, targets, smoothing, low)


class _ChunkedLoss(torch.autograd.Function):
    """A loss that works through a few tokens at a time, forward and backward.

    With p the softmax of a token's scores s and q its smoothed target, its loss is
    log Σ exp s - q·s and the gradient by s is p - q. The backward pass computes s again, and has
    log Σ exp s.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, smoothing: float, low: Any
    ) -> Tensor:
        total = torch.zeros((), dtype=_exact(x.dtype), device=x.device)
        norms = torch.empty(len(x), dtype=total.dtype, device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            for part in _parts(x, weight):
                scores = _scores(x[part], weight, low)
                norms[part] = scores.logsumexp(1)
                total += norms[part].sum()
                right = scores.gather(1, targets[part, None])
                total -= (1 - smoothing) * right.sum()
                if smoothing:
                    total -= smoothing * scores.mean(1).sum()
        ctx.save_for_backward(x, weight, targets, norms)
        ctx.smoothing, ctx.low = smoothing, low
        return total / len(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, targets, norms = ctx.saved_tensors
        by_x, by_weight = torch.empty_like(x), torch.zeros_like(weight)
        factor = gradient / len(x)
        with torch.autocast(x.device.type, enabled=False):
            for part in _parts(x, weight):
                scores = _scores(x[part], weight, ctx.low)
                slope = scores.sub_(norms[part, None]).exp_()
                if ctx.smoothing:
                    slope -= ctx.smoothing / len(weight)
                right = slope.new_full((1, 1), ctx.smoothing - 1).expand(len(slope), 1)
                slope = slope.scatter_add_(1, targets[part, None], right).mul_(factor)
                slope = slope.to(ctx.low or x.dtype)
                by_x[part] = slope @ weight.to(slope.dtype)
                by_weight += slope.T @ x[part].to(slope.dtype)
        return by_x, by_weight, None, None, None


def _scores(x: Tensor, weight: Tensor, low: torch.dtype | None) -> Tensor:
    """Scores in at least single precision, multiplied in 16 bits under autocast."""
    kind = low or x.dtype
    return (x.to(kind) @ weight.to(kind).T).to(_exact(x.dtype))


def _exact(kind: torch.dtype) -> torch.dtype:
    return torch.promote_types(kind, torch.float32)


def _parts(x: Tensor, weight: Tensor) -> list[slice]:
    """Places whose scores are held at a time: as many numbers as the head is given in all."""
    size = max(1, max(LEAST_SCORES, x.numel()) // len(weight))
    return [slice(first, first + size) for first in range(0, len(x), size)]
