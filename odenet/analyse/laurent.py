"""Exact coefficients of operators: Laurent polynomials in named symbols, `2 γ - 1/3 a²/ε`.

A symbol is a `let`, whose value is known, or a `param … : scalar`, whose value is not. Exponents
are integers and may be negative. There is no rounding, so that tests for zero are exact.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

from odenet.diagnostics.effort import spend

Monomial = tuple[tuple[str, int], ...]  # (symbol, exponent) pairs by name; () is 1

ONE_TERMS: tuple[tuple[Monomial, Fraction], ...] = (((), Fraction(1)),)  # those of the number 1


@dataclass(frozen=True)
class Scalar:
    """A sum of monomials with rational coefficients, in canonical order.

    Args:
        terms: monomial and coefficient, sorted; no coefficient is zero.
    """

    terms: tuple[tuple[Monomial, Fraction], ...] = ()

    @staticmethod
    def from_terms(terms: Mapping[Monomial, Fraction]) -> "Scalar":
        """The sum of monomial -> coefficient."""
        nonzero = [(m, c) for m, c in terms.items() if c]
        return Scalar(tuple(sorted(nonzero) if len(nonzero) > 1 else nonzero))

    @staticmethod
    def number(value: Fraction | int) -> "Scalar":
        """A rational number."""
        return Scalar.from_terms({(): Fraction(value)})

    @staticmethod
    def symbol(name: str) -> "Scalar":
        """The symbol of that name."""
        return Scalar((((((name, 1),)), Fraction(1)),))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: "Scalar") -> "Scalar":
        if not self.terms or not other.terms:
            return self if self.terms else other
        total = dict(self.terms)
        for monomial, coefficient in other.terms:
            total[monomial] = total.get(monomial, Fraction(0)) + coefficient
        return Scalar.from_terms(total)

    def __neg__(self) -> "Scalar":
        return Scalar(tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: "Scalar") -> "Scalar":
        return self + -other

    @property
    def printed_sign(self) -> int:
        """-1 if this is one term with a negative coefficient, else 1; for printing sums."""
        return -1 if len(self.terms) == 1 and self.terms[0][1] < 0 else 1

    @property
    def unsigned(self) -> "Scalar":
        """The number times its `printed_sign`."""
        return -self if self.printed_sign < 0 else self

    def __mul__(self, other: "Scalar") -> "Scalar":
        if type(other) is not Scalar:  # an Operator is left to Operator.__rmul__
            return NotImplemented
        if self.terms == ONE_TERMS or other.terms == ONE_TERMS:
            return other if self.terms == ONE_TERMS else self
        spend(len(self.terms) * len(other.terms))
        total: dict[Monomial, Fraction] = {}
        for one, a in self.terms:
            for two, b in other.terms:
                product = _monomial_product(one, two)
                total[product] = total.get(product, Fraction(0)) + a * b
        return Scalar.from_terms(total)

    def over(self, other: "Scalar") -> "Scalar | None":
        """The quotient; None if it is not found to be a sum of monomials."""
        if len(other.terms) == 1:
            ((monomial, coefficient),) = other.terms
            reciprocal = tuple((name, -power) for name, power in monomial)
            return self * Scalar.from_terms({reciprocal: 1 / coefficient})
        if self and tuple(m for m, _ in self.terms) == tuple(m for m, _ in other.terms):
            ratio = self.terms[0][1] / other.terms[0][1]
            return Scalar.number(ratio) if self == Scalar.number(ratio) * other else None
        return None

    def substitute(self, values: Mapping[str, Fraction]) -> "Scalar":
        """The same number with some symbols replaced by their values.

        Raises:
            ZeroDivisionError: a symbol in a denominator is zero.
        """
        total = Scalar()
        for monomial, coefficient in self.terms:
            remaining: list[tuple[str, int]] = []
            for name, power in monomial:
                if name in values:
                    coefficient *= values[name] ** power
                else:
                    remaining.append((name, power))
            total += Scalar.from_terms({tuple(remaining): coefficient})
        return total

    @property
    def symbols(self) -> frozenset[str]:
        """The names of all symbols that occur."""
        return frozenset(name for monomial, _ in self.terms for name, _ in monomial)

    def __str__(self) -> str:
        return signed_sum((c, _monomial_text(m, abs(c))) for m, c in self.terms)


ZERO, ONE = Scalar(), Scalar.number(1)


@dataclass(frozen=True)
class Signs:
    """What is known about the signs of symbols.

    Args:
        values: the values of the symbols that have one.
        nonnegative: names of the learned scalars and diagonals that are taken to be >= 0.
    """

    values: Mapping[str, Fraction]
    nonnegative: frozenset[str] = frozenset()

    def sign_of(self, scalar: Scalar) -> int | None:
        """0 for zero, 1 if never negative, -1 if never positive, None if unknown.

        A number of sign 1 or -1 may still vanish where a learned symbol does. All conditions that
        are tested with signs are closed, so they hold at these points by continuity.
        """
        signs = {self._sign_of_term(*term) for term in scalar.substitute(self.values).terms}
        if not signs:
            return 0
        return signs.pop() if len(signs) == 1 else None

    def _sign_of_term(self, monomial: Monomial, coefficient: Fraction) -> int | None:
        """1 if coefficient · monomial is never negative, -1 if never positive, None if unknown."""
        if any(power % 2 and name not in self.nonnegative for name, power in monomial):
            return None
        return 1 if coefficient > 0 else -1


def as_fraction(scalar: Scalar) -> Fraction | None:
    """A number without symbols as a fraction; None if it has symbols."""
    if scalar.symbols:
        return None
    return scalar.terms[0][1] if scalar.terms else Fraction(0)


def common_factor(scalars: list[Scalar]) -> Scalar:
    """The largest common monomial factor, with coefficient.

    Dividing by it leaves whole coefficients without a common divisor, and no negative powers.
    """
    terms = [term for scalar in scalars for term in scalar.terms]
    if not terms:
        return ONE
    names = sorted({name for monomial, _ in terms for name, _ in monomial})
    powers = {name: min(dict(monomial).get(name, 0) for monomial, _ in terms) for name in names}
    numerator = gcd(*(coefficient.numerator for _, coefficient in terms))
    denominator = lcm(*(coefficient.denominator for _, coefficient in terms))
    monomial = tuple((name, power) for name, power in powers.items() if power)
    return Scalar.from_terms({monomial: Fraction(numerator, denominator)})


def signed_sum(terms: Iterator[tuple[Fraction | int, str]]) -> str:
    """The sum of terms (coefficient, text): the texts joined by the signs of the coefficients."""
    text = ""
    for sign, term in terms:
        if text:
            text += f" {'-' if sign < 0 else '+'} {term}"
        else:
            text = ("-" if sign < 0 else "") + term
    return text or "0"


def factor_text(scalar: Scalar) -> str:
    """A number as a factor, with a space after it: `2 γ `, `(1 - γ) `; empty for 1."""
    if scalar == ONE:
        return ""
    return f"({scalar}) " if len(scalar.terms) > 1 else f"{scalar} "


def _monomial_product(one: Monomial, other: Monomial) -> Monomial:
    powers = dict(one)
    for name, power in other:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted((name, power) for name, power in powers.items() if power))


SUPERSCRIPTS = str.maketrans("0123456789-/", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᐟ")


def power_text(name: str, power: int | Fraction) -> str:
    """`γ`, `γ²`, `√d`."""
    if power == Fraction(1, 2):
        return f"√{name}"
    return name if power == 1 else name + str(power).translate(SUPERSCRIPTS)


def fraction_texts(
    monomial: Monomial, number: Fraction, show_power: Callable[[str, int], str]
) -> tuple[list[str], list[str]]:
    """The factors of the numerator and of the denominator of `number · monomial`, as texts."""
    numerator = [show_power(name, power) for name, power in monomial if power > 0]
    denominator = [show_power(name, -power) for name, power in monomial if power < 0]
    if number.numerator != 1 or not numerator:
        numerator.insert(0, str(number.numerator))
    if number.denominator != 1:
        denominator.insert(0, str(number.denominator))
    return numerator, denominator


def _monomial_text(monomial: Monomial, number: Fraction) -> str:
    numerator, denominator = fraction_texts(monomial, number, power_text)
    numerator_text = " ".join(numerator)
    if len(denominator) > 1:
        return f"{numerator_text}/({' '.join(denominator)})"
    return f"{numerator_text}/{denominator[0]}" if denominator else numerator_text
