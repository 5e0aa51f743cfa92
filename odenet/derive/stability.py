"""The linear stability of a scheme.

A scheme is tried on linear test equations (`linear_tests.py`), on which a step is multiplication by
a matrix. It is stable where all powers of this matrix are bounded. The entries of the matrix are
functions of hλ, written as the symbol s. On an axis hλ depends on one real number, which then takes
the place of s: s = hω for λ = iω (imaginary axis), s = hμ for λ = -μ (negative real axis).
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mpmath
import sympy

from odenet.derive.axis_stability import Axis, AxisStability
from odenet.derive.coefficients import H
from odenet.derive.exact_numbers import DIGITS, as_mpf, constant_values
from odenet.derive.intervals import (
    XI,
    Interval,
    Poly,
    Real,
    RootsNotFound,
    S,
    closed_form,
    critical_polynomials,
    most_terms,
    positive_roots,
    stable_intervals,
    with_rational_constants,
)
from odenet.derive.linear_step import LinearStep, linear_step
from odenet.derive.linear_tests import Coupling, LinearTest, linear_tests
from odenet.derive.power_bounded import is_power_bounded
from odenet.derive.scheme_notation import scheme_notation
from odenet.model.typed.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np

MOST_TERMS = 700  # in a polynomial that is factored with constants as symbols; limits the time
TOLERANCE = 1e-7  # for a spectral radius; in double precision close eigenvalues are inexact

# For each axis the letter of the real number, and hλ as a function of s = hω or hμ.
_AXES: dict[Axis, tuple[str, sympy.Expr]] = {"imaginary": ("ω", sympy.I * S), "real": ("μ", -S)}


@dataclass(frozen=True)
class EquationStability:
    """The stability of a scheme on one test equation, at given values of its constants.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants and lets, and of h if the matrix depends on h other than
            by hλ.
        equation: the test equation.
        step: the matrix of a step on this equation, with s in place of hλ.
    """

    scheme: Scheme
    values: Mapping[str, Any]
    equation: LinearTest
    step: LinearStep = field(repr=False)

    @cached_property
    def imaginary_axis(self) -> AxisStability:
        """The stability for eigenvalues on the imaginary axis."""
        return self._stability_on("imaginary")

    @cached_property
    def real_axis(self) -> AxisStability | None:
        """The same on the negative real axis; None if the equation has no real eigenvalue."""
        return self._stability_on("real") if self.equation.has_real_eigenvalue else None

    @property
    def characteristic_polynomial(self) -> sympy.Expr:
        """The characteristic polynomial in ξ and s = hλ."""
        return self.step.characteristic_polynomial()

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Whether the scheme is stable at given points z = hλ of the complex plane.

        Args:
            z: complex numbers, of any shape.

        Returns:
            Whether the spectral radius of the step is at most 1, of the same shape. A multiple
            eigenvalue on the unit circle counts as stable here, unlike on the axes.
        """
        import numpy as np

        z = np.asarray(z, dtype=complex)
        values = {s: float(v) for s, v in self.symbol_values().items()} | {S: z}
        rows = self.step.matrix_at(values, float)
        matrices = np.array([[np.broadcast_to(entry, z.shape) for entry in row] for row in rows])
        eigenvalues = np.linalg.eigvals(np.moveaxis(matrices, (0, 1), (-2, -1)))
        return np.abs(eigenvalues).max(axis=-1) <= 1 + TOLERANCE

    def symbol_values(self) -> dict[sympy.Symbol, Real]:
        """Values of all symbols in the step's matrix except s; h is 1 if no step size is given."""
        known = self.step.coeff_field.symbol_values(self.values)
        return {H: mpmath.mpf(1)} | {symbol: as_mpf(value) for symbol, value in known.items()}

    def _stability_on(self, axis: Axis) -> AxisStability:
        """The stability with eigenvalues on one axis."""
        letter, h_lambda = _AXES[axis]
        zeros: dict[Real, Poly] = {}
        intervals: tuple[Interval, ...] | None = None
        exact_limit = polynomial_of_limit = None
        with mpmath.workdps(DIGITS):
            values = self.symbol_values()
            exact_values = {H: Fraction(1)} | self.step.coeff_field.symbol_values(self.values)

            def is_stable(s: Real) -> bool:
                z = mpmath.mpc(0, s) if axis == "imaginary" else -s
                return is_power_bounded(self.step.matrix_at(values | {S: z}))

            with suppress(RootsNotFound):
                polynomials = self._critical_polynomials(h_lambda, exact_values)
                zeros = {r: p for p in polynomials for r in positive_roots(p, exact_values)}
                intervals = stable_intervals(list(zeros), is_stable)
            first_interval = intervals[0] if intervals and not intervals[0].low else None
            if first_interval and not mpmath.isinf(first_interval.high):
                exact_limit = closed_form(zeros[first_interval.high], first_interval.high, values)
                substitute = self.step.coeff_field.substitute_definitions
                if exact_limit is None:
                    polynomial_of_limit = substitute(zeros[first_interval.high].as_expr())
                else:
                    exact_limit = substitute(exact_limit)
        return AxisStability(
            axis=axis,
            test_equation=self.equation.text,
            variable=f"h{letter}" if self.scheme.uses_step_size else letter,
            intervals=intervals or (),
            limit=float(first_interval.high) if first_interval else 0.0,
            includes_limit=bool(first_interval and first_interval.closed_high),
            closed_form=exact_limit,
            polynomial=polynomial_of_limit,
            notation=scheme_notation(self.scheme),
            decided=intervals is not None,
        )

    def _critical_polynomials(
        self, h_lambda: sympy.Expr, exact_values: Mapping[sympy.Symbol, Any]
    ) -> list[Poly]:
        """Polynomials in s whose zeros include every s at which stability can change."""
        coeff_field = self.step.coeff_field
        coefficients = self.step.characteristic_coefficients
        common_denominator = sympy.lcm_list([c.denom.as_expr() for c in coefficients])
        expression = sympy.Integer(0)
        for power, c in enumerate(reversed(coefficients)):
            expression += sympy.cancel(c.as_expr() * common_denominator) * XI**power
        symbols = [symbol for symbol in coeff_field.sympy_field.symbols if symbol != S]
        expression = sympy.expand(expression)
        occurring = [symbol for symbol in symbols if expression.has(symbol)]
        poly: Poly = sympy.Poly(expression, XI, S, *occurring, domain=sympy.QQ)
        if most_terms(poly) ** len(occurring) > MOST_TERMS:
            poly = _with_rational_constants(poly, exact_values)  # which leaves fewer symbols
        return critical_polynomials(poly, h_lambda)


def _with_rational_constants(poly: Poly, exact_values: Mapping[sympy.Symbol, Any]) -> Poly:
    """The polynomial with values for its rational constants.

    Raises:
        RootsNotFound: so many constants are irrational that it would take too long.
    """
    result = with_rational_constants(poly, exact_values)
    irrational = len(result.gens) - 2
    if irrational and most_terms(result) ** irrational > MOST_TERMS:
        raise RootsNotFound
    return result


@dataclass(frozen=True, kw_only=True)
class Stability:
    """The stability of a scheme at given values of its constants, on all test equations that fit.

    Args:
        per_equation: the result for each test equation, at least one.
    """

    per_equation: tuple[EquationStability, ...]

    @property
    def axes(self) -> tuple[AxisStability, ...]:
        """The results for all test equations and axes, imaginary axes first."""
        real_axes = (tested.real_axis for tested in self.per_equation)
        return (
            *(tested.imaginary_axis for tested in self.per_equation),
            *(axis for axis in real_axes if axis is not None),
        )

    @property
    def imaginary_axis(self) -> AxisStability:
        """The stability on the imaginary axis, for the first test equation."""
        return self.per_equation[0].imaginary_axis

    @property
    def real_axis(self) -> AxisStability | None:
        """The stability on the negative real axis; None if no equation has a real eigenvalue."""
        return next((axis for axis in self.axes if axis.axis == "real"), None)

    def region(self, z: "np.ndarray") -> "np.ndarray":
        """Whether the scheme is stable at points z = hλ; see `EquationStability.region`.

        The test equation is y' = λ y if that fits the scheme, else the coupled one, whose
        eigenvalues are ±λ.
        """
        return self.per_equation[-1].region(z)

    def __repr__(self) -> str:
        return f"<stability of {self.per_equation[0].scheme.name}: {self}>"

    def __str__(self) -> str:
        return "; ".join(axis.sentence for axis in self.axes)

    def for_kind(self, kind: Coupling) -> "Stability | None":
        """The results for the coupled, or for the scalar test equations; None if there are none."""
        selected = tuple(tested for tested in self.per_equation if tested.equation.kind == kind)
        return replace(self, per_equation=selected) if selected else None


def derive_stability(
    scheme: Scheme, values: Mapping[str, Fraction | float] | None = None
) -> Stability | str:
    """The stability of a scheme at given values of its constants, or why there is no statement.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants, in place of their defaults, and of h, which is needed
            only where the step is not a function of hλ.
    """
    known = constant_values(scheme, values or {})
    missing = [name for name, _ in scheme.constants if name not in known]
    if missing:
        return f"it depends on the constant {scheme_notation(scheme).name(missing[0])}"
    if scheme.exp_or_map is not None:
        shown = scheme_notation(scheme).show(scheme.exp_or_map)
        return f"a linear test equation has no counterpart of {shown}"
    equations = linear_tests(scheme)
    if not equations and scheme.is_splitting:
        return "no one test equation says how λ is divided among the summands"
    if not equations:
        return (
            "no test equation fits its right-hand sides: not all of them read their own unknown, "
            "and no two read each other's"
        )
    per_equation: list[EquationStability] = []
    for equation in equations:
        step = linear_step(scheme, equation.coefficients)
        symbols = {s for c in step.characteristic_coefficients for s in c.as_expr().free_symbols}
        if not symbols <= {S, *step.coeff_field.symbol_values(known)}:
            return "the step depends on h itself, not on hλ alone"
        per_equation.append(EquationStability(scheme, known, equation, step))
        try:
            step.matrix_at(per_equation[-1].symbol_values() | {S: mpmath.mpf(1)})
        except ZeroDivisionError:
            return "it divides by zero at these values of its constants"
    return Stability(per_equation=tuple(per_equation))
