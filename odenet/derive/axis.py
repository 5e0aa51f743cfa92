"""A piece of the complex plane on which a scheme was tested, and what came out."""

from dataclasses import dataclass, field
from typing import Literal

import mpmath
import sympy

from odenet.derive.intervals import Interval
from odenet.derive.text import SchemeNotation

LONG = 40  # characters of a closed form that no longer helps a reader
AxisName = Literal["imaginary", "real"]
NAMES = {"imaginary": "on the imaginary axis", "real": "on the negative real axis"}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where on an axis a scheme is stable.

    Args:
        where: the axis, imaginary or negative real.
        test: the linear equation that was solved, `y' = λ y`; no other one was.
        variable: what is bounded, such as `hω`.
        intervals: in which it is stable.
        limit: the end of the interval that begins at 0; 0 if it is unstable for every step.
        closed: whether the limit itself is stable.
        closed_form: the limit as an expression in the constants, where there is one.
        polynomial: where there is none, the polynomial in s whose zero the limit is.
        decided: whether the zeros at which stability can change were found.
    """

    where: AxisName
    test: str
    variable: str
    intervals: tuple[Interval, ...]
    limit: float
    closed: bool
    closed_form: sympy.Expr | None
    polynomial: sympy.Expr | None
    notation: SchemeNotation = field(repr=False, compare=False)
    decided: bool = True

    @property
    def place(self) -> str:
        """The axis and the test equation: `on the imaginary axis of y' = λ y`."""
        return f"{NAMES[self.where]} of {self.test}"

    @property
    def verdict(self) -> str:
        """`stable for hω < 2`."""
        text = str(self)
        return text if "stable" in text else f"stable for {text}"

    @property
    def sentence(self) -> str:
        """`stable for hω < 2 on the imaginary axis of y' = λ y`."""
        return f"{self.verdict} {self.place}"

    @property
    def short(self) -> str:
        """`sentence` with the limit as a number alone."""
        if not 0 < self.limit < float("inf") or len(self.intervals) > 1:
            return self.sentence
        return f"stable for {self._below} {self.limit:.6g} {self.place}"

    @property
    def unstable(self) -> bool:
        """Whether no short step is stable."""
        return self.decided and not self.limit

    def __str__(self) -> str:
        if not self.decided:
            return "not known to be stable or unstable for these constants"
        if not self.intervals:
            return f"unstable for every {self.variable[0]}"
        if not self.limit:
            return f"stable only for {self._ranges()}"
        if self.limit == float("inf"):
            return f"stable for every {self.variable[0]}"
        if len(self.intervals) > 1:
            return self._ranges()
        number = f"{self.limit:.6g}"
        if self.polynomial is not None:
            zero = self.notation.number(self.polynomial)
            return f"{self._below} {number}, where s = {number} is a zero of {zero}"
        assert self.closed_form is not None
        shown = self.notation.number(self.closed_form)
        if len(shown) > LONG or shown == number:
            return f"{self._below} {number}"
        return f"{self._below} {shown} = {number}"

    @property
    def _below(self) -> str:
        """`hω <`, or `hω ≤` where the limit is stable."""
        return f"{self.variable} {'≤' if self.closed else '<'}"

    def _ranges(self) -> str:
        found: list[str] = []
        for part in self.intervals:
            below, above = ("≤" if c else "<" for c in (part.closed_low, part.closed_high))
            low = f"{float(part.low):.6g} {below} " if part.low else ""
            high = "" if mpmath.isinf(part.high) else f" {above} {float(part.high):.6g}"
            found.append(f"{low}{self.variable}{high}")
        return " or ".join(found)
