"""The `discretise` line of a file, resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from odenet.diagnostics import Span
from odenet.model.expressions.expr import Node, Slot, State, Zero
from odenet.model.typed.scheme import Scheme
from odenet.model.typed.step_constants import Number, StepConstant


@dataclass(frozen=True, kw_only=True)
class Discretisation:
    """The scheme, its constants, and the states that take the place of each of its unknowns.

    Args:
        scheme: the rule of one step.
        h: the step size; None when `final_time` is given, or the scheme has none.
        final_time: T, for h = T / steps; None when `h` is given, or the scheme has none.
        constants: values of the scheme's constants.
        starts: the values before the first step that the scheme needs, such as that of `Y[-1]`.
        groups: unknown of the `for` line -> the states of the file that take its place.
        exact: whether the state is in fixed-point arithmetic, so that steps are undone bit for bit.
        tolerance: the relative and the absolute tolerance of an adaptive solver; None for steps of
            fixed size.
        varying: the constants, possibly `h` too, that differ from step to step; `constants` and `h`
            then have one of their values.
    """

    scheme: Scheme
    h: Number | None
    final_time: Number | None
    constants: Mapping[str, Number]
    starts: tuple[tuple[Slot, Node], ...]
    groups: Mapping[str, tuple[State, ...]]
    exact: bool
    span: Span = field(compare=False, repr=False)
    tolerance: tuple[Number, Number] | None = None
    varying: Mapping[str, StepConstant] = field(default_factory=dict[str, StepConstant])

    @property
    def displayed_constants(self) -> Mapping[str, str]:
        """`h`, `T`, the constants and tolerances by name, as text for reports."""
        values = {"h": self.h, "T": self.final_time, **self.constants}
        values |= dict(zip(("rtol", "atol"), self.tolerance or (), strict=False))
        return {
            name: str(self.varying[name]) if name in self.varying else f"{float(value):g}"
            for name, value in values.items()
            if value is not None
        }

    @property
    def why_unrefinable(self) -> tuple[str, str]:
        """Why the flow cannot be refined to half the step size, and the help; else two empty texts.

        It cannot if a start value such as Y[-1] is 0 for every h, which is not a point of the
        solution: the velocity (Y[0] - Y[-1]) / h of leapfrog then doubles when h is halved, and the
        odd steps of midpoint are not near the even ones.
        """
        for slot, value in self.starts:
            if slot.offset < 0 and isinstance(value, Zero):
                name = self.scheme.spellings.get(slot.name, slot.name)
                why = (
                    f"`{name}[{slot.offset}] = 0` of {self.scheme.name} is not a value of the "
                    "solution, so that with h halved the flow is another"
                )
                return why, f"`start {name}[{slot.offset}] = {self._value_at(slot)}` makes it one"
        return "", ""

    def _value_at(self, slot: Slot) -> str:
        """A formula for an unknown before the first step, accurate enough for h to be halved."""
        names = self.scheme.spellings
        pattern = next(p for p in self.scheme.patterns if p.unknown == slot.name)
        name = names.get(slot.name, slot.name)
        if pattern.order == 2:
            return f"{name}[0]"
        steps = "h" if slot.offset == -1 else f"{-slot.offset} h"
        reads = ", ".join(f"{names.get(read, read)}[0]" for read in pattern.reads)
        return f"{name}[0] - {steps} {names.get(pattern.function, pattern.function)}({reads})"

    @property
    def numbers(self) -> Mapping[str, Number]:
        """The constants, and the step size where the file gives it."""
        return self.constants if self.h is None else {**self.constants, "h": self.h}
