"""Layers of transformers, which see a feature map as a sequence: every position is a token.

A sequence has the shape ``(batch, c, tokens)`` and the memory order of ``(batch, tokens, c)``:
`Embed` and every layer here return their results in that order, and sums keep it. So `Tokens` takes
views and copies nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from odenet.runtime.layer_modules.kv_cache import KeyValueCache

INITIAL_STD = 0.02  # of the embeddings of tokens and positions


class Tokens(nn.Module):
    """Applies a module for sequences ``(batch, tokens, c)`` to maps ``(batch, c, *space)``.

    Args:
        inner: a module that keeps the shape. The pixels of a map are its tokens, row by row.
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """The result of the module as a map; a vector ``(batch, c)`` is a single token."""
        if x.ndim == 2:
            return self.inner(x[:, None])[:, 0]
        return self.inner(x.flatten(2).mT).mT.reshape_as(x)


def reads_tokens(flow: nn.Module) -> bool:
    """Whether the steps of a flow contain `Tokens`."""
    lists = (child for child in flow.children() if isinstance(child, nn.ModuleList))
    return any(isinstance(module, Tokens) for steps in lists for module in steps[0].modules())


class Attention(nn.Module):
    """Self-attention with several heads (Vaswani et al. 2017, Section 3.2.2).

    Args:
        c: channels of a token.
        heads: number of heads.
        causal: whether a token attends only to itself and to those before it.
        rope: whether queries and keys get rotary position embeddings (Su et al. 2021).

    Attributes:
        cache: the keys and values of earlier tokens, while a text is generated token by token.
    """

    cache: KeyValueCache | None = None

    def __init__(self, c: int, heads: int, causal: bool = False, rope: bool = False):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.rope = rope
        self.project = nn.Linear(c, 3 * c)
        self.join = nn.Linear(c, c)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, tokens, c)`` to the same shape."""
        # Split along the last axis, with heads after tokens until the attention itself, so that
        # neither pass has to reorder its input.
        parts = (part.unflatten(2, (self.heads, -1)) for part in self.project(x).chunk(3, 2))
        queries, keys, values = parts  # (batch, tokens, heads, c / heads) each
        past_length = self.cache.length if self.cache else 0
        if self.rope:
            queries, keys = rotated_by_position(queries, keys, first=past_length)
        if self.cache:
            keys, values = self.cache.append(keys, values)
        attended = F.scaled_dot_product_attention(
            queries.transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            is_causal=self.causal and not past_length,  # a single new token attends to all
        )
        return self.join(attended.transpose(1, 2).flatten(2))

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"heads={self.heads}, causal={self.causal}, rope={self.rope}"


def rotated_by_position(*sequences: Tensor, first: int = 0) -> tuple[Tensor, ...]:
    """Rotary position embedding (Su et al. 2021, Eq. 34), channel i paired with i + d/2.

    Args:
        sequences: ``(batch, tokens, heads, d)``, all of the same shape, d even.
        first: the position of their first token.
    """
    _, tokens, _, d = sequences[0].shape
    options = {"dtype": torch.promote_types(sequences[0].dtype, torch.float32),
               "device": sequences[0].device}  # fmt: skip
    frequencies = 1e4 ** (torch.arange(d // 2, **options) * (-2 / d))
    angles = torch.arange(first, first + tokens, **options)[:, None, None] * frequencies
    cosine, sine = (f(angles).to(sequences[0].dtype) for f in (torch.cos, torch.sin))
    halves = (x.chunk(2, -1) for x in sequences)
    return tuple(torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1) for a, b in halves)


class SwiGLU(nn.Module):
    """A gated layer (Shazeer 2020, Eq. 6), the gate and the value in one matrix.

    Args:
        c: channels of a token.
        inside: channels of the gate, and of the value.
    """

    def __init__(self, c: int, inside: int):
        super().__init__()
        self.wider = nn.Linear(c, 2 * inside, bias=False)
        self.back = nn.Linear(inside, c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(…, c)`` to the same shape."""
        gate, value = self.wider(x).chunk(2, -1)
        return self.back(F.silu(gate) * value)


class Embed(nn.Embedding):
    """The embedding of tokens.

    Args:
        vocabulary: number of tokens.
        c: channels of a token. The weights are drawn from N(0, 0.02²) (Radford et al. 2019).
    """

    def __init__(self, vocabulary: int, c: int):
        super().__init__(vocabulary, c)

    def reset_parameters(self) -> None:
        """Draws new weights."""
        nn.init.normal_(self.weight, std=INITIAL_STD)

    def forward(self, input: Tensor) -> Tensor:
        """Numbers ``(batch, tokens)`` to ``(batch, c, tokens)``, channels adjacent in memory."""
        return super().forward(input).mT


class Position(nn.Module):
    """Adds a learned position embedding to a sequence.

    Args:
        c: channels.
        tokens: the largest length of a sequence.

    Attributes:
        cache: counts the earlier tokens, while a text is generated token by token.
    """

    cache: KeyValueCache | None = None

    def __init__(self, c: int, tokens: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(tokens, c), std=INITIAL_STD))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c, tokens)`` to the same shape; shorter sequences use the first positions."""
        past_length = self.cache.length if self.cache else 0
        return x + self.weight[past_length : past_length + x.shape[2]].mT
