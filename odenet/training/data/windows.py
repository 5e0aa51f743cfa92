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
        pieces: each (n,).
        size: the bytes of the text that they are.
    """

    def __init__(self, pieces: Sequence[np.ndarray], size: int):
        self.pieces = pieces
        self.size = size
        self._ends = list(accumulate(map(len, pieces)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def bytes_per_token(self) -> float:
        """How many bytes of text a token is, on average."""
        return self.size / max(1, len(self))

    def read(self, first: int, count: int) -> np.ndarray:
        """Some tokens in a row."""
        found: list[np.ndarray] = []
        while count:
            number = bisect_right(self._ends, first)
            piece = self.pieces[number]
            start = first - (self._ends[number] - len(piece))
            found.append(piece[start : start + count])
            first, count = first + len(found[-1]), count - len(found[-1])
        return np.concatenate(found)

    def highest(self) -> int:
        """The largest token number."""
        return max((int(piece.max()) for piece in self.pieces if len(piece)), default=0)


@dataclass(frozen=True)
class Windows:
    """Samples of a stream: windows side by side, each with the token that follows it.

    In training they begin at a place that is drawn for each epoch, so that a token is seen with
    other ones before it; they never leave the stream.

    Args:
        tokens: the stream.
        size: T, the tokens that the network reads.
        first: where in the stream the first may begin.
        count: tokens from there on that belong to these samples.
    """

    tokens: Tokens
    size: int
    first: int
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, as the network reads it."""
        return (self.size,)

    @property
    def dtype(self) -> torch.dtype:
        """Of what is read."""
        return torch.int64

    @property
    def samples(self) -> int:
        """How many there are in an epoch that begins at the first token."""
        return (self.count - 1) // self.size

    def read(self, places: Sequence[int] | np.ndarray, offset: int = 0) -> Tensor:
        """The windows at some places, (B, T + 1) int64.

        Args:
            places: (B,), each below `samples`.
            offset: by how many tokens all of them are moved; the last stays within the stream.
        """
        begins = offset + np.asarray(places) * self.size
        starts = self.first + np.minimum(begins, self.count - self.size - 1)
        rows = [self.tokens.read(int(start), self.size + 1) for start in starts]
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    def until(self, share: float) -> "Windows":
        """The first part of the stream."""
        return replace(self, count=max(self.size + 1, round(share * self.count)))

    def cut(self, share: float) -> tuple["Windows", "Windows"]:
        """The stream without its last part, and that part."""
        kept = self.count - round(share * self.count)
        return replace(self, count=kept), replace(
            self, first=self.first + kept, count=self.count - kept
        )
