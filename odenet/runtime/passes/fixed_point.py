"""Exact arithmetic: a state in fixed point, whose steps can be undone bit for bit at any depth.

The values of a slot are integers times a power of two, which is chosen once per sample. Increments
are rounded to that grid, whatever precision the right-hand sides are computed in, and integer
addition has an exact inverse. A scale other than ±1 is a fraction p/q. Its division leaves
remainders, which are packed into words that take log2(q/p) bits per value and step (Maclaurin,
Duvenaud & Adams 2015; Sander et al. 2021, App. C).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, partial

import torch
from torch import Tensor

from odenet.runtime.passes.remainders import DigitBounds, Remainders, floor_divide
from odenet.runtime.passes.shear import Coefficient, PackedRegisters, Registers

_RANGE = 60  # values stay within ±2^60, so that a few sums do not wrap around in 64 bits
_SUMS_PER_CHECK = 6  # additions to a slot between checks of its range; adding 2 x counts as two
_HEADROOM = 22  # the state may grow to 2^22 times its first value
_SMALL_STATE_BITS = 26  # precision of small states, if the grid is not too fine for it
_FINEST = 56  # bits after the binary point at most, so that small states may grow to 2^4
_DENOMINATORS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # bounds to try
_FRACTION_ERROR = 3e-8  # largest relative error of the fraction for a scale: half that of float32


class Inexact(ValueError):
    """A number that exact arithmetic cannot hold, or cannot multiply by."""


class OutOfRange(Inexact, OverflowError):
    """A state that left the range of its integers."""


class FixedPointRegisters(Registers):
    """Registers in fixed point, with the remainders that are needed to undo multiplications.

    Args:
        slots: names of the registers.
        tensors: their values in floating point, which are rounded to the grid; `read` returns
            values of this type.

    Raises:
        TypeError: if the tensors are not in floating point.
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
        self._set_grid(_fractional_bits(peaks), tensors[0].dtype)
        super().__init__(slots, tuple(tensors))
        self._values = {
            slot: _rounded_product(tensor.detach(), self._broadcast(self._to_grid, slot)).long()
            for slot, tensor in self._values.items()
        }
        self._owned.update(slots)

    def read(self, slot: str) -> Tensor:
        """The value of a slot in floating point."""
        return torch.mul(self._values[slot], self._broadcast(self._from_grid, slot)).to(self._dtype)

    def increase(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        """Does slot += factor * amount, rounded to the grid; -factor undoes it."""
        rounded = _rounded_product(amount, factor * self._broadcast(self._to_grid, slot))
        # Checked before the conversion: inf and nan become integers that may cancel.
        self._overflow = self._overflow | ~_is_within(rounded, 2.0**_RANGE)
        self._add(slot, rounded.long(), factor=1)

    def mix(self, slot: str, weight: Coefficient, other: str) -> None:
        """Does slot += weight * other slot; an integer weight needs no rounding."""
        weight = float(weight)
        value = self._values[other]
        if not abs(weight) <= 2**_RANGE:  # too large to multiply integers by
            self._overflow = self._overflow | value.any() | (not math.isfinite(weight))
        elif weight == round(weight):
            if abs(weight) > _SUMS_PER_CHECK:
                self._overflow = self._overflow | ~_is_within(value, 2**_RANGE / abs(weight))
            self._add(slot, value, int(weight))
        else:
            amount = _rounded_product(value.double(), weight)
            self._overflow = self._overflow | ~_is_within(amount, 2.0**_RANGE)
            self._add(slot, amount.long(), factor=1)

    def multiply(self, slot: str, factor: Coefficient) -> None:
        """Does slot *= factor, as a fraction p/q whose remainders are kept."""
        ratio = _close_fraction(float(factor))
        p, q = abs(ratio.numerator), ratio.denominator
        if ratio < 0:
            self._set(slot, -self._values[slot])
        if p > q:  # the product could wrap around
            self._overflow = self._overflow | ~_is_within(self._values[slot], 2**_RANGE * q // p)
        if p != q:
            quotient, digit = floor_divide(self._values[slot], q)
            remainder = self._remainders.setdefault(slot, Remainders()).push(digit, p, q)
            self._set(slot, quotient * p + remainder)

    def divide(self, slot: str, factor: Coefficient) -> None:
        """Does slot /= factor, which undoes ``multiply`` bit for bit."""
        ratio = _close_fraction(float(factor))
        p, q = abs(ratio.numerator), ratio.denominator
        if p != q:
            quotient, remainder = floor_divide(self._values[slot], p)
            self._set(slot, quotient * q + self._remainders[slot].pop(remainder, p, q))
        if ratio < 0:
            self._set(slot, -self._values[slot])

    def rename(self, names: dict[str, str]) -> None:
        """The value of slot a becomes that of slot names[a]."""
        self._check_range(None)
        super().rename(names)

    def verify(self) -> None:
        """Waits for all checks of the range.

        Raises:
            OutOfRange: if a state left the range of its integers.
        """
        self._check_range(None)
        if bool(self._overflow):
            raise OutOfRange(
                f"a sample left the range of exact arithmetic, some 2^{_HEADROOM} times its "
                "first value: the flow is unstable (see flow.stability(), and take a smaller h), "
                "or a rate gave inf or nan"
            )

    def pack(self) -> PackedRegisters:
        """The present values as a list of tensors, which later changes leave alone."""
        self._owned.clear()
        digit_bounds = {slot: r.bounds() for slot, r in self._remainders.items()}
        words = [word for r in self._remainders.values() for word in r.words]
        rebuild = partial(_rebuild, tuple(self._values), self._bits, self._dtype, digit_bounds)
        tensors = (*self._values.values(), *words)
        return PackedRegisters(tensors, len(tensors), rebuild)

    def copy(self) -> FixedPointRegisters:
        """The same state; changing one leaves the other alone."""
        packed = self.pack()
        return packed.rebuild(packed.tensors)

    def equal(self, other: FixedPointRegisters) -> bool:
        """Whether two states are the same bit for bit, their remainders included."""
        ours, theirs = ((self._bits, *self.pack().tensors), (other._bits, *other.pack().tensors))
        return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))

    def _set_grid(self, bits: Tensor, dtype: torch.dtype) -> None:
        """Sets the grid and empties the remainders.

        The grid is the multiples of 2^-bits, where each sample has its own number of bits.
        """
        self._bits = bits
        self._dtype = dtype
        factor_type = torch.float64 if dtype == torch.float64 else torch.float32
        self._to_grid, self._from_grid = (_power_of_two(n, factor_type) for n in (bits, -bits))
        self._remainders: dict[str, Remainders] = {}
        self._last_slot: str | None = None
        self._unchecked_sums = 0
        self._overflow: Tensor | bool = False

    def _broadcast(self, factors: Tensor, slot: str) -> Tensor:
        """One factor per sample, in a shape that broadcasts with the values of a slot."""
        return factors.view(-1, *(1,) * (self._values[slot].ndim - 1))

    def _add(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        self._check_range(slot)
        self._unchecked_sums += abs(int(factor))
        super()._add(slot, amount, factor)

    def _set(self, slot: str, value: Tensor) -> None:
        self._check_range(slot)
        super()._set(slot, value)

    def _check_range(self, slot: str | None) -> None:
        """Notes that a slot changes (None for no slot), and checks the one that changed before it.

        The result of the check is not read here, since an accelerator would have to wait for it.
        """
        is_check_due = slot != self._last_slot or self._unchecked_sums >= _SUMS_PER_CHECK
        if self._last_slot is not None and is_check_due:
            self._overflow = self._overflow | ~_is_within(self._values[self._last_slot], 2**_RANGE)
            self._unchecked_sums = 0
        self._last_slot = slot


def _rebuild(
    slots: tuple[str, ...],
    bits: Tensor,
    dtype: torch.dtype,
    digit_bounds: dict[str, DigitBounds],
    tensors: tuple[Tensor, ...],
) -> FixedPointRegisters:
    """The registers from what `FixedPointRegisters.pack` gave."""
    state = FixedPointRegisters.__new__(FixedPointRegisters)
    Registers.__init__(state, slots, tensors[: len(slots)])
    state._set_grid(bits, dtype)
    words = iter(tensors[len(slots) :])
    for slot, bounds in digit_bounds.items():
        state._remainders[slot] = Remainders.from_words([next(words) for _ in bounds[0]], bounds)
    return state


def _peaks(tensors: Sequence[Tensor]) -> Tensor:
    """The largest absolute value of each sample; one for all if a tensor has no batch axis."""
    batch = len(tensors[0]) if tensors[0].ndim else 0
    share_one = any(t.ndim < 2 or len(t) != batch for t in tensors)
    rows = [t.reshape(1, -1) if share_one else t.flatten(1) for t in tensors]
    peaks = [
        row.abs().amax(1) if row.shape[1] else row.new_zeros(len(row))
        for row in (row.float() if row.itemsize < 4 else row for row in rows)
    ]
    return torch.stack(peaks).amax(0)


def _fractional_bits(peaks: Tensor) -> Tensor:
    """Bits after the binary point for each sample, from its largest absolute value.

    Large values may grow by the headroom. Small ones may grow by more, since a state that is small
    at first, such as one that starts at zero, may not remain so.
    """
    exponent = torch.frexp(peaks).exponent
    fine = (_SMALL_STATE_BITS - exponent).clamp(_RANGE - _HEADROOM, _FINEST)
    return torch.where(
        peaks == 0,
        _RANGE - _HEADROOM,
        torch.where(exponent > 0, _RANGE - _HEADROOM - exponent, fine),
    )


def _power_of_two(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    """2 to an integer power, from its bits: `exp2` may be off by one in the last bit."""
    if dtype == torch.float64:
        return ((exponent.long() + 1023) << 52).view(torch.float64)
    return ((exponent.int() + 127) << 23).view(torch.float32)


def _rounded_product(tensor: Tensor, factor: Tensor | float) -> Tensor:
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return torch.mul(tensor, factor).round_()


def _is_within(tensor: Tensor, limit: float) -> Tensor:
    """Whether no absolute value exceeds the limit; False for nan."""
    if not tensor.numel():
        return torch.ones((), dtype=torch.bool, device=tensor.device)
    low, high = torch.aminmax(tensor)
    return (low >= -limit) & (high <= limit)


@lru_cache
def _close_fraction(scale: float) -> Fraction:
    """The simplest fraction close to a scale; small numbers keep the remainders short.

    Raises:
        Inexact: if no fraction with a small enough denominator is close; ±1 is only taken for ±1.
    """
    if not abs(scale) <= 2.0**_RANGE:
        raise Inexact(f"exact arithmetic cannot multiply by {scale}")
    for largest in _DENOMINATORS:
        ratio = Fraction(scale).limit_denominator(largest)
        becomes_one = abs(ratio) == 1 and abs(scale) != 1
        if ratio and not becomes_one and abs(ratio / Fraction(scale) - 1) <= _FRACTION_ERROR:
            return ratio
    if not ratio:
        raise Inexact(f"exact arithmetic has no fraction for a scale as small as {scale}")
    raise Inexact(
        "exact arithmetic multiplies by fractions of whole numbers up to "
        f"{_DENOMINATORS[-1]}, and {scale} is not close to one"
    )
