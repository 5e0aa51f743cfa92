"""The exact coefficients of a scheme, as elements of a field of rational functions.

The field is Q(h, constants, lets, irrational powers). In it a zero is recognised with certainty,
and nothing is simplified by guessing. Its generators are symbols: h, the constants, each `let`
unless it is expanded, each irrational power such as 2^(1/3), and exponentials (`exponentials.py`).
A factor `exp(s(Z[n]))` that multiplies a value element by element, called a *stretch*, is a
generator too: element-wise products commute.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from math import comb
from typing import Any

import sympy
from sympy.polys.fields import FracElement

from odenet.derive.exact_numbers import (
    Value,
    as_sympy,
    as_value,
    expand_lets,
    factored,
    substitute,
    to_sympy,
)
from odenet.derive.exponentials import Generator, generators, power_product
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic
from odenet.model.typed.scheme import Scheme

H = sympy.Symbol("h")
MOST_TERMS = 2000  # in a coefficient that is multiplied out


class UnknownPower(Exception):
    """A power or exponential that the field has no generator for, since the scheme has none."""


class CoefficientField:
    """The field of a scheme's coefficients.

    Args:
        scheme: the scheme, as parsed.
        expand_lets: whether each `let` is replaced by its definition.
        extra_symbols: further generators.

    Attributes:
        sympy_field: the field, in sympy.
        exponentials: the generators that are exponentials of numbers.
        stretches: the generators for factors `exp(…)` of values.
    """

    def __init__(
        self, scheme: Scheme, expand_lets: bool = False, extra_symbols: Iterable[sympy.Symbol] = ()
    ):
        self.scheme = scheme
        self.expand_lets = expand_lets
        powers = dict.fromkeys(node for node in _nodes(scheme) if _is_irrational_power(node))
        for node in powers:
            if to_sympy(node).is_real is False:
                raise SpecError.of("undefined-number", "this power has no real value", node.span)
        self._powers = {node: sympy.Symbol(f"power {i}") for i, node in enumerate(powers)}
        names = [name for name, _ in scheme.constants]
        names += [] if expand_lets else [name for name, _ in scheme.lets]
        named = [H, *(sympy.Symbol(name) for name in names)]
        stretch_symbols = [sympy.Symbol(f"stretch {i}") for i in range(_most_stretches(scheme))]
        symbols = dict.fromkeys([*named, *self._powers.values(), *extra_symbols, *stretch_symbols])
        self.exponentials: tuple[Generator, ...] = ()
        exponents = dict.fromkeys(n.exponent for n in _nodes(scheme) if isinstance(n, expr.Exp))
        if exponents:
            self._build([*symbols], _without_exponentials(scheme.lets))
            exponential_generators = generators([self.read(exponent) for exponent in exponents])
            symbols |= dict.fromkeys(generator.symbol for generator in exponential_generators)
            self._build([*symbols], [])
            self.exponentials = tuple(
                replace(generator, monomial=generator.monomial.set_field(self.sympy_field.field))
                for generator in exponential_generators
            )
        self._build([*symbols], scheme.lets)
        self.stretches = tuple(self._elements[symbol] for symbol in stretch_symbols)
        # the position of the first stretch among the generators
        self._first_stretch = list(symbols).index(stretch_symbols[0]) if stretch_symbols else 0

    def _build(self, symbols: list[sympy.Symbol], lets: Iterable[tuple[str, expr.Node]]) -> None:
        """Make the field with these generators, and read the lets if they are expanded."""
        self.sympy_field = sympy.QQ.frac_field(*symbols)
        self._elements = dict(zip(symbols, self.sympy_field.gens, strict=True))
        self._define(lets)

    def _define(self, lets: Iterable[tuple[str, expr.Node]]) -> None:
        """Read lets as elements of the field, in the place of symbols, if they are expanded."""
        if self.expand_lets:
            for name, value in lets:
                self._elements[sympy.Symbol(name)] = self.read(value)

    def with_negative_h(self) -> "CoefficientField":
        """The same field, but `read` takes -h for h; only with expanded `let`s."""
        other = copy(self)
        other._elements = self._elements | {H: -self._elements[H]}
        other._define(self.scheme.lets)
        return other

    def element(self, symbol: sympy.Symbol) -> FracElement:
        """A symbol as an element of the field."""
        return self._elements[symbol]

    def read(self, node: expr.Node) -> FracElement:
        """A scalar expression as an element of the field.

        Raises:
            SpecError: it divides by zero.
            UnknownPower: it has an irrational power that is not in the scheme.
        """
        match node:
            case expr.Number():
                return self.sympy_field(sympy.QQ(node.value.numerator, node.value.denominator))
            case expr.Constant():
                return self._elements[sympy.Symbol(node.name)]
            case expr.Quotient():
                return self._divide(self.read(node.numerator), self.read(node.denominator), node)
            case expr.Power() if node in self._powers:
                return self._elements[self._powers[node]]
            case expr.Power():
                value, exponent = self.read(node.base), _integer(node.exponent)
                self._require_short(value, abs(exponent), node)
                if exponent < 0:
                    value = self._divide(self.sympy_field.one, value, node)
                return value ** abs(exponent)
            case expr.Exp():
                exponent = self.read(node.exponent)
                found = power_product(exponent, self.exponentials, self._elements)
                if found is None:
                    raise UnknownPower
                return found
            case _:
                return fold_arithmetic(node, self.read)

    def _require_short(self, value: FracElement, exponent: int, node: expr.Node) -> None:
        """Raise SpecError if a power has very many terms when it is multiplied out."""
        terms = max(len(value.numer), len(value.denom))
        if terms > 1 and comb(terms + exponent - 1, exponent) > MOST_TERMS:
            message = f"multiplied out, this power has more than {MOST_TERMS:,} terms"
            raise SpecError.of("too-large", message, node.span)

    def _divide(self, dividend: FracElement, divisor: FracElement, node: expr.Node) -> FracElement:
        """A quotient; `node` is where a division by zero is reported."""
        if not divisor:
            raise SpecError.of("undefined-number", "this divides by zero", node.span)
        return dividend / divisor

    def to_sympy(self, element: FracElement) -> sympy.Expr:
        """The element as a sympy expression in factored form, powers written out."""
        return self.substitute_definitions(factored(element))

    def substitute_definitions(self, value: sympy.Expr) -> sympy.Expr:
        """The expression with irrational powers and exponentials in place of their symbols."""
        return substitute(value, self._definitions)

    @cached_property
    def _definitions_of_powers(self) -> dict[sympy.Symbol, sympy.Expr]:
        return {symbol: to_sympy(node) for node, symbol in self._powers.items()}

    @cached_property
    def _definitions(self) -> dict[sympy.Symbol, sympy.Expr]:
        powers = self._definitions_of_powers
        exponents = {g.symbol: substitute(g.exponent.as_expr(), powers) for g in self.exponentials}
        return powers | {symbol: sympy.exp(exponent) for symbol, exponent in exponents.items()}

    def symbol_values(self, values: Mapping[str, Value]) -> dict[sympy.Symbol, Value]:
        """Symbol -> value, from the values of constants and lets; powers and exponentials too."""
        found = {sympy.Symbol(name): value for name, value in values.items()}
        known = {symbol: as_sympy(value) for symbol, value in found.items()}
        for symbol, power in self._definitions.items():
            number = substitute(power, known)
            if not number.free_symbols:
                found[symbol] = as_value(number)
        return found

    def power_of_stretch(self, element: FracElement, index: int) -> int | None:
        """The k with which an element is exp(…)^k times something without this stretch.

        None if the element is a sum of terms with different k. The index is that of the stretch.
        """
        position = self._first_stretch + index
        numerator_powers = {powers[position] for powers, _ in element.numer.terms()}
        denominator_powers = {powers[position] for powers, _ in element.denom.terms()}
        if len(numerator_powers) == len(denominator_powers) == 1:
            return numerator_powers.pop() - denominator_powers.pop()
        return None

    def is_constant(self, element: FracElement) -> bool:
        """Whether an element contains no stretch, and so does not depend on the state."""
        return all(self.power_of_stretch(element, i) == 0 for i in range(len(self.stretches)))

    @property
    def has_root_of_h(self) -> bool:
        """Whether a root is taken of h, so that the coefficients are not defined at -h."""
        total = sympy.Add(*self._definitions_of_powers.values())
        return H in expand_lets(total, self.scheme).free_symbols

    @property
    def has_irrational_power(self) -> bool:
        """Whether the field has an irrational power as a generator."""
        return bool(self._powers)

    def evaluate(
        self, element: FracElement, values: Mapping[Any, Any], convert: Callable[[Value], Any]
    ) -> Any:
        """The element at given values of the symbols.

        Args:
            element: an element of the field.
            values: the values of the symbols that occur in it: mpmath numbers, or numpy arrays.
            convert: makes an exact number one of the same type as the values.
        """
        known = [values.get(symbol) for symbol in self.sympy_field.symbols]
        return _evaluate(element.numer, known, convert) / _evaluate(element.denom, known, convert)


def _integer(exponent: expr.Node) -> int:
    """The value of an exponent that has to be a whole number."""
    found = to_sympy(exponent)
    if not found.is_Integer:
        raise UnknownPower
    return int(found)


def _nodes(scheme: Scheme) -> Iterator[expr.Node]:
    """All expressions in the lets, lines and start lines of a scheme."""
    for _, value in scheme.lets:
        yield from value.walk()
    yield from scheme.nodes()
    for _, value in scheme.starts:
        yield from value.walk()


def _most_stretches(scheme: Scheme) -> int:
    """An upper bound on the number of different stretches in a step with h and one with -h."""
    return 2 * sum(isinstance(node, expr.ElementwiseExp) for node in scheme.nodes())


def _without_exponentials(lets: Iterable[tuple[str, expr.Node]]) -> list[tuple[str, expr.Node]]:
    """The lets that contain no exponential, directly or by naming another let."""
    kept: list[tuple[str, expr.Node]] = []
    left_out: set[str] = set()
    for name, value in lets:
        inner = list(value.walk())
        named = {node.name for node in inner if isinstance(node, expr.Constant)}
        if named & left_out or any(isinstance(node, expr.Exp) for node in inner):
            left_out.add(name)
        else:
            kept.append((name, value))
    return kept


def _is_irrational_power(node: expr.Node) -> bool:
    """Whether a node is a power with an exponent that is not a whole number."""
    return isinstance(node, expr.Power) and not to_sympy(node.exponent).is_Integer


def _evaluate(polynomial: Any, values: list[Any], convert: Callable[[Value], Any]) -> Any:
    """A polynomial at given values of its symbols; the value of a symbol not in it may be None."""
    total = convert(Fraction(0))
    for powers, coefficient in polynomial.terms():
        term = convert(Fraction(int(coefficient.numerator), int(coefficient.denominator)))
        for value, power in zip(values, powers, strict=True):
            term = term * value**power if power else term
        total = total + term
    return total
