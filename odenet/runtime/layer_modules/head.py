"""The last layer of a language model, and a cross-entropy that never holds all of its scores.

A batch of tokens has one score (logit) for each token of the vocabulary: (tokens × vocabulary)
numbers, more memory than all the rest of a network that stores no activations. So the loss is
computed from a few tokens at a time, and the backward pass computes the scores again.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from odenet.runtime.layer_modules.skips import run_layers

LEAST_LIMIT = 2**18  # the limit of scores held at a time for a small batch: 1 MiB of float32


class Head(nn.Linear):
    """The scores of all tokens of a vocabulary, at every position of a sequence.

    Args:
        c: channels of a position.
        vocabulary: number of tokens.
    """

    def __init__(self, c: int, vocabulary: int):
        super().__init__(c, vocabulary, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """``(batch, c, tokens)`` to scores ``(batch, vocabulary, tokens)``."""
        return super().forward(input.mT).mT


class TiedHead(nn.Module):
    """A `Head` that shares the weights of an embedding (Press and Wolf 2017).

    Args:
        embed: the embedding.
    """

    def __init__(self, embed: nn.Embedding):
        super().__init__()
        self._embed = (embed,)  # in a tuple, so as not to register it here too

    @property
    def weight(self) -> Tensor:
        """``(vocabulary, c)``."""
        return self._embed[0].weight

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c, tokens)`` to scores ``(batch, vocabulary, tokens)``."""
        return F.linear(x.mT, self.weight).mT


def head_input(network: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The input of a language model's head, ``(batch * tokens, c)``, and the weights of the head.

    Args:
        network: the network, whose children are its layers in order, the head last.
        tokens: the numbers of the tokens, ``(batch, tokens)``.
    """
    *body, head = network.children()
    x = run_layers(body, tokens)
    return x.mT.flatten(0, 1), head.weight  # pyright: ignore[reportReturnType]


def next_token_loss(x: Tensor, weight: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy of the scores ``x @ weight.T`` in nats.

    Args:
        x: the input of a head, ``(n, c)``.
        weight: the weights of the head, ``(vocabulary, c)``.
        targets: the correct tokens, ``(n,)`` integers.
        smoothing: label smoothing, the part of each target spread over the whole vocabulary.
    """
    device = x.device.type
    autocast_dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    return _ChunkedLoss.apply(x, weight, targets, smoothing, autocast_dtype)


class _ChunkedLoss(torch.autograd.Function):
    """The cross-entropy, computed from a few tokens at a time, forward and backward.

    With p the softmax of a token's scores s and q its smoothed target, its loss is
    log Σ exp s - q·s and the gradient with respect to s is p - q. The backward pass computes s
    again; the numbers log Σ exp s, one per token, are saved.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, smoothing: float, autocast_dtype: Any
    ) -> Tensor:
        total = torch.zeros((), dtype=_at_least_float32(x.dtype), device=x.device)
        log_sums = torch.empty(len(x), dtype=total.dtype, device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            for chunk in _chunks(x, weight):
                scores = _scores(x[chunk], weight, autocast_dtype)
                log_sums[chunk] = scores.logsumexp(1)
                total += log_sums[chunk].sum()
                target_scores = scores.gather(1, targets[chunk, None])
                total -= (1 - smoothing) * target_scores.sum()
                if smoothing:
                    total -= smoothing * scores.mean(1).sum()
        ctx.save_for_backward(x, weight, targets, log_sums)
        ctx.smoothing, ctx.autocast_dtype = smoothing, autocast_dtype
        return total / len(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, targets, log_sums = ctx.saved_tensors
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        factor = gradient / len(x)
        with torch.autocast(x.device.type, enabled=False):
            for chunk in _chunks(x, weight):
                scores = _scores(x[chunk], weight, ctx.autocast_dtype)
                grad_scores = scores.sub_(log_sums[chunk, None]).exp_()
                if ctx.smoothing:
                    grad_scores -= ctx.smoothing / len(weight)
                delta = grad_scores.new_full((1, 1), ctx.smoothing - 1).expand(len(grad_scores), 1)
                grad_scores = grad_scores.scatter_add_(1, targets[chunk, None], delta).mul_(factor)
                grad_scores = grad_scores.to(ctx.autocast_dtype or x.dtype)
                grad_x[chunk] = grad_scores @ weight.to(grad_scores.dtype)
                grad_weight += grad_scores.T @ x[chunk].to(grad_scores.dtype)
        return grad_x, grad_weight, None, None, None


def _scores(x: Tensor, weight: Tensor, autocast_dtype: torch.dtype | None) -> Tensor:
    """``x @ weight.T`` in at least single precision, with factors in 16 bits under autocast."""
    dtype = autocast_dtype or x.dtype
    return (x.to(dtype) @ weight.to(dtype).T).to(_at_least_float32(x.dtype))


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _chunks(x: Tensor, weight: Tensor) -> list[slice]:
    """Slices of the rows of x, with at most as many scores as x has numbers, or `LEAST_LIMIT`."""
    size = max(1, max(LEAST_LIMIT, x.numel()) // len(weight))
    return [slice(first, first + size) for first in range(0, len(x), size)]
