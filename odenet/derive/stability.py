"""The stability of a step on the test equations that its pattern implies.

Stable means that all powers of the one-step matrix are bounded. It depends on s = hω, along the
imaginary axis, and on s = hμ with λ = -μ along the negative real one.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mpmath
import sympy

from odenet.derive.axis import Axis, AxisName
from odenet.derive.coefficients import H
from odenet.derive.exact_numbers import DIGITS, as_mpf, constants
from odenet.derive.intervals import (
    XI,
    Interval,
    Poly,
    Real,
    S,
    Undecided,
    closed_form,
    critical,
    most_terms,
    positive_roots,
    stable_intervals,
    with_fractions,
)
from odenet.derive.linear_step import OneStep, one_step
from odenet.derive.linear_tests import Coupling, LinearTest, linear_tests
from odenet.derive.power_bounded import bounded_powers
from odenet.derive.text import notation
from odenet.model.typed.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np

MOST_TERMS = 700  # of a determinant with a named constant; the time to factor it grows with them
TOLERANCE = 1e-7  # of a spectral radius in double precision, next to a double root

# The letter of the frequency on an axis, and hλ there.
_AXES: dict[AxisName, tuple[str, sympy.Expr]] = {
    "imaginary": ("ω", sympy.I * S),
    "real": ("μ", -S),
}


@dataclass(frozen=True)
class TestedScheme:
    """A scheme on one test equation, at given values of its constants.

    Args:
        scheme: as parsed.
        values: of its constants and lets, and of h if the test depends on it.
        equation: the test equation.
        step: one step on it, with hλ written s.
    """

    scheme: Scheme
    values: Mapping[str, Any]
    equation: LinearTest
    step: OneStep = field(repr=False)

    @cached_property
    def imaginary(self) -> Axis:
        """The limit on the imaginary axis."""
        return self._axis("imaginary")

    @cached_property
    def real(self) -> Axis | None:
        """The limit on the negative real axis; None if the test equation has no such eigenvalue."""
        return self._axis("real") if self.equation.real else None

    @property
    def polynomial(self) -> sympy.Expr:
        """The characteristic polynomial in ξ and s = hλ."""
        return self.step.polynomial()

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Where in the complex plane of z = hλ the scheme is stable.

        Args:
            z: complex, of any shape.

        Returns:
            Whether the spectral radius of the step is at most 1, of the same shape. A multiple
            eigenvalue on the unit circle counts as stable here, unlike on the axes.
        """
        import numpy as np

        z = np.asarray(z, dtype=complex)
        values = {s: float(v) for s, v in self.numbers().items()} | {S: z}
        rows = self.step.at(values, float)
        grid = np.array([[np.broadcast_to(entry, z.shape) for entry in row] for row in rows])
        found = np.linalg.eigvals(np.moveaxis(grid, (0, 1), (-2, -1)))
        return np.abs(found).max(axis=-1) <= 1 + TOLERANCE

    def numbers(self) -> dict[sympy.Symbol, Real]:
        """Numbers for the symbols of a step but s; none for h where no step size is given."""
        known = self.step.scalars.numbers(self.values)
        return {H: mpmath.mpf(1)} | {symbol: as_mpf(value) for symbol, value in known.items()}

    def _axis(self, where: AxisName) -> Axis:
        letter, path = _AXES[where]
        zeros: dict[Real, Poly] = {}
        intervals: tuple[Interval, ...] | None = None
        closed = polynomial = None
        with mpmath.workdps(DIGITS):
            values = self.numbers()
            exact = {H: Fraction(1)} | self.step.scalars.numbers(self.values)

            def stable(s: Real) -> bool:
                at = mpmath.mpc(0, s) if where == "imaginary" else -s
                return bounded_powers(self.step.at(values | {S: at}))

            with suppress(Undecided):
                polynomials = self._critical(path, exact)
                zeros = {r: poly for poly in polynomials for r in positive_roots(poly, exact)}
                intervals = stable_intervals(list(zeros), stable)
            first = intervals[0] if intervals and not intervals[0].low else None
            if first and not mpmath.isinf(first.high):
                closed = closed_form(zeros[first.high], first.high, values)
                polynomial = zeros[first.high].as_expr() if closed is None else None
                written = self.step.scalars.written_out
                closed, polynomial = (value and written(value) for value in (closed, polynomial))
        return Axis(
            where=where,
            test=self.equation.text,
            variable=f"h{letter}" if self.scheme.uses_step_size else letter,
            intervals=intervals or (),
            limit=float(first.high) if first else 0.0,
            closed=bool(first and first.closed_high),
            closed_form=closed,
            polynomial=polynomial,
            notation=notation(self.scheme),
            decided=intervals is not None,
        )

    def _critical(self, path: sympy.Expr, exact: Mapping[sympy.Symbol, Any]) -> list[Poly]:
        scalars = self.step.scalars
        below = sympy.lcm_list([c.denom.as_expr() for c in self.step.characteristic])
        expression = sympy.Integer(0)
        for power, c in enumerate(reversed(self.step.characteristic)):
            expression += sympy.cancel(c.as_expr() * below) * XI**power
        symbols = [symbol for symbol in scalars.field.symbols if symbol != S]
        expression = sympy.expand(expression)
        occurring = [symbol for symbol in symbols if expression.has(symbol)]
        poly: Poly = sympy.Poly(expression, XI, S, *occurring, domain=sympy.QQ)
        if most_terms(poly) ** len(occurring) > MOST_TERMS:
            poly = _with_numbers(poly, exact)  # which leaves fewer
        return critical(poly, path)


def _with_numbers(poly: Poly, exact: Mapping[sympy.Symbol, Any]) -> Poly:
    """The polynomial with numbers for constants; raises Undecided where many are irrational."""
    found = with_fractions(poly, exact)
    irrational = len(found.gens) - 2
    if irrational and most_terms(found) ** irrational > MOST_TERMS:
        raise Undecided
    return found


@dataclass(frozen=True, kw_only=True)
class Stability:
    """The stability of a scheme at given values of its constants, test equation by test equation.

    Args:
        tested: the scheme on each of them; at least one.
    """

    tested: tuple[TestedScheme, ...]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All that was tested, imaginary axes first."""
        real = (tested.real for tested in self.tested)
        return (
            *(tested.imaginary for tested in self.tested),
            *(axis for axis in real if axis is not None),
        )

    @property
    def imaginary(self) -> Axis:
        """The limit on the imaginary axis of the first test equation."""
        return self.tested[0].imaginary

    @property
    def real(self) -> Axis | None:
        """The limit on the negative real axis; None if no test equation has such an eigenvalue."""
        return next((axis for axis in self.axes if axis.where == "real"), None)

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Where in the complex plane of z = hλ the scheme is stable; see `TestedScheme.region`.

        It is that of y' = λ y if that was tested; else of the coupled equation, whose
        eigenvalues are ±λ.
        """
        return self.tested[-1].region(z)

    def __repr__(self) -> str:
        return f"<stability of {self.tested[0].scheme.name}: {self}>"

    def __str__(self) -> str:
        return "; ".join(axis.sentence for axis in self.axes)

    def on(self, kind: Coupling) -> "Stability | None":
        """What was tested on equations of one kind; None if nothing was."""
        found = tuple(tested for tested in self.tested if tested.equation.kind == kind)
        return replace(self, tested=found) if found else None


def derive_stability(
    scheme: Scheme, values: Mapping[str, Fraction | float] | None = None
) -> Stability | str:
    """The stability of a scheme at given values of its constants, or why there is no statement.

    Args:
        scheme: as parsed.
        values: of its constants, in place of their defaults, and of h, which is needed only where
            the step is not a function of hλ.
    """
    known = constants(scheme, values or {})
    missing = [name for name, _ in scheme.constants if name not in known]
    if missing:
        return f"it depends on the constant {notation(scheme).name(missing[0])}"
    if scheme.foreign_node is not None:
        shown = notation(scheme).show(scheme.foreign_node)
        return f"{shown} is not linear, and not of a test equation"
    equations = linear_tests(scheme)
    if not equations and scheme.is_splitting:
        return "no one test equation says how λ is divided among the summands"
    if not equations:
        return (
            "no test equation fits its right-hand sides: not all of them read their own unknown, "
            "and no two read each other's"
        )
    tested: list[TestedScheme] = []
    for equation in equations:
        step = one_step(scheme, equation.rates)
        symbols = {s for c in step.characteristic for s in c.as_expr().free_symbols}
        if not symbols <= {S, *step.scalars.numbers(known)}:
            return "the step depends on h itself, not on hλ alone"
        tested.append(TestedScheme(scheme, known, equation, step))
        try:
            step.at(tested[-1].numbers() | {S: mpmath.mpf(1)})
        except ZeroDivisionError:
            return "it divides by zero at these values of its constants"
    return Stability(tested=tuple(tested))
