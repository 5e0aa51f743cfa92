"""Exponentials among a scheme's numbers, as independent generators of its field.

exp(-γ h/2) and exp(-γ h) are powers of one number, and exp(a + b) is a product. An exponent is
therefore taken apart into rational multiples of monomials, and each monomial m gets one generator,
exp(m/q), of which all exponentials are integral powers. The exponentials of numbers that are
linearly independent over the rationals are algebraically independent (Lindemann & Weierstrass for
algebraic numbers, Ax 1971 for functions such as monomials), so that a zero is recognised for
certain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import sympy
from sympy.polys.fields import FracElement


@dataclass(frozen=True)
class Generator:
    """exp(monomial / divisor).

    Args:
        symbol: what it is in the field.
        monomial: an element of the field without exponentials.
        divisor: a whole number.
    """

    symbol: sympy.Symbol
    monomial: FracElement
    divisor: int

    @property
    def exponent(self) -> FracElement:
        """What it is the exponential of."""
        return self.monomial / self.divisor


def taken_apart(exponent: FracElement) -> dict[FracElement, Fraction]:
    """Monomials, or quotients of one by a polynomial -> the rational number in front of each."""
    field, below = exponent.field, exponent.denom
    lead = below.LC
    found: dict[FracElement, Fraction] = {}
    for powers, coefficient in exponent.numer.terms():
        ratio = coefficient / lead
        monomial: FracElement = field(field.ring.from_dict({powers: field.domain.one})) / field(
            below
        )
        found[monomial * lead] = Fraction(int(ratio.numerator), int(ratio.denominator))
    return found


def generators(exponents: Iterable[FracElement]) -> tuple[Generator, ...]:
    """What all the exponentials of these are integral powers of."""
    divisors: dict[FracElement, int] = {}
    for exponent in exponents:
        for monomial, ratio in taken_apart(exponent).items():
            divisors[monomial] = lcm(divisors.get(monomial, 1), ratio.denominator)
    return tuple(
        Generator(sympy.Symbol(f"exp {i}"), monomial, divisor)
        for i, (monomial, divisor) in enumerate(divisors.items())
    )


def power_product(
    exponent: FracElement, known: Iterable[Generator], named: Mapping[sympy.Symbol, FracElement]
) -> FracElement | None:
    """exp(exponent) as a product of powers of generators; None where it is none."""
    by_monomial = {generator.monomial: generator for generator in known}
    found: FracElement = exponent.field.one
    for monomial, ratio in taken_apart(exponent).items():
        generator = by_monomial.get(monomial)
        if generator is None or (ratio * generator.divisor).denominator != 1:
            return None
        times = int(ratio * generator.divisor)
        power = named[generator.symbol] ** abs(times)
        found = found * power if times > 0 else found / power
    return found
