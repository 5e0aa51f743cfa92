"""Exact arithmetic: a state in fixed point, undone bit for bit at any depth.

A slot is an integer times a power of two. Increments are rounded to that grid, whatever precision
the right-hand sides are computed in, and integer addition has an exact inverse. A scale other than
±1 is a fraction p/q whose division leaves remainders; they are kept, packed into words that take
log2(q/p) bits per value and step (Maclaurin, Duvenaud & Adams 2015; Sander et al. 2021, App. C).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor

from odenet.runtime.shear import Packed, Registers

_RANGE = 60  # bits of a slot: a few sums of such numbers still do not wrap in 64
_HEADROOM = 20  # bits of these by which the state may outgrow its first value
_WORD = 62  # bits of a word of remainders


class Fixed(Registers):
    """Registers in fixed point, with the remainders that undo them.

    Args:
        slots: names.
        tensors: values in floating point, rounded to the grid; right-hand sides see their type.

    Raises:
        ValueError: if a value is infinite or not a number.
    """

    def __init__(self, slots: tuple[str, ...], tensors: Sequence[Tensor]):
        peak = max(float(tensor.detach().abs().amax()) for tensor in tensors)
        if not math.isfinite(peak):
            raise ValueError("exact arithmetic needs a finite state, but it holds inf or nan")
        bits = _RANGE - _HEADROOM - max(0, math.frexp(peak)[1])
        self._prepare(bits, tensors[0].dtype)
        integers = [_rounded(tensor.detach(), 2.0**bits) for tensor in tensors]
        super().__init__(slots, tuple(integers))
        self._owned.update(slots)

    def read(self, slot: str) -> Tensor:
        """The value of a slot in floating point."""
        return torch.mul(self._values[slot], self._unit).to(self._dtype)

    def increase(self, slot: str, amount: Tensor, factor: float) -> None:
        """Does slot += factor * amount, rounded to the grid; -factor undoes it."""
        self._add(slot, _rounded(amount, factor * 2.0**self._bits), 1)

    def mix(self, slot: str, weight: float, other: str) -> None:
        """Does slot += weight * other slot; whole weights need no rounding."""
        value = self._values[other]
        if weight == round(weight):
            self._add(slot, value, int(weight))
        else:
            self._add(slot, _rounded(value.double(), weight), 1)

    def multiply(self, slot: str, factor: float) -> None:
        """Does slot *= factor as a fraction p/q, its remainders put aside."""
        ratio = _fraction(factor)
        p, q = abs(ratio.numerator), ratio.denominator
        if factor < 0:
            self._set(slot, -self._values[slot])
        if p != q:
            whole, digit = _divide(self._values[slot], q)
            left = self._remainders.setdefault((slot, ratio), Remainders(p, q)).push(digit)
            self._set(slot, whole * p + left)

    def divide(self, slot: str, factor: float) -> None:
        """Does slot /= factor, bit for bit what it was before ``multiply``."""
        ratio = _fraction(factor)
        p, q = abs(ratio.numerator), ratio.denominator
        if p != q:
            whole, left = _divide(self._values[slot], p)
            self._set(slot, whole * q + self._remainders[slot, ratio].pop(left))
        if factor < 0:
            self._set(slot, -self._values[slot])

    def rename(self, names: dict[str, str]) -> None:
        """The value of slot a becomes that of slot names[a]."""
        self._watch(None)
        super().rename(names)

    def verify(self) -> None:
        """Reports a state that left the range of its integers.

        Raises:
            OverflowError: with what to do about it.
        """
        self._watch(None)
        if bool(self._over):
            raise OverflowError(
                f"the state passed 2^{_RANGE - self._bits}, the range of exact arithmetic, some "
                f"2^{_HEADROOM} times its first value: the flow is unstable (see flow.stability(), "
                f"and take a smaller h), or a rate gave inf or nan"
            )

    def pack(self) -> Packed:
        """The registers as they are, which later changes leave alone."""
        tensors, rebuild = self._take_apart()
        return Packed(tensors, len(tensors), rebuild)

    def copy(self) -> Fixed:
        """The same state; changing one leaves the other alone."""
        tensors, rebuild = self._take_apart()
        return rebuild(tensors)

    def equal(self, other: Fixed) -> bool:
        """Whether two states are the same bit for bit, their remainders included."""
        mine, theirs = self.pack().tensors, other.pack().tensors
        return len(mine) == len(theirs) and all(map(torch.equal, mine, theirs))

    def _take_apart(self) -> tuple[tuple[Tensor, ...], Callable[[tuple[Tensor, ...]], Fixed]]:
        self._owned.clear()
        counts = {key: tuple(r.counts) for key, r in self._remainders.items()}
        words = [word for r in self._remainders.values() for word in r.words]
        rebuild = partial(_rebuilt, tuple(self._values), self._bits, self._dtype, counts)
        return (*self._values.values(), *words), rebuild

    def _prepare(self, bits: int, dtype: torch.dtype) -> None:
        self._bits = bits
        self._dtype = dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self._unit = torch.tensor(2.0**-bits, dtype=wide)
        self._remainders: dict[tuple[str, Fraction], Remainders] = {}
        self._changed: str | None = None
        self._over: Tensor | bool = False

    def _add(self, slot: str, amount: Tensor, factor: float) -> None:
        self._watch(slot)
        super()._add(slot, amount, factor)

    def _set(self, slot: str, value: Tensor) -> None:
        self._watch(slot)
        super()._set(slot, value)

    def _watch(self, slot: str | None) -> None:
        """Checks the range of the slot that changed before this one, once its changes are done.

        Nothing waits for the outcome here: on an accelerator that would stop the stream.
        """
        if self._changed is not None and slot != self._changed:
            low, high = torch.aminmax(self._values[self._changed])
            self._over = self._over | (high > 2**_RANGE) | (low < -(2**_RANGE))
        self._changed = slot


class Remainders:
    """What divisions by q, after multiplications by p, leave over: a stack of digits, in words.

    Adding a digit to a word b makes it b q + digit; taking one of base p off then shortens it again
    by log2(p) bits. A word that could overflow is left as it is, and a new one begun.
    """

    def __init__(self, p: int, q: int):
        self._p = p
        self._q = q
        self._capacity = _capacity(p, q)
        self.words: list[Tensor] = []
        self.counts: list[int] = []

    def push(self, digit: Tensor) -> Tensor:
        """Puts a digit below q away and hands out one below p."""
        if not self.words or self.counts[-1] == self._capacity:
            self.words.append(torch.zeros_like(digit))
            self.counts.append(0)
        self.words[-1], out = _divide(self.words[-1] * self._q + digit, self._p)
        self.counts[-1] += 1
        return out

    def pop(self, digit: Tensor) -> Tensor:
        """Undoes ``push``: takes the digit below p back and returns the one below q."""
        self.words[-1], out = _divide(self.words[-1] * self._p + digit, self._q)
        self.counts[-1] -= 1
        if not self.counts[-1]:
            self.words.pop()
            self.counts.pop()
        return out


def _rebuilt(
    slots: tuple[str, ...],
    bits: int,
    dtype: torch.dtype,
    counts: dict[tuple[str, Fraction], tuple[int, ...]],
    tensors: tuple[Tensor, ...],
) -> Fixed:
    state = Fixed.__new__(Fixed)
    Registers.__init__(state, slots, tensors[: len(slots)])
    state._prepare(bits, dtype)
    words = iter(tensors[len(slots) :])
    for (slot, ratio), word_counts in counts.items():
        remainders = Remainders(abs(ratio.numerator), ratio.denominator)
        remainders.counts = list(word_counts)
        remainders.words = [next(words) for _ in word_counts]
        state._remainders[slot, ratio] = remainders
    return state


def _rounded(tensor: Tensor, factor: float) -> Tensor:
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return torch.mul(tensor, factor).round_().long()


def _divide(value: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """Quotient and remainder, both rounded down: truncation would lose negative remainders."""
    quotient = torch.div(value, by, rounding_mode="floor")
    return quotient, value - quotient * by


def _fraction(scale: float) -> Fraction:
    """The simplest fraction that is close; a small numerator keeps the grid fine."""
    ratio = Fraction(scale)
    for largest in (10, 100, 1000, 10_000):
        ratio = Fraction(scale).limit_denominator(largest)
        if abs(ratio - Fraction(scale)) <= 1e-9 * abs(scale):
            return ratio
    if not ratio:
        raise ValueError(f"exact arithmetic has no fraction for a scale as small as {scale}")
    return ratio


def _capacity(p: int, q: int) -> int:
    """How many digits a word takes before it could overflow."""
    if p >= q:
        return sys.maxsize
    largest, count = 0, 0
    while largest * q + q - 1 < 2**_WORD:
        largest = (largest * q + q - 1) // p
        count += 1
    return count
