"""Which equations a scheme solves where these are its pattern's only up to factors.

A step that is consistent with Y' = κ F(Y) instead of Y' = F(Y) has the order 0, though nothing is
wrong with it: heavy-ball momentum, Y[n+1] = Y[n] + β (Y[n] - Y[n-1]) + h F(Y[n]), has
κ = 1/(1 - β).
"""

from collections.abc import Mapping
from fractions import Fraction

import sympy

from odenet.derive.coefficients import H, Scalars
from odenet.derive.h_series import NoSeries, Number, Powers
from odenet.derive.order_conditions import OrderConditions
from odenet.derive.text import SchemeNotation, notation
from odenet.model.expressions.expr import with_primes
from odenet.model.typed.scheme import Pattern, Scheme


def consistency_factors(scheme: Scheme) -> dict[str, sympy.Expr] | None:
    """Function -> κ, in the constants of the scheme; None where no such factors make it consistent.

    The condition for the tree with one vertex is linear in κ; it is solved with the constants as
    symbols.
    """
    scalars = Scalars(scheme, expand=True)
    series = {g.symbol for g in scalars.exponentials if H in g.exponent.as_expr().free_symbols}
    symbols = {s: scalars.symbol(s) for s in scalars.field.symbols if s not in {H, *series}}
    found: dict[str, sympy.Expr] = {}
    for pattern in scheme.patterns:
        try:
            factor = _factor(scheme, scalars, symbols, pattern)
        except NoSeries:
            return None
        if factor is None:
            return None
        found[pattern.function] = scalars.show(scalars.field(factor))
    return found


def _factor(
    scheme: Scheme, scalars: Scalars, symbols: Mapping[sympy.Symbol, Number], pattern: Pattern
) -> Number | None:
    """κ of one function: by how much the scheme scales it, None where no number does."""
    key = (pattern.function, ())
    limit = pattern.order + 2

    def residual(factor: int) -> dict[str, Powers]:
        factors: dict[str, Number] = {p.function: Fraction(factor) for p in scheme.patterns}
        return OrderConditions(scheme, scalars, symbols, limit, factors).errors(key)

    without, once = residual(0), residual(1)
    found: set[Number] = set()
    for row in without.keys() | once.keys():
        old, new = without.get(row, {}), once.get(row, {})
        power = min([*old, *new])
        slope = new.get(power, 0) - old.get(power, 0)
        if not slope:
            return None
        found.add(-old.get(power, 0) / slope)
    return found.pop() if len(found) == 1 else None


def solved_equations(scheme: Scheme, factors: Mapping[str, sympy.Expr]) -> str:
    """`Y' = F(Y)/(1 - β)`, for all equations of the pattern."""
    shown = notation(scheme)
    found: list[str] = []
    for name, parts in scheme.equations.items():
        right = " + ".join(_scaled(shown, part, factors[part.function]) for part in parts)
        found.append(f"{with_primes(shown.name(name), parts[0].order)} = {right}")
    return ", ".join(found)


def _scaled(shown: SchemeNotation, pattern: Pattern, factor: sympy.Expr) -> str:
    """`F(Y)/(1 - β)`."""
    above, below = factor.as_numer_denom()
    right = shown.right_hand_side(pattern)
    if above != 1:
        text = shown.number(above)
        right = f"({text}) {right}" if above.is_Add else f"{text} {right}"
    if below != 1:
        text = shown.number(below)
        right += f"/({text})" if below.is_Add or below.is_Mul else f"/{text}"
    return right
