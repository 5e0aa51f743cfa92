"""What divisions of exact arithmetic leave over, packed into words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_WORD = 62  # bits of a word of remainders


class Remainders:
    """What divisions by q, after multiplications by p, leave over: a stack of digits, in words.

    Adding a digit to a word b makes it b q + digit; taking one of base p off then shortens it again
    by log2(p) bits. A word that could overflow is left as it is, and a new one begun. The fraction
    may be another one in each step, as long as it is the same on the way back.

    Attributes:
        words: of the stack.
        largest: for each word, the most it can have been before each of its digits.
    """

    def __init__(self) -> None:
        self.words: list[Tensor] = []
        self.largest: list[list[int]] = []
        self._most = 0  # that the last word can be

    def push(self, digit: Tensor, p: int, q: int) -> Tensor:
        """Puts a digit below q away and hands out one below p."""
        if not self.words or self._most * q + q > 2**_WORD:
            self.words.append(torch.zeros_like(digit))
            self.largest.append([])
            self._most = 0
        self.largest[-1].append(self._most)
        self.words[-1], out = divided(self.words[-1] * q + digit, p)
        self._most = (self._most * q + q - 1) // p
        return out

    def pop(self, digit: Tensor, p: int, q: int) -> Tensor:
        """Undoes ``push``: takes the digit below p back and returns the one below q."""
        self.words[-1], out = divided(self.words[-1] * p + digit, q)
        self._most = self.largest[-1].pop()
        if not self.largest[-1]:
            self.words.pop()
            self.largest.pop()
        return out

    def digits(self) -> Digits:
        """All but the words, as it is now."""
        return tuple(map(tuple, self.largest)), self._most

    @classmethod
    def rebuilt(cls, words: Sequence[Tensor], digits: Digits) -> Remainders:
        """A stack from its words and ``digits``."""
        found = cls()
        found.words = list(words)
        found.largest, found._most = list(map(list, digits[0])), digits[1]
        return found


Digits = tuple[tuple[tuple[int, ...], ...], int]


def divided(value: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Quotient and remainder, both rounded down: truncation would lose negative remainders."""
    quotient = torch.div(value, by, rounding_mode="floor")
    return quotient, value - quotient * by
