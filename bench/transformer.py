"""The blocks of the transformer stack: causal attention and an MLP, which move each other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 6
GROWTH = 4  # width of the MLP's hidden layer


class Attention(nn.Module):
    """Causal self-attention with several heads (Vaswani et al. 2017), normalised before.

    Args:
        width: of a token.
        heads: how many.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, tokens, width)`` to the same shape."""
        parts = self.project(self.norm(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts, is_causal=True)
        return self.join(seen.transpose(1, 2).flatten(2))


def mlp(width: int) -> nn.Sequential:
    """Normalised before, with a hidden layer of four times the width."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, GROWTH * width),
        nn.GELU(),
        nn.Linear(GROWTH * width, width),
    )


def blocks(width: int, layers: int) -> nn.ModuleList:
    """Pairs (attention, MLP); Y += attention(Z), Z += MLP(Y) (Kitaev et al. 2020, Eq. 8)."""
    heads = HEADS if width % HEADS == 0 else 1
    return nn.ModuleList(
        nn.ModuleList([Attention(width, heads), mlp(width)]) for _ in range(layers)
    )
