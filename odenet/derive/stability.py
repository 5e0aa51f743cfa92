"""The stability of a step on the test equations that its pattern implies.

First-order equations that read themselves are tested on y' = λ y, pairs that read each other on
y' = ω z, z' = -ω y, second-order equations on y'' = -ω² y. Stable means that all powers of the
one-step matrix are bounded. It depends on s = hω, along the imaginary axis, and on s = hμ with
λ = -μ along the negative real one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mpmath
import sympy

from odenet.derive.coefficients import DIGITS, H, as_mpf, constants
from odenet.derive.intervals import (
    XI,
    Interval,
    Poly,
    Real,
    S,
    closed_form,
    critical,
    positive_roots,
    scan,
)
from odenet.derive.linear_step import OneStep, one_step
from odenet.derive.power_bounded import bounded_powers
from odenet.derive.text import Notation, notation
from odenet.model.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np

LONG = 40  # characters of a closed form that no longer helps a reader
TOLERANCE = 1e-7  # of a spectral radius in double precision, next to a double root


@dataclass(frozen=True)
class Axis:
    """Where on an axis a scheme is stable.

    Args:
        variable: what is bounded, such as `hω`.
        intervals: in which it is stable.
        limit: the end of the interval that begins at 0; 0 if it is unstable for every step.
        closed: whether the limit itself is stable.
        closed_form: the limit as an expression in the constants, where there is one.
        polynomial: where there is none, the polynomial in s whose zero the limit is.
    """

    variable: str
    intervals: tuple[Interval, ...]
    limit: float
    closed: bool
    closed_form: sympy.Expr | None
    polynomial: sympy.Expr | None
    notation: Notation = field(repr=False, compare=False)

    def __str__(self) -> str:
        if not self.intervals:
            return f"unstable for every {self.variable[0]}"
        if not self.limit:
            return f"stable only for {self._ranges()}"
        if self.limit == float("inf"):
            return f"stable for every {self.variable[0]}"
        if len(self.intervals) > 1:
            return self._ranges()
        sign = "≤" if self.closed else "<"
        number = f"{self.limit:.6g}"
        if self.polynomial is not None:
            zero = self.notation.number(self.polynomial)
            return f"{self.variable} {sign} {number}, where s = {number} is a zero of {zero}"
        assert self.closed_form is not None
        shown = self.notation.number(self.closed_form)
        if len(shown) > LONG:
            return f"{self.variable} {sign} {number}"
        return f"{self.variable} {sign} {shown}" + ("" if shown == number else f" = {number}")

    def _ranges(self) -> str:
        found = []
        for part in self.intervals:
            below, above = ("≤" if c else "<" for c in (part.closed_low, part.closed_high))
            low = f"{float(part.low):.6g} {below} " if part.low else ""
            high = "" if mpmath.isinf(part.high) else f" {above} {float(part.high):.6g}"
            found.append(f"{low}{self.variable}{high}")
        return " or ".join(found)


@dataclass(frozen=True)
class Stability:
    """The stability of a scheme at given values of its constants.

    Args:
        scheme: its text.
        values: of its constants and lets, and of h if the test depends on it.
        step: one step on the test equation y' = λ y or its like, with hλ written s.
        test: the test equation.
        crossed: whether the unknowns read each other, so that the eigenvalues are ±λ.
        own: whether there is a real eigenvalue to test, as in y' = -μ y.
    """

    scheme: Scheme
    values: Mapping[str, Any]
    step: OneStep = field(repr=False)
    test: str
    crossed: bool
    own: bool

    @cached_property
    def imaginary(self) -> Axis:
        """The limit on the imaginary axis."""
        return self._axis("ω", sympy.I * S)

    @cached_property
    def real(self) -> Axis | None:
        """The limit on the negative real axis; None if the test equation has no such eigenvalue."""
        return self._axis("μ", -S) if self.own else None

    @property
    def polynomial(self) -> sympy.Expr:
        """The characteristic polynomial in ξ and s = hλ."""
        return self.step.polynomial()

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Where in the complex plane of z = hλ the scheme is stable.

        Args:
            z: complex, of any shape.

        Returns:
            Whether the spectral radius of the step is at most 1, of the same shape.
        """
        import numpy as np

        z = np.asarray(z, dtype=complex)
        values = {s: float(v) for s, v in self._numbers().items()} | {S: z}
        rows = self.step.at(values, float)
        grid = np.array([[np.broadcast_to(entry, z.shape) for entry in row] for row in rows])
        found = np.linalg.eigvals(np.moveaxis(grid, (0, 1), (-2, -1)))
        return np.abs(found).max(axis=-1) <= 1 + TOLERANCE

    def _numbers(self) -> dict[sympy.Symbol, Real]:
        known = self.step.scalars.numbers(self.values)
        return {H: mpmath.mpf(1)} | {symbol: as_mpf(value) for symbol, value in known.items()}

    def _axis(self, frequency: str, path: sympy.Expr) -> Axis:
        with mpmath.workdps(DIGITS):
            values = self._numbers()
            polynomials = self._critical(path)
            zeros = {root: poly for poly in polynomials for root in positive_roots(poly, values)}

            def stable(s: Real) -> bool:
                at = mpmath.mpc(0, s) if path.has(sympy.I) else -s
                return bounded_powers(self.step.at(values | {S: at}))

            intervals = scan(list(zeros), stable)
            return self._describe(frequency, intervals, zeros, values)

    def _critical(self, path: sympy.Expr) -> list[Poly]:
        scalars = self.step.scalars
        below = sympy.lcm_list([c.denom.as_expr() for c in self.step.characteristic])
        expression = sympy.Integer(0)
        for power, c in enumerate(reversed(self.step.characteristic)):
            expression += sympy.cancel(c.as_expr() * below).xreplace({S: path}) * XI**power
        symbols = [symbol for symbol in scalars.field.symbols if symbol != S]
        expression = sympy.expand(expression)
        occurring = [symbol for symbol in symbols if expression.has(symbol)]
        domain = sympy.QQ_I if expression.has(sympy.I) else sympy.QQ
        poly = sympy.Poly(expression, XI, S, *occurring, domain=domain)
        return critical(poly, factorise=not scalars.irrational)

    def _describe(
        self,
        frequency: str,
        intervals: tuple[Interval, ...],
        zeros: Mapping[Real, Poly],
        values: Mapping[sympy.Symbol, Real],
    ) -> Axis:
        variable = f"h{frequency}" if self.scheme.uses_step_size else frequency
        shown = notation(self.scheme)
        first = intervals[0] if intervals and not intervals[0].low else None
        limit = float(first.high) if first else 0.0
        found = polynomial = None
        if first and not mpmath.isinf(first.high):
            found = closed_form(zeros[first.high], first.high, values)
            polynomial = zeros[first.high].as_expr() if found is None else None
            written = self.step.scalars.written_out
            found, polynomial = (value and written(value) for value in (found, polynomial))
        closed = bool(first and first.closed_high)
        return Axis(variable, intervals, limit, closed, found, polynomial, shown)


def derive_stability(
    scheme: Scheme, values: Mapping[str, Fraction | float] | None = None
) -> Stability | str:
    """The stability of a scheme at given values of its constants, or why there is no statement.

    Args:
        scheme: its text.
        values: of its constants, in place of their defaults, and of h, which is needed only where
            the step is no function of hλ.
    """
    known = constants(scheme, values or {})
    missing = [name for name, _ in scheme.constants if name not in known]
    if missing:
        return f"it depends on the constant {notation(scheme).name(missing[0])}"
    own = all(p.variable in p.reads for p in scheme.patterns)
    crossed = not own and _crossed(scheme)
    if not own and not crossed:
        return "no test equation fits its right-hand sides: they read each other in a ring"
    step = one_step(scheme, _test_rates(scheme, crossed))
    symbols = {s for c in step.characteristic for s in c.as_expr().free_symbols}
    if not symbols <= {S, *step.scalars.numbers(known)}:
        return "the step depends on h itself, not on hλ alone"
    first = all(p.order == 1 for p in scheme.patterns)
    return Stability(scheme, known, step, _test(scheme, crossed), crossed, own and first)


def _test(scheme: Scheme, crossed: bool) -> str:
    if crossed:
        return "y' = ω z, z' = -ω y"
    orders = {pattern.order for pattern in scheme.patterns}
    return " and ".join("y' = λ y" if order == 1 else "y'' = -ω² y" for order in sorted(orders))


def _crossed(scheme: Scheme) -> bool:
    """Whether there are two unknowns that read each other."""
    if len(scheme.patterns) != 2:
        return False
    one, other = scheme.patterns
    return other.variable in one.reads and one.variable in other.reads


def _test_rates(scheme: Scheme, crossed: bool) -> dict[str, tuple[sympy.Expr, ...]]:
    """λ^d on the unknown itself, or on the other one; λ = s/h."""
    slope = S / H if scheme.uses_step_size else S
    return {
        p.function: tuple(
            slope**p.order if (name == p.variable) != crossed else sympy.Integer(0)
            for name in p.reads
        )
        for p in scheme.patterns
    }
