"""The exact intervals of s in which the powers of a one-step matrix stay bounded.

The characteristic polynomial p(ξ; s) of a step depends on a real number s such as hω. An eigenvalue
can cross the unit circle only where the Schur-Cohn determinant of p, the resultant of p and its
reciprocal conjugate p*, vanishes (Jury's conditions are its factors). Reversible schemes have
p = p* up to a constant, so this determinant is zero for all s; their eigenvalues leave the circle
only where two of them meet, at zeros of the discriminant. Between these finitely many s stability
does not change, so it is enough to test it once in each gap and at each of these s.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd, prod
from typing import Any

import mpmath
import sympy

from odenet.derive.exact_numbers import as_mpf, factor_rational, substitute

# ξ is the eigenvalue of a step; s is hλ in its matrix, and on an axis the real number hω or hμ.
XI, S = sympy.symbols("xi s", finite=True)  # `finite`: not equal to constants of the same name
ROOT_TOLERANCE = mpmath.mpf(10) ** -25

Real = Any  # an mpmath number, usually real; mpmath has no types
Poly = Any  # a sympy polynomial, whose types are incomplete
Values = Mapping[sympy.Symbol, Real]


@dataclass(frozen=True)
class Interval:
    """An interval of s; `high` may be infinity.

    Args:
        low, high: its ends.
        closed_low, closed_high: whether they belong to it.
    """

    low: Real
    high: Real
    closed_low: bool
    closed_high: bool

    def __contains__(self, s: float) -> bool:
        low, high = float(self.low), float(self.high)
        return low < s < high or (self.closed_low and s == low) or (self.closed_high and s == high)


def critical_polynomials(characteristic: Poly, h_lambda: sympy.Expr) -> list[Poly]:
    """Polynomials in s such that stability can change only at their zeros.

    They are irreducible with the constants as variables, so zeros are multiple only for special
    values of the constants. The characteristic polynomial is factored before hλ is replaced by a
    multiple of s. If that is imaginary, a factor may then split into conjugate factors q and q̄; if
    q is self-reciprocal, so are q̄ and q q̄, so no zero is missed.

    Args:
        characteristic: polynomial in ξ, hλ and the constants, in this order, with rational
            coefficients.
        h_lambda: hλ as a real or imaginary multiple of s.
    """
    factors = [p for p, _ in characteristic.factor_list()[1] if p.degree(0) > 0]
    factors = [_on_axis(part, h_lambda) for part in factors]
    polynomials = [poly for part in factors for poly in _critical_of_factor(part)]
    for index, part in enumerate(factors):
        polynomials += [part.resultant(other) for other in factors[index + 1 :]]
    irreducible = [p for poly in polynomials if not poly.is_zero for p in _real_factors(poly)]
    # constants have no zeros, and of the factor s itself the zero is 0: only s > 0 matters
    return [poly for poly in irreducible if poly.degree(S) > 0 and poly != poly.gens[0]]


def _on_axis(factor: Poly, h_lambda: sympy.Expr) -> Poly:
    """The polynomial with a multiple of s in place of hλ, and with integers, for speed."""
    integral = factor.clear_denoms(convert=True)[1].as_expr()
    expression = sympy.expand(integral.xreplace({S: h_lambda}))
    domain = sympy.ZZ_I if expression.has(sympy.I) else sympy.ZZ
    return sympy.Poly(expression, *factor.gens, domain=domain)


def _real_factors(poly: Poly) -> list[Poly]:
    """The irreducible factors of a polynomial; if it has complex coefficients, of its norm p p̄.

    The norm has the same real zeros.
    """
    expression = sympy.expand(poly.as_expr() / poly.LC())
    if expression.has(sympy.I):
        expression = sympy.expand(expression * expression.xreplace({sympy.I: -sympy.I}))
    real: Poly = sympy.Poly(expression, *poly.gens, domain=sympy.QQ)
    return [factor for factor, _ in real.factor_list()[1]]


def most_terms(characteristic: Poly) -> int:
    """An upper bound on the number of terms in any result of `critical_polynomials`."""
    degree, *others = characteristic.degree_list()
    return prod(2 * degree * other + 1 for other in others)


def _critical_of_factor(factor: Poly) -> list[Poly]:
    """The resultant of a factor p and p*, or if they are proportional the discriminant of p."""
    mirrored = _reciprocal(factor)
    leading = factor.as_expr().coeff(XI, factor.degree(0))
    mirrored_leading = mirrored.as_expr().coeff(XI, factor.degree(0))
    if not sympy.expand(leading * mirrored.as_expr() - mirrored_leading * factor.as_expr()).is_zero:
        return [factor.resultant(mirrored)]
    if factor.degree(0) == 1:
        return []  # the only root is on the circle for all s
    if factor.degree(0) == 2 and not factor.as_expr().has(sympy.I):
        # a double root of a real quadratic with product 1 is 1 or -1
        return [factor.eval(XI, value) for value in (1, -1)]
    return [factor.discriminant()]


def _reciprocal(factor: Poly) -> Poly:
    """The reciprocal conjugate p*(ξ) = ξ^n conj(p(1/conj(ξ)))."""
    conjugate = factor.as_expr().xreplace({sympy.I: -sympy.I})
    degree = factor.degree(0)
    flipped = (conjugate.coeff(XI, k) * XI ** (degree - k) for k in range(degree + 1))
    return sympy.Poly(sympy.expand(sympy.Add(*flipped)), *factor.gens, domain=factor.domain)


class RootsNotFound(Exception):
    """The zeros of a polynomial could not be computed to the current mpmath precision."""


def positive_roots(poly: Poly, values: Values) -> list[Real]:
    """The positive real zeros in s, ascending, to the current mpmath precision.

    Args:
        poly: a polynomial in s and the constants.
        values: the values of the constants, as fractions where they are rational.

    Raises:
        RootsNotFound: the iteration does not converge, for instance because constants differ
            widely in size.
    """
    poly = _squarefree(poly, values)
    position = poly.gens.index(S)
    stride = gcd(*(powers[position] for powers in poly.monoms()))  # it is a polynomial in s^stride
    coefficients: list[Real] = [mpmath.mpc(0)] * (poly.degree(S) // stride + 1)
    for powers, coefficient in poly.terms():
        term = _as_mpc(coefficient)
        for index, power in enumerate(powers):
            if index != position and power:
                term *= as_mpf(values[poly.gens[index]]) ** power
        coefficients[-1 - powers[position] // stride] += term
    while coefficients and abs(coefficients[0]) < ROOT_TOLERANCE:
        coefficients.pop(0)
    if len(coefficients) < 2:
        return []
    try:
        roots = mpmath.polyroots(coefficients, maxsteps=500, extraprec=4 * mpmath.mp.prec)
    except mpmath.mp.NoConvergence:
        raise RootsNotFound from None
    real = sorted(mpmath.re(root) for root in roots if abs(mpmath.im(root)) < ROOT_TOLERANCE)
    positive = [mpmath.root(root, stride) for root in real if root > 0]
    return [root for root in positive if root > ROOT_TOLERANCE]


def _squarefree(poly: Poly, values: Values) -> Poly:
    """The polynomial in s without multiple zeros, if all its constants are rational."""
    found = with_rational_constants(poly, values) if len(poly.gens) > 1 else poly
    if found is poly or len(found.gens) > 1 or found.degree(S) < 1:
        return poly
    return found.quo(found.gcd(found.diff(S)))


def with_rational_constants(poly: Poly, values: Values) -> Poly:
    """The polynomial with the values of those constants that are rational."""
    known = {s: values[s] for s in poly.gens if isinstance(values.get(s), Fraction)}
    return poly.eval({s: sympy.QQ(v.numerator, v.denominator) for s, v in known.items()})


def _as_mpc(coefficient: Any) -> Real:
    """A sympy number as a complex mpmath number."""
    real, imaginary = coefficient.as_real_imag()
    return mpmath.mpc(*(mpmath.mpf(int(part.p)) / int(part.q) for part in (real, imaginary)))


def stable_intervals(points: list[Real], is_stable: Callable[[Real], bool]) -> tuple[Interval, ...]:
    """The intervals of s > 0 in which a step is stable.

    Args:
        points: the s at which stability can change.
        is_stable: tests one s. It is not called for s = 0, so the first interval is open there.
    """
    ends = [mpmath.mpf(0), *_distinct(points), mpmath.inf]
    found: list[Interval] = []
    for low, high in pairwise(ends):
        if low and is_stable(low):
            if found and found[-1].high == low:
                found[-1] = Interval(found[-1].low, low, found[-1].closed_low, True)
            else:
                found.append(Interval(low, low, True, True))
        inner_point = low + 1 if mpmath.isinf(high) else (low + high) / 2
        if is_stable(inner_point):
            if found and found[-1].high == low and found[-1].closed_high:
                found[-1] = Interval(found[-1].low, high, found[-1].closed_low, False)
            else:
                found.append(Interval(low, high, False, False))
    return tuple(found)


def _distinct(points: list[Real]) -> list[Real]:
    kept: list[Real] = []
    for point in sorted(points):
        if not kept or point - kept[-1] > ROOT_TOLERANCE * (1 + point):
            kept.append(point)
    return kept


def closed_form(poly: Poly, root: Real, values: Values) -> sympy.Expr | None:
    """A zero as an expression in the constants, if the polynomial is quadratic in s or s²."""
    in_s: Poly = sympy.Poly(poly.as_expr(), S)
    degrees = {power for (power,) in in_s.monoms()}
    if degrees <= {0, 1}:
        return factor_rational(-in_s.nth(0) / in_s.nth(1))
    if degrees <= {0, 2}:
        return sympy.sqrt(factor_rational(-in_s.nth(0) / in_s.nth(2)))
    if degrees <= {0, 1, 2} or degrees <= {0, 2, 4}:
        known = {symbol: sympy.Float(value, 60) for symbol, value in values.items()}
        for candidate in sympy.roots(in_s):
            number = substitute(candidate, known).evalf(50)
            if number.is_real and abs(mpmath.mpf(str(number)) - root) < ROOT_TOLERANCE:
                return candidate
    return None
