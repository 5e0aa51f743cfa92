"""Factors κ for which a scheme is consistent with Y' = κ F(Y), if it is not with Y' = F(Y).

Heavy-ball momentum, Y[n+1] = Y[n] + β (Y[n] - Y[n-1]) + h F(Y[n]), is an example, with
κ = 1/(1 - β). Such a scheme has order 0 for the equations of its `for` line.
"""

from collections.abc import Mapping
from fractions import Fraction

import sympy

from odenet.derive.coefficients import CoefficientField, H
from odenet.derive.h_series import NoSeries, Number, PowerSeries, Values
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.scheme_notation import SchemeNotation, scheme_notation
from odenet.model.expressions.expr import with_primes
from odenet.model.typed.scheme import Pattern, Scheme


def consistency_factors(scheme: Scheme) -> dict[str, sympy.Expr] | None:
    """Right-hand side -> κ, as an expression in the constants; None if there are no such factors.

    The order condition for the tree with one vertex is linear in κ. It is solved with the constants
    as symbols.
    """
    coeff_field = CoefficientField(scheme, expand_lets=True)
    exponents = {g.symbol: g.exponent.as_expr() for g in coeff_field.exponentials}
    with_h = {H, *(symbol for symbol, x in exponents.items() if H in x.free_symbols)}
    all_symbols = coeff_field.sympy_field.symbols
    symbols = {s: coeff_field.element(s) for s in all_symbols if s not in with_h}
    factors: dict[str, sympy.Expr] = {}
    for pattern in scheme.patterns:
        try:
            factor = _factor(scheme, coeff_field, symbols, pattern)
        except NoSeries:
            return None
        if factor is None:
            return None
        factors[pattern.function] = coeff_field.to_sympy(coeff_field.sympy_field(factor))
    return factors


def _factor(
    scheme: Scheme, coeff_field: CoefficientField, symbols: Values, pattern: Pattern
) -> Number | None:
    """The κ of one right-hand side; None if there is none."""
    tree_with_one_vertex = (pattern.function, ())
    max_degree = pattern.order + 2

    def residuals(factor: int) -> dict[str, PowerSeries]:
        """Unknown -> the residual of the order condition with this number as κ."""
        factors: dict[str, Number] = {p.function: Fraction(factor) for p in scheme.patterns}
        conditions = OrderConditions(scheme, coeff_field, symbols, max_degree, factors)
        return conditions.residuals(tree_with_one_vertex)

    at_zero, at_one = residuals(0), residuals(1)
    candidates: set[Number] = set()
    for unknown in at_zero.keys() | at_one.keys():
        series_at_zero, series_at_one = at_zero.get(unknown, {}), at_one.get(unknown, {})
        power = min([*series_at_zero, *series_at_one])
        slope = series_at_one.get(power, 0) - series_at_zero.get(power, 0)
        if not slope:
            return None
        candidates.add(-series_at_zero.get(power, 0) / slope)
    return candidates.pop() if len(candidates) == 1 else None


def solved_equations(scheme: Scheme, factors: Mapping[str, sympy.Expr]) -> str:
    """The equations with their factors, in words: `Y' = F(Y)/(1 - β)`."""
    notation = scheme_notation(scheme)
    equations: list[str] = []
    for name, parts in scheme.equations.items():
        right = " + ".join(_scaled_side(notation, part, factors[part.function]) for part in parts)
        equations.append(f"{with_primes(notation.name(name), parts[0].order)} = {right}")
    return ", ".join(equations)


def _scaled_side(notation: SchemeNotation, pattern: Pattern, factor: sympy.Expr) -> str:
    """A right-hand side with its factor: `F(Y)/(1 - β)`."""
    numerator, denominator = factor.as_numer_denom()
    right = notation.right_hand_side(pattern)
    if numerator != 1:
        text = notation.number(numerator)
        right = f"({text}) {right}" if numerator.is_Add else f"{text} {right}"
    if denominator != 1:
        text = notation.number(denominator)
        right += f"/({text})" if denominator.is_Add or denominator.is_Mul else f"/{text}"
    return right
