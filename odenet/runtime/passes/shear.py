"""A step as a sequence of shears, the form in which steps are run, undone and differentiated.

A shear changes one slot, a stored tensor of the state, by the others,

    a  <-  exp(Σ E(b, …)) α a + Σ β w + Σ φ F(b, …),     a not among the w and the b,  α ≠ 0,

so that it is undone by subtracting the same terms and dividing by α and by the exponential, element
by element, whatever F and E are. A coefficient is a number, or a tensor without axes if it is
learned. The log-determinant is the sum of log|α| + Σ E over the elements (Dinh, Sohl-Dickstein &
Bengio 2017, Eq. 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

Coefficient = float | Tensor


def state_like(state: tuple[Tensor, ...], tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Tensors as a tuple of the type of ``state``, which may be a named tuple."""
    return getattr(state, "_make", tuple)(tensors)


@dataclass(frozen=True, slots=True)
class Term:
    """factor * rate(*reads, *params), one evaluation of a right-hand side.

    Attributes:
        factor: the scheme's coefficient, such as h.
        rate: the right-hand side; takes the tensors of ``reads``, then those of ``params``.
        reads: slots of the state.
        params: attributes of the flow; of a stacked parameter the right-hand side gets this step's
            slice, of a module list this step's module.
    """

    factor: Coefficient
    rate: Callable[..., Tensor]
    reads: tuple[str, ...]
    params: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shear:
    """target <- exp(Σ exponents) * scale * target + Σ weight * slot + Σ terms.

    Attributes:
        target: the slot that changes.
        scale: the factor α of the target.
        adds: pairs (weight, slot) of the terms linear in other slots.
        terms: the right-hand sides that are added.
        exponents: right-hand sides E, with the factor 1; the target is multiplied by exp(Σ E).

    Raises:
        ValueError: if the target is read by its own shear, or the scale is zero: such an update
            has no explicit inverse.
    """

    target: str
    scale: Coefficient
    adds: tuple[tuple[Coefficient, str], ...] = ()
    terms: tuple[Term, ...] = ()
    exponents: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        read = {slot for _, slot in self.adds}
        read |= {slot for term in (*self.terms, *self.exponents) for slot in term.reads}
        if self.target in read:
            raise ValueError(f"the update of {self.target} reads {self.target}: not a shear")
        if is_number(self.scale, 0):
            raise ValueError(f"the update of {self.target} forgets its old value: no inverse")


def is_number(coefficient: Coefficient, value: float) -> bool:
    """Whether a coefficient is this number; False for learned ones, whatever their value is."""
    return not isinstance(coefficient, Tensor) and coefficient == value


def coefficients_in_reverse(shears: Iterable[Shear]) -> Iterator[Coefficient]:
    """The coefficients of a step in the order in which it is undone, from its last shear on."""
    for shear in reversed(tuple(shears)):
        yield from (term.factor for term in reversed(shear.terms))
        yield from (weight for weight, _ in reversed(shear.adds))
        yield shear.scale


@dataclass(frozen=True, slots=True)
class PackedRegisters:
    """Registers as a flat list of tensors for autograd to save, and a way back.

    Attributes:
        tensors: the tensors to save; empty once autograd holds them.
        count: number of the saved tensors.
        rebuild: makes the registers from the tensors.
    """

    tensors: tuple[Tensor, ...]
    count: int
    rebuild: Callable[[tuple[Tensor, ...]], Any]

    def without_tensors(self) -> PackedRegisters:
        """The same without the tensors, which autograd has saved."""
        return replace(self, tensors=())

    def rebuilt_from(self, tensors: Iterator[Tensor]) -> Registers:
        """The registers, from the next ``count`` tensors of an iterator."""
        return self.rebuild(tuple(t.detach() for t in islice(tensors, self.count)))


class Registers:
    """The slots of a state while steps run over them.

    A tensor that came from outside is left as it is: the first change of a slot makes a new tensor,
    later changes overwrite that one.

    Args:
        slots: their names.
        tensors: their values.
        in_place: False makes a new tensor at every change, as autograd needs it.
    """

    def __init__(self, slots: tuple[str, ...], tensors: tuple[Tensor, ...], in_place: bool = True):
        self._values = dict(zip(slots, tensors, strict=True))
        self._owned: set[str] = set()  # slots whose tensors were made here
        self._in_place = in_place

    def tensors(self) -> tuple[Tensor, ...]:
        """The values in the order of the slots, as floating-point tensors."""
        return tuple(self.read(slot) for slot in self._values)

    def read(self, slot: str) -> Tensor:
        """The value of a slot in floating point."""
        return self._values[slot]

    def read_or_none(self, slot: str) -> Tensor | None:
        """The value of a slot; None if it has none, as in `StateGradients`."""
        return self.read(slot)

    def increase(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        """Does slot += factor * amount."""
        self._add(slot, amount, factor)

    def mix(self, slot: str, weight: Coefficient, other: str) -> None:
        """Does slot += weight * other slot."""
        self._add(slot, self._values[other], weight)

    def multiply(self, slot: str, factor: Coefficient) -> None:
        """Does slot *= factor."""
        if is_number(factor, 1):
            return
        if slot in self._owned:
            self._values[slot].mul_(factor)
        else:
            self._set(slot, self._values[slot] * factor)

    def divide(self, slot: str, factor: Coefficient) -> None:
        """Does slot /= factor, which undoes ``multiply``."""
        if is_number(factor, 1):
            return
        if slot in self._owned:
            self._values[slot].div_(factor)
        else:
            self._set(slot, self._values[slot] / factor)

    def stretch(self, slot: str, exponent: Tensor) -> None:
        """Does slot *= exp(exponent), element by element."""
        self.multiply(slot, torch.exp(exponent.to(self._values[slot].dtype)))

    def shrink(self, slot: str, exponent: Tensor) -> None:
        """Does slot /= exp(exponent), which undoes ``stretch``."""
        self.divide(slot, torch.exp(exponent.to(self._values[slot].dtype)))

    def rename(self, names: dict[str, str]) -> None:
        """The value of slot a becomes that of slot names[a]."""
        if names:
            renamed = {names.get(slot, slot): value for slot, value in self._values.items()}
            order = (*self._values, *renamed)  # slots stay where they were in the order
            self._values = {slot: renamed[slot] for slot in order if slot in renamed}
            self._owned = {names.get(slot, slot) for slot in self._owned}

    def replace(self, tensors: tuple[Tensor, ...]) -> None:
        """Puts other values into all slots, given in their order."""
        self._values = dict(zip(self._values, tensors, strict=True))
        self._owned.clear()

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of the stored values."""
        return tuple(self._values)

    @property
    def device(self) -> torch.device:
        """The device of the values."""
        return next(iter(self._values.values())).device

    def write(self, slot: str, value: Tensor) -> None:
        """Puts another value into a slot."""
        self._values[slot] = value
        self._owned.discard(slot)

    def verify(self) -> None:
        """Raises if the arithmetic has failed, which only fixed point reports."""

    def pack(self) -> PackedRegisters:
        """The present values as a list of tensors, which later changes leave alone."""
        self._owned.clear()
        slots, tensors = tuple(self._values), tuple(self._values.values())
        return PackedRegisters(tensors, len(tensors), lambda tensors: Registers(slots, tensors))

    def _add(self, slot: str, amount: Tensor, factor: Coefficient) -> None:
        # The product is rounded, as in `flow.advance`: `add` with a factor rounds only once, and
        # training would differ from evaluation in the last bit.
        value = self._values[slot]
        dtypes = value.dtype, amount.dtype
        is_widened = dtypes[0] != dtypes[1] and torch.promote_types(*dtypes) != dtypes[0]
        owned = slot in self._owned and not is_widened
        if is_number(factor, -1):
            changed = value.sub_(amount) if owned else value - amount
        else:
            amount = amount if is_number(factor, 1) else amount * factor
            changed = value.add_(amount) if owned else value + amount
        if not owned:
            self._set(slot, changed)

    def _set(self, slot: str, value: Tensor) -> None:
        self._values[slot] = value
        if self._in_place:
            self._owned.add(slot)
