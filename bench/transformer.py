"""The blocks of a reversible transformer: causal attention updates Y, an MLP updates Z."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 6  # if it divides the width; else there is one head
HIDDEN_FACTOR = 4  # width of the MLP's hidden layer, as a multiple of its input


class Attention(nn.Module):
    """A layer norm and causal multi-head self-attention (Vaswani et al. 2017).

    Args:
        width: number of channels of a token.
        heads: number of attention heads.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv_projection = nn.Linear(width, 3 * width)
        self.output_projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, tokens, width)`` to the same shape."""
        qkv = self.qkv_projection(self.norm(x)).unflatten(2, (3, self.heads, -1))
        q_k_v = qkv.permute(2, 0, 3, 1, 4)  # of shape (3, batch, heads, tokens, width / heads)
        attended = F.scaled_dot_product_attention(*q_k_v, is_causal=True)
        return self.output_projection(attended.transpose(1, 2).flatten(2))


def mlp(width: int) -> nn.Sequential:
    """A layer norm and an MLP whose hidden layer is four times as wide."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, HIDDEN_FACTOR * width),
        nn.GELU(),
        nn.Linear(HIDDEN_FACTOR * width, width),
    )


def blocks(width: int, layers: int) -> nn.ModuleList:
    """The pairs (attention, MLP) of Y += attention(Z), Z += MLP(Y) (Kitaev et al. 2020, Eq. 8)."""
    heads = HEADS if width % HEADS == 0 else 1
    return nn.ModuleList(
        nn.ModuleList([Attention(width, heads), mlp(width)]) for _ in range(layers)
    )
