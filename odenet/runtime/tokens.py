"""Layers of transformers, which see a map as a sequence: every place is a token."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Tokens(nn.Module):
    """A module of sequences ``(batch, tokens, c)`` as one of maps ``(batch, c, *space)``.

    Args:
        inner: keeps the shape; the places of a map come to it in order, the last axis fastest.
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The module of the places of x; a vector ``(batch, c)`` is a single place."""
        return self.inner(x.flatten(2).mT).mT.reshape_as(x) if x.ndim > 2 else self._of_one(x)

    def _of_one(self, x: Tensor) -> Tensor:
        return self.inner(x[:, None])[:, 0]


def reads_tokens(flow: nn.Module) -> bool:
    """Whether the steps of a flow see maps as sequences."""
    lists = (child for child in flow.children() if isinstance(child, nn.ModuleList))
    return any(isinstance(part, Tokens) for steps in lists for part in steps[0].modules())


class Attention(nn.Module):
    """Self-attention with several heads (Vaswani et al. 2017, Section 3.2.2).

    Args:
        c: channels of a token.
        heads: into how many parts they fall, each with an attention of its own.
        causal: whether a token sees itself and those before it only.
    """

    def __init__(self, c: int, heads: int, causal: bool = False):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.project = nn.Linear(c, 3 * c)
        self.join = nn.Linear(c, c)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, tokens, c)`` to the same shape."""
        parts = self.project(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts  # (batch, heads, tokens, c / heads) each
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)
        return self.join(seen.transpose(1, 2).flatten(2))

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"heads={self.heads}, causal={self.causal}"
