"""Layers of transformers, which see a map as a sequence: every place is a token.

A sequence ``(batch, c, tokens)`` lies in memory as ``(batch, tokens, c)``: `Embed` makes it so,
every layer here gives its result so, and sums keep the order of what they add. So `Tokens` takes
views and copies nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from odenet.runtime.layers.kv_cache import Past

INITIAL = 0.02  # deviation of what tokens and places begin with


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
        if x.ndim == 2:
            return self.inner(x[:, None])[:, 0]
        return self.inner(x.flatten(2).mT).mT.reshape_as(x)


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
        rope: whether queries and keys are turned by their place (Su et al. 2021), so that a token
            sees how far away another is.

    Attributes:
        past: has the keys and values of the tokens before those that it is given, if it is given
            them one at a time.
    """

    past: Past | None = None

    def __init__(self, c: int, heads: int, causal: bool = False, rope: bool = False):
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.rope = rope
        self.project = nn.Linear(c, 3 * c)
        self.join = nn.Linear(c, c)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, tokens, c)`` to the same shape."""
        # Apart by the last axis, and heads after tokens up to the attention itself: so neither pass
        # has to reorder what it gets.
        parts = (part.unflatten(2, (self.heads, -1)) for part in self.project(x).chunk(3, 2))
        queries, keys, values = parts  # (batch, tokens, heads, c / heads) each
        first = self.past.count if self.past else 0
        if self.rope:
            queries, keys = turned(queries, keys, first=first)
        if self.past:
            keys, values = self.past.with_earlier(keys, values)
        seen = F.scaled_dot_product_attention(
            queries.transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            is_causal=self.causal and not first,  # a single token sees all before it
        )
        return self.join(seen.transpose(1, 2).flatten(2))

    def extra_repr(self) -> str:
        """What ``print`` shows between the brackets."""
        return f"heads={self.heads}, causal={self.causal}, rope={self.rope}"


def turned(*sequences: Tensor, first: int = 0) -> tuple[Tensor, ...]:
    """Rotary positions (Su et al. 2021, Eq. 34), channel i paired with i + d/2.

    Args:
        sequences: ``(batch, tokens, heads, d)``, all of one shape, d even.
        first: the place of their first token.
    """
    _, tokens, _, d = sequences[0].shape
    exact = {"dtype": torch.promote_types(sequences[0].dtype, torch.float32),
             "device": sequences[0].device}  # fmt: skip
    rates = 1e4 ** (torch.arange(d // 2, **exact) * (-2 / d))
    angles = torch.arange(first, first + tokens, **exact)[:, None, None] * rates
    cosine, sine = (f(angles).to(sequences[0].dtype) for f in (torch.cos, torch.sin))
    halves = (x.chunk(2, -1) for x in sequences)
    return tuple(torch.cat((a * cosine - b * sine, b * cosine + a * sine), -1) for a, b in halves)


class SwiGLU(nn.Module):
    """A gated layer (Shazeer 2020, Eq. 6), the gate and the value in one matrix.

    Args:
        c: channels of a token.
        inside: channels of gate and value.
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
    """Learned channels for each token of a vocabulary.

    Args:
        vocabulary: how many tokens there are.
        c: channels of each; normal at first, with a deviation of 0.02 (Radford et al. 2019).
    """

    def __init__(self, vocabulary: int, c: int):
        super().__init__(vocabulary, c)

    def reset_parameters(self) -> None:
        """Draw new weights."""
        nn.init.normal_(self.weight, std=INITIAL)

    def forward(self, input: Tensor) -> Tensor:
        """Numbers ``(batch, tokens)`` to ``(batch, c, tokens)``, each token's channels together."""
        return super().forward(input).mT


class Position(nn.Module):
    """Adds learned values to every place of a sequence.

    Args:
        c: channels.
        tokens: the longest sequence.

    Attributes:
        past: counts the tokens before those that it is given, if it is given them one at a time.
    """

    past: Past | None = None

    def __init__(self, c: int, tokens: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(tokens, c), std=INITIAL))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, c, tokens)`` to the same shape; a shorter sequence takes the first places."""
        first = self.past.count if self.past else 0
        return x + self.weight[first : first + x.shape[2]].mT
