"""Exact arithmetic: a state in fixed point, undone bit for bit at any depth.

A slot is an integer times a power of two, one for each sample. Increments are rounded to that grid,
whatever precision the right-hand sides are computed in, and integer addition has an exact inverse.
A scale other than ±1 is a fraction p/q whose division leaves remainders; they are kept, packed into
words that take log2(q/p) bits per value and step (Maclaurin, Duvenaud & Adams 2015; Sander et al.
2021, App. C).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, partial

import torch
from torch import Tensor

from odenet.runtime.passes.remainders import Digits, Remainders, divided
from odenet.runtime.passes.shear import Coefficient, Packed, Registers

_RANGE = 60  # bits of a slot: a few sums of such numbers still do not wrap in 64
_SUMS = 6  # at most, between two checks of a slot's range
_HEADROOM = 22  # bits of these by which the state may outgrow its first value
_DIGITS = 26  # bits that small states have, as long as …
_FINEST = 56  # … the grid is no finer than 2 to the minus this, and they may grow to 2^4
_DENOMINATORS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # of scales, at most
_CLOSE = 3e-8  # relative error of such a fraction: what single precision would make


class Inexact(ValueError):
    """A number that exact arithmetic cannot hold, or cannot multiply by."""


class OutOfRange(Inexact, OverflowError):
    """A state that left the range of its integers."""


class Fixed(Registers):
    """Registers in fixed point, with the remainders that undo them.

    Args:
        slots: names.
        tensors: values in floating point, rounded to the grid; right-hand sides see their type.

    Raises:
        TypeError: if they are not such numbers.
        Inexact: if a value is infinite or not a number.
    """

    def __init__(self, slots: tuple[str, ...], tensors: Sequence[Tensor]):
        for tensor in tensors:
            if not tensor.is_floating_point() or tensor.itemsize < 2:
                raise TypeError(
                    "exact arithmetic takes real numbers, float16, bfloat16, float32 or float64, "
                    f"not {tensor.dtype}"
                    + ("; give real and imaginary parts as channels" * tensor.is_complex())
                )
        peaks = _peaks([tensor.detach() for tensor in tensors])
        if not peaks.is_meta and bool((~peaks.isfinite()).any()):
            raise Inexact("exact arithmetic needs a finite state, but it holds inf or nan")
        self._prepare(_grid(peaks), tensors[0].dtype)
        super().__init__(slots, tuple(tensors))
        self._values = {
            slot: _rounded(tensor.detach(), self._shaped(self._scale, slot)).long()
            for slot, tensor in self._values.items()
        }
        self._owned.update(slots)

    def read(self, slot: str) -> Tensor:
        """The value of a slot in floating point."""
        return torch.mul(self._values[slot], self._shaped(self._unit, slot)).to(self._dtype)

    def increase(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        """Does slot += factor * amount, rounded to the grid; -factor undoes it."""
        rounded = _rounded(amount, factor * self._shaped(self._scale, slot))
        # Before it is an integer: inf and nan would be one that wraps around, and two of them 0.
        self._over = self._over | ~_within(rounded, 2.0**_RANGE)
        self._add(slot, rounded.long(), 1)

    def mix(self, slot: str, weight: Coefficient, other: str) -> None:
        """Does slot += weight * other slot; whole weights need no rounding."""
        weight = float(weight)
        value = self._values[other]
        if not abs(weight) <= 2**_RANGE:  # no integer that could be multiplied by
            self._over = self._over | value.any() | (not math.isfinite(weight))
        elif weight == round(weight):
            if abs(weight) > _SUMS:
                self._over = self._over | ~_within(value, 2**_RANGE / abs(weight))
            self._add(slot, value, int(weight))
        else:
            amount = _rounded(value.double(), weight)
            self._over = self._over | ~_within(amount, 2.0**_RANGE)
            self._add(slot, amount.long(), 1)

    def multiply(self, slot: str, factor: Coefficient) -> None:
        """Does slot *= factor as a fraction p/q, its remainders put aside."""
        ratio = _fraction(float(factor))
        p, q = abs(ratio.numerator), ratio.denominator
        if ratio < 0:
            self._set(slot, -self._values[slot])
        if p > q:  # the product could wrap around
            self._over = self._over | ~_within(self._values[slot], 2**_RANGE * q // p)
        if p != q:
            whole, digit = divided(self._values[slot], q)
            left = self._remainders.setdefault(slot, Remainders()).push(digit, p, q)
            self._set(slot, whole * p + left)

    def divide(self, slot: str, factor: Coefficient) -> None:
        """Does slot /= factor, bit for bit what it was before ``multiply``."""
        ratio = _fraction(float(factor))
        p, q = abs(ratio.numerator), ratio.denominator
        if p != q:
            whole, left = divided(self._values[slot], p)
            self._set(slot, whole * q + self._remainders[slot].pop(left, p, q))
        if ratio < 0:
            self._set(slot, -self._values[slot])

    def rename(self, names: dict[str, str]) -> None:
        """The value of slot a becomes that of slot names[a]."""
        self._watch(None)
        super().rename(names)

    def verify(self) -> None:
        """Reports a state that left the range of its integers.

        Raises:
            OutOfRange: with what to do about it.
        """
        self._watch(None)
        if bool(self._over):
            raise OutOfRange(
                f"a sample left the range of exact arithmetic, some 2^{_HEADROOM} times its first "
                "value: the flow is unstable (see flow.stability(), and take a smaller h), or a "
                "rate gave inf or nan"
            )

    def pack(self) -> Packed:
        """The registers as they are, which later changes leave alone."""
        self._owned.clear()
        digits = {slot: r.digits() for slot, r in self._remainders.items()}
        words = [word for r in self._remainders.values() for word in r.words]
        rebuild = partial(_rebuilt, tuple(self._values), self._bits, self._dtype, digits)
        tensors = (*self._values.values(), *words)
        return Packed(tensors, len(tensors), rebuild)

    def copy(self) -> Fixed:
        """The same state; changing one leaves the other alone."""
        packed = self.pack()
        return packed.rebuild(packed.tensors)

    def equal(self, other: Fixed) -> bool:
        """Whether two states are the same bit for bit, their remainders included."""
        mine, theirs = (self._bits, *self.pack().tensors), (other._bits, *other.pack().tensors)
        return len(mine) == len(theirs) and all(map(torch.equal, mine, theirs))

    def _prepare(self, bits: Tensor, dtype: torch.dtype) -> None:
        self._bits = bits
        self._dtype = dtype
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self._scale, self._unit = _power_of_two(bits, wide), _power_of_two(-bits, wide)
        self._remainders: dict[str, Remainders] = {}
        self._changed: str | None = None
        self._sums = 0
        self._over: Tensor | bool = False

    def _shaped(self, factors: Tensor, slot: str) -> Tensor:
        """Factors of samples, to be multiplied by a slot."""
        return factors.view(-1, *(1,) * (self._values[slot].ndim - 1))

    def _add(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        self._watch(slot)
        self._sums += abs(int(factor))
        super()._add(slot, amount, factor)

    def _set(self, slot: str, value: Tensor) -> None:
        self._watch(slot)
        super()._set(slot, value)

    def _watch(self, slot: str | None) -> None:
        """Checks the range of the slot that changed before this one, once its changes are done.

        Nothing waits for the outcome here: on an accelerator that would stop the stream.
        """
        done = slot != self._changed or self._sums >= _SUMS
        if self._changed is not None and done:
            self._over = self._over | ~_within(self._values[self._changed], 2**_RANGE)
            self._sums = 0
        self._changed = slot


def _rebuilt(
    slots: tuple[str, ...],
    bits: Tensor,
    dtype: torch.dtype,
    digits: dict[str, Digits],
    tensors: tuple[Tensor, ...],
) -> Fixed:
    state = Fixed.__new__(Fixed)
    Registers.__init__(state, slots, tensors[: len(slots)])
    state._prepare(bits, dtype)
    words = iter(tensors[len(slots) :])
    for slot, found in digits.items():
        own = [next(words) for _ in found[0]]
        state._remainders[slot] = Remainders.rebuilt(own, found)
    return state


def _peaks(tensors: Sequence[Tensor]) -> Tensor:
    """The largest absolute value of each sample; one for all if a tensor is not of samples."""
    batch = len(tensors[0]) if tensors[0].ndim else 0
    together = any(t.ndim < 2 or len(t) != batch for t in tensors)
    rows = [t.reshape(1, -1) if together else t.flatten(1) for t in tensors]
    found = [
        row.abs().amax(1) if row.shape[1] else row.new_zeros(len(row))
        for row in (row.float() if row.itemsize < 4 else row for row in rows)
    ]
    return torch.stack(found).amax(0)


def _grid(peaks: Tensor) -> Tensor:
    """Bits after the point, for samples of some sizes.

    Large ones may grow by the headroom. Small ones have more bits, and may grow by more than that:
    what is small may be so at its start only.
    """
    exponent = torch.frexp(peaks).exponent
    fine = (_DIGITS - exponent).clamp(_RANGE - _HEADROOM, _FINEST)
    return torch.where(
        peaks == 0,
        _RANGE - _HEADROOM,
        torch.where(exponent > 0, _RANGE - _HEADROOM - exponent, fine),
    )


def _power_of_two(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    """Put together from bits: `exp2` may be off by one in the last."""
    if dtype == torch.float64:
        return ((exponent.long() + 1023) << 52).view(torch.float64)
    return ((exponent.int() + 127) << 23).view(torch.float32)


def _rounded(tensor: Tensor, factor: Tensor | float) -> Tensor:
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return torch.mul(tensor, factor).round_()


def _within(tensor: Tensor, limit: float) -> Tensor:
    """Whether all values are at most so large; nan is not."""
    if not tensor.numel():
        return torch.ones((), dtype=torch.bool, device=tensor.device)
    low, high = torch.aminmax(tensor)
    return (low >= -limit) & (high <= limit)


@lru_cache
def _fraction(scale: float) -> Fraction:
    """The simplest fraction that is close; a small numerator keeps the grid fine.

    Raises:
        Inexact: if only one of large numbers is, or one that is not a change at all.
    """
    if not abs(scale) <= 2.0**_RANGE:
        raise Inexact(f"exact arithmetic cannot multiply by {scale}")
    for largest in _DENOMINATORS:
        ratio = Fraction(scale).limit_denominator(largest)
        unchanged = abs(ratio) == 1 and abs(scale) != 1
        if ratio and not unchanged and abs(ratio / Fraction(scale) - 1) <= _CLOSE:
            return ratio
    if not ratio:
        raise Inexact(f"exact arithmetic has no fraction for a scale as small as {scale}")
    raise Inexact(
        "exact arithmetic multiplies by fractions of whole numbers up to "
        f"{_DENOMINATORS[-1]}, and {scale} is not close to one"
    )
