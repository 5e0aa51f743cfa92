"""For which step sizes a scheme is stable with eigenvalues on one axis of the complex plane."""

from dataclasses import dataclass, field
from typing import Literal

import mpmath
import sympy

from odenet.derive.intervals import Interval
from odenet.derive.scheme_notation import SchemeNotation

LONGEST_CLOSED_FORM = 40  # characters; of a longer closed form only the decimal value is printed
Axis = Literal["imaginary", "real"]
PHRASES = {"imaginary": "on the imaginary axis", "real": "on the negative real axis"}


@dataclass(frozen=True, kw_only=True)
class AxisStability:
    """For which hω (λ = iω), or hμ (λ = -μ), a scheme is stable on one test equation.

    Args:
        axis: where the eigenvalues λ lie, on the imaginary or on the negative real axis.
        test_equation: the linear equation that was solved, such as `y' = λ y`.
        variable: the name of the variable that stability bounds, such as `hω`.
        intervals: the intervals of that variable in which the scheme is stable.
        limit: the end of the interval that begins at 0; 0 if there is no such interval.
        includes_limit: whether the scheme is stable at the limit itself.
        closed_form: the limit as an expression in the constants; None if there is none.
        polynomial: if there is no closed form, a polynomial in s that has the limit as a zero.
        notation: prints numbers as the author of the scheme writes them.
        decided: False if the values at which stability can change could not be computed; the other
            results then mean nothing.
    """

    axis: Axis
    test_equation: str
    variable: str
    intervals: tuple[Interval, ...]
    limit: float
    includes_limit: bool
    closed_form: sympy.Expr | None
    polynomial: sympy.Expr | None
    notation: SchemeNotation = field(repr=False, compare=False)
    decided: bool = True

    @property
    def location(self) -> str:
        """The axis and the test equation: `on the imaginary axis of y' = λ y`."""
        return f"{PHRASES[self.axis]} of {self.test_equation}"

    @property
    def verdict(self) -> str:
        """`stable for hω < 2`."""
        text = str(self)
        return text if "stable" in text else f"stable for {text}"

    @property
    def sentence(self) -> str:
        """`stable for hω < 2 on the imaginary axis of y' = λ y`."""
        return f"{self.verdict} {self.location}"

    @property
    def short_sentence(self) -> str:
        """`sentence` with the limit as a number alone."""
        if not 0 < self.limit < float("inf") or len(self.intervals) > 1:
            return self.sentence
        return f"stable for {self._less_than} {self.limit:.6g} {self.location}"

    @property
    def is_unstable(self) -> bool:
        """Whether the scheme is unstable for all sufficiently short steps."""
        return self.decided and not self.limit

    def __str__(self) -> str:
        if not self.decided:
            return "not known to be stable or unstable for these constants"
        if not self.intervals:
            return f"unstable for every {self.variable[0]}"
        if not self.limit:
            return f"stable only for {self._intervals_text()}"
        if self.limit == float("inf"):
            return f"stable for every {self.variable[0]}"
        if len(self.intervals) > 1:
            return self._intervals_text()
        number = f"{self.limit:.6g}"
        if self.polynomial is not None:
            zero = self.notation.number(self.polynomial)
            return f"{self._less_than} {number}, where s = {number} is a zero of {zero}"
        assert self.closed_form is not None
        shown = self.notation.number(self.closed_form)
        if len(shown) > LONGEST_CLOSED_FORM or shown == number:
            return f"{self._less_than} {number}"
        return f"{self._less_than} {shown} = {number}"

    @property
    def _less_than(self) -> str:
        """`hω <`, or `hω ≤` if the scheme is stable at the limit; the limit is printed after it."""
        return f"{self.variable} {'≤' if self.includes_limit else '<'}"

    def _intervals_text(self) -> str:
        texts: list[str] = []
        for interval in self.intervals:
            below, above = ("≤" if c else "<" for c in (interval.closed_low, interval.closed_high))
            low = f"{float(interval.low):.6g} {below} " if interval.low else ""
            high = "" if mpmath.isinf(interval.high) else f" {above} {float(interval.high):.6g}"
            texts.append(f"{low}{self.variable}{high}")
        return " or ".join(texts)
