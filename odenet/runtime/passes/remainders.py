"""The remainders of divisions in exact arithmetic, packed into 64-bit words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_WORD_BITS = 62  # how many bits of a 64-bit word may hold remainders


class Remainders:
    """A stack of the remainders that multiplications by fractions p/q leave, in words.

    Multiplying a value by p/q divides it by q, whose remainder is a digit in base q. Pushing the
    digit onto a word b makes it b q + digit; a digit in base p is then taken off the word, which
    shortens it by log2(p) bits, and fills the place that the multiplication by p leaves free. A new
    word is begun when the last one could overflow. The fraction may differ from step to step.

    Attributes:
        words: the words, the last one on top, each a tensor with one integer per value.
        largest: for each word a list, with the word's upper bound before each push onto it.
    """

    def __init__(self) -> None:
        self.words: list[Tensor] = []
        self.largest: list[list[int]] = []
        self._largest_word = 0  # upper bound of the last word

    def push(self, digit: Tensor, p: int, q: int) -> Tensor:
        """Pushes a digit below q and takes one below p, which it returns."""
        if not self.words or self._largest_word * q + q > 2**_WORD_BITS:
            self.words.append(torch.zeros_like(digit))
            self.largest.append([])
            self._largest_word = 0
        self.largest[-1].append(self._largest_word)
        self.words[-1], out = floor_divide(self.words[-1] * q + digit, p)
        self._largest_word = (self._largest_word * q + q - 1) // p
        return out

    def pop(self, digit: Tensor, p: int, q: int) -> Tensor:
        """Undoes ``push``: puts the digit below p back and returns the one below q."""
        self.words[-1], out = floor_divide(self.words[-1] * p + digit, q)
        self._largest_word = self.largest[-1].pop()
        if not self.largest[-1]:
            self.words.pop()
            self.largest.pop()
        return out

    def bounds(self) -> DigitBounds:
        """The upper bounds that `from_words` needs."""
        return tuple(map(tuple, self.largest)), self._largest_word

    @classmethod
    def from_words(cls, words: Sequence[Tensor], bounds: DigitBounds) -> Remainders:
        """A stack from its words and ``bounds()``."""
        remainders = cls()
        remainders.words = list(words)
        remainders.largest, remainders._largest_word = list(map(list, bounds[0])), bounds[1]
        return remainders


# The `largest` of a `Remainders`, and the upper bound of its last word.
DigitBounds = tuple[tuple[tuple[int, ...], ...], int]


def floor_divide(value: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
    """Quotient and remainder, both rounded down: truncation would lose negative remainders."""
    quotient = torch.div(value, divisor, rounding_mode="floor")
    return quotient, value - quotient * divisor
