"""Exponentials of numbers, as independent generators of the field of a scheme's coefficients.

exp(-γ h/2) and exp(-γ h) are powers of one number, and exp(a + b) is a product. An exponent is
therefore written as a sum of rational multiples of monomials. Each monomial m gets one generator,
exp(m/q), such that all exponentials are products of integral powers of generators. Exponentials of
numbers that are linearly independent over the rationals are algebraically independent (Lindemann &
Weierstrass for algebraic numbers, Ax 1971 for functions such as monomials), so a zero is recognised
with certainty.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import sympy
from sympy.polys.fields import FracElement


@dataclass(frozen=True)
class Generator:
    """The generator exp(monomial / divisor).

    Args:
        symbol: the generator's name in the field.
        monomial: an element of the field without exponentials.
        divisor: a whole number.
    """

    symbol: sympy.Symbol
    monomial: FracElement
    divisor: int

    @property
    def exponent(self) -> FracElement:
        """Monomial / divisor."""
        return self.monomial / self.divisor


def monomial_coefficients(exponent: FracElement) -> dict[FracElement, Fraction]:
    """The exponent as a sum: monomial over the common denominator -> rational coefficient."""
    field, denominator = exponent.field, exponent.denom
    leading = denominator.LC
    found: dict[FracElement, Fraction] = {}
    for powers, coefficient in exponent.numer.terms():
        ratio = coefficient / leading
        monomial: FracElement = field(field.ring.from_dict({powers: field.domain.one})) / field(
            denominator
        )
        found[monomial * leading] = Fraction(int(ratio.numerator), int(ratio.denominator))
    return found


def generators(exponents: Iterable[FracElement]) -> tuple[Generator, ...]:
    """Generators such that exp of each exponent is a product of integral powers of them."""
    divisors: dict[FracElement, int] = {}
    for exponent in exponents:
        for monomial, ratio in monomial_coefficients(exponent).items():
            divisors[monomial] = lcm(divisors.get(monomial, 1), ratio.denominator)
    return tuple(
        Generator(sympy.Symbol(f"exp {i}"), monomial, divisor)
        for i, (monomial, divisor) in enumerate(divisors.items())
    )


def power_product(
    exponent: FracElement, known: Iterable[Generator], elements: Mapping[sympy.Symbol, FracElement]
) -> FracElement | None:
    """exp(exponent) as a product of integral powers of generators; None if it is not one.

    Args:
        exponent: an element of the field.
        known: the generators of the field.
        elements: symbol of a generator -> the element of the field.
    """
    by_monomial = {generator.monomial: generator for generator in known}
    found: FracElement = exponent.field.one
    for monomial, ratio in monomial_coefficients(exponent).items():
        generator = by_monomial.get(monomial)
        if generator is None or (ratio * generator.divisor).denominator != 1:
            return None
        integer_power = int(ratio * generator.divisor)
        power = elements[generator.symbol] ** abs(integer_power)
        found = found * power if integer_power > 0 else found / power
    return found
