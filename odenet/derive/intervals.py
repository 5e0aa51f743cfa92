"""Where on an axis the powers of a one-step matrix stay bounded, exactly.

The characteristic polynomial p(ξ; s) of a step depends on a real number s such as hω. An eigenvalue
can cross the unit circle only where the Schur-Cohn determinant of p, the resultant of p and its
reciprocal conjugate p*, vanishes (Jury's conditions are its factors). Reversible schemes have
p = p* up to a constant, so that the determinant is zero throughout: their roots leave the circle
only where two of them meet, at zeros of the discriminant. Between these finitely many s nothing
changes, so one test in each gap and one at each s decide everything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import gcd, prod
from typing import Any

import mpmath
import sympy

from odenet.derive.exact_numbers import as_mpf, put_in, tidy

XI, S = sympy.symbols("xi s", finite=True)  # which keeps them apart from constants of these names
ROOT_TOLERANCE = mpmath.mpf(10) ** -25  # half of the digits that are worked with

Real = Any  # a number of mpmath, real unless it is said; it has no types
Poly = Any  # a polynomial of sympy, whose types say too little
Values = Mapping[sympy.Symbol, Real]


@dataclass(frozen=True)
class Interval:
    """The s between two limits, which may belong to it; `high` is infinity where it never ends."""

    low: Real
    high: Real
    closed_low: bool
    closed_high: bool

    def __contains__(self, s: float) -> bool:
        low, high = float(self.low), float(self.high)
        return (
            (low < s < high) or (self.closed_low and s == low) or (self.closed_high and s == high)
        )


def critical(characteristic: Poly, path: sympy.Expr) -> list[Poly]:
    """Polynomials in s at whose zeros the stability can change.

    They are irreducible with the constants as variables, and so have no zero twice unless the
    values of the constants make it so. Factors are looked for before the path is put in. On an
    imaginary path one of them may split into conjugate halves q and q̄; if q is self-reciprocal, so
    is q̄ and with them the whole, so that nothing is missed.

    Args:
        characteristic: in ξ first, then hλ, then the constants, with rational coefficients.
        path: hλ as a multiple of s, real or imaginary.
    """
    parts = [p for p, _ in characteristic.factor_list()[1] if p.degree(0) > 0]
    parts = [_along(part, path) for part in parts]
    found = [poly for part in parts for poly in _critical_of(part)]
    for index, part in enumerate(parts):
        found += [part.resultant(other) for other in parts[index + 1 :]]
    split = [p for poly in found if not poly.is_zero for p in _factors(poly)]
    # constants have no zeros, and of the factor s itself the zero is 0: only s > 0 matters
    return [poly for poly in split if poly.degree(S) > 0 and poly != poly.gens[0]]


def _along(part: Poly, path: sympy.Expr) -> Poly:
    """The polynomial on a path, with whole numbers, five times faster than fractions."""
    expression = sympy.expand(part.clear_denoms(convert=True)[1].as_expr().xreplace({S: path}))
    domain = sympy.ZZ_I if expression.has(sympy.I) else sympy.ZZ
    return sympy.Poly(expression, *part.gens, domain=domain)


def _factors(poly: Poly) -> list[Poly]:
    """The irreducible factors of a polynomial with real or imaginary coefficients, or of its norm.

    The norm has the same zeros among real numbers.
    """
    expression = sympy.expand(poly.as_expr() / poly.LC())
    if expression.has(sympy.I):
        expression = sympy.expand(expression * expression.xreplace({sympy.I: -sympy.I}))
    real: Poly = sympy.Poly(expression, *poly.gens, domain=sympy.QQ)
    return [factor for factor, _ in real.factor_list()[1]]


def most_terms(characteristic: Poly) -> int:
    """The most terms that a polynomial of `critical` can have."""
    degree, *others = characteristic.degree_list()
    return prod(2 * degree * other + 1 for other in others)


def _critical_of(part: Poly) -> list[Poly]:
    """The resultant with p*; where p is p* up to a constant, what says that two roots meet."""
    mirrored = _reciprocal(part)
    leading = part.as_expr().coeff(XI, part.degree(0))
    mirrored_leading = mirrored.as_expr().coeff(XI, part.degree(0))
    if not sympy.expand(leading * mirrored.as_expr() - mirrored_leading * part.as_expr()).is_zero:
        return [part.resultant(mirrored)]
    if part.degree(0) == 1:
        return []  # one root, always on the circle
    if part.degree(0) == 2 and not part.as_expr().has(sympy.I):
        # a double root of a real quadratic with product 1 is 1 or -1
        return [part.eval(XI, value) for value in (1, -1)]
    return [part.discriminant()]


def _reciprocal(part: Poly) -> Poly:
    """p*(ξ) = ξ^n conj(p(1/conj(ξ)))."""
    conjugate = part.as_expr().xreplace({sympy.I: -sympy.I})
    degree = part.degree(0)
    flipped = (conjugate.coeff(XI, k) * XI ** (degree - k) for k in range(degree + 1))
    return sympy.Poly(sympy.expand(sympy.Add(*flipped)), *part.gens, domain=part.domain)


class Undecided(Exception):
    """The zeros of a polynomial were not found to the current mpmath precision."""


def positive_roots(poly: Poly, values: Values) -> list[Real]:
    """The positive real zeros in s, ascending, to the current mpmath precision.

    Args:
        poly: in s and the constants.
        values: of the constants, as fractions where they are rational.

    Raises:
        Undecided: the zeros are not found, as of constants of very different size.
    """
    poly = _simple(poly, values)
    place = poly.gens.index(S)
    stride = gcd(*(powers[place] for powers in poly.monoms()))  # it is a polynomial in s^stride
    coefficients: list[Real] = [mpmath.mpc(0)] * (poly.degree(S) // stride + 1)
    for powers, coefficient in poly.terms():
        term = _as_mpc(coefficient)
        for index, power in enumerate(powers):
            if index != place and power:
                term *= as_mpf(values[poly.gens[index]]) ** power
        coefficients[-1 - powers[place] // stride] += term
    while coefficients and abs(coefficients[0]) < ROOT_TOLERANCE:
        coefficients.pop(0)
    if len(coefficients) < 2:
        return []
    try:
        roots = mpmath.polyroots(coefficients, maxsteps=500, extraprec=4 * mpmath.mp.prec)
    except mpmath.mp.NoConvergence:
        raise Undecided from None
    real = sorted(mpmath.re(root) for root in roots if abs(mpmath.im(root)) < ROOT_TOLERANCE)
    positive = [mpmath.root(root, stride) for root in real if root > 0]
    return [root for root in positive if root > ROOT_TOLERANCE]


def _simple(poly: Poly, values: Values) -> Poly:
    """The polynomial in s alone, each zero once, if its constants are rational numbers."""
    found = with_fractions(poly, values) if len(poly.gens) > 1 else poly
    if found is poly or len(found.gens) > 1 or found.degree(S) < 1:
        return poly
    return found.quo(found.gcd(found.diff(S)))


def with_fractions(poly: Poly, values: Values) -> Poly:
    """The polynomial with the constants that are rational numbers put in."""
    known = {s: values[s] for s in poly.gens if isinstance(values.get(s), Fraction)}
    return poly.eval({s: sympy.QQ(v.numerator, v.denominator) for s, v in known.items()})


def _as_mpc(coefficient: Any) -> Real:
    """A sympy number as a complex one of mpmath."""
    real, imaginary = coefficient.as_real_imag()
    parts = (mpmath.mpf(int(part.p)) / int(part.q) for part in (real, imaginary))
    return mpmath.mpc(*parts)


def stable_intervals(points: list[Real], stable: Callable[[Real], bool]) -> tuple[Interval, ...]:
    """The intervals of s > 0 in which a property holds that changes at given points only.

    s = 0 is not tested, so that the first one is open there.
    """
    ends = [mpmath.mpf(0), *_distinct(points), mpmath.inf]
    found: list[Interval] = []
    for low, high in pairwise(ends):
        if low and stable(low):
            if found and found[-1].high == low:
                found[-1] = Interval(found[-1].low, low, found[-1].closed_low, True)
            else:
                found.append(Interval(low, low, True, True))
        inside = low + 1 if mpmath.isinf(high) else (low + high) / 2
        if stable(inside):
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
    """A zero in s as an expression in the constants, where it is one of a quadratic in s or s^2."""
    in_s: Poly = sympy.Poly(poly.as_expr(), S)
    degrees = {power for (power,) in in_s.monoms()}
    if degrees <= {0, 1}:
        return tidy(-in_s.nth(0) / in_s.nth(1))
    if degrees <= {0, 2}:
        return sympy.sqrt(tidy(-in_s.nth(0) / in_s.nth(2)))
    if degrees <= {0, 1, 2} or degrees <= {0, 2, 4}:
        known = {symbol: sympy.Float(value, 60) for symbol, value in values.items()}
        for candidate in sympy.roots(in_s):
            number = put_in(candidate, known).evalf(50)
            if number.is_real and abs(mpmath.mpf(str(number)) - root) < ROOT_TOLERANCE:
                return candidate
    return None
