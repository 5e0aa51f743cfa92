"""The windows of a stream of tokens that a language model is trained on."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor


class Tokens:
    """Several arrays of token numbers, one after the other; large ones are mapped from disk.

    Args:
        pieces: the arrays, each (n,).
        text_bytes: the length of the text in bytes.
    """

    def __init__(self, pieces: Sequence[np.ndarray], text_bytes: int):
        self.pieces = pieces
        self.text_bytes = text_bytes
        self._ends = list(accumulate(map(len, pieces)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def bytes_per_token(self) -> float:
        """How many bytes of text a token has, on average."""
        return self.text_bytes / max(1, len(self))

    def read(self, first: int, count: int) -> np.ndarray:
        """`count` tokens from the `first` on, (count,)."""
        parts: list[np.ndarray] = []
        while count:
            index = bisect_right(self._ends, first)
            piece = self.pieces[index]
            start = first - (self._ends[index] - len(piece))
            parts.append(piece[start : start + count])
            first, count = first + len(parts[-1]), count - len(parts[-1])
        return np.concatenate(parts)

    def highest(self) -> int:
        """The largest token number."""
        return max((int(piece.max()) for piece in self.pieces if len(piece)), default=0)


@dataclass(frozen=True)
class Windows:
    """Samples of a stream of tokens: windows side by side, each with the token that follows it.

    In training all windows are moved by an offset drawn for each epoch, so that a token has
    different ones before it; they never leave the stream.

    Args:
        tokens: the stream.
        size: T, the tokens of a window, which the network reads.
        first: the index in the stream of the first token that belongs to these samples.
        token_count: how many tokens from there on belong to them.
    """

    tokens: Tokens
    size: int
    first: int
    token_count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a sample, as the network reads it: (T,)."""
        return (self.size,)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of tokens once read."""
        return torch.int64

    @property
    def window_count(self) -> int:
        """How many windows fit, the first one beginning at the first token."""
        return (self.token_count - 1) // self.size

    def read(self, indices: Sequence[int] | np.ndarray, offset: int = 0) -> Tensor:
        """Some windows with the token after each, (B, T + 1) int64.

        Args:
            indices: which windows, (B,), each below `window_count`.
            offset: by how many tokens all of them are moved; the last stays within the stream.
        """
        from_first = offset + np.asarray(indices) * self.size  # counted from the token `first`
        starts = self.first + np.minimum(from_first, self.token_count - self.size - 1)
        rows = [self.tokens.read(int(start), self.size + 1) for start in starts]
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    def leading_share(self, share: float) -> "Windows":
        """The first part of the stream, a share of its tokens."""
        return replace(self, token_count=max(self.size + 1, round(share * self.token_count)))

    def split_off(self, share: float) -> tuple["Windows", "Windows"]:
        """The stream without its last part, a share of its tokens, and that part."""
        kept = self.token_count - round(share * self.token_count)
        rest = replace(self, first=self.first + kept, token_count=self.token_count - kept)
        return replace(self, token_count=kept), rest
