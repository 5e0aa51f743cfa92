"""The numbers of a scheme, exact: step size, constants and `let`s as rational functions.

Every coefficient is an element of the field Q(h, constants, lets, irrational powers), so that a
zero is recognised for certain and nothing is ever simplified by guessing. An irrational power such
as 2^(1/3) is one more generator of the field, and so are exponentials (`exponentials.py`) and every
`let` unless it is to be expanded. An exponential of a field that multiplies values,
`exp(s(Z[n])) * Y[n]`, is a generator too: fields multiply element by element, so that it commutes
with everything.
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
    factored,
    put_in,
    to_sympy,
    without_lets,
)
from odenet.derive.exponentials import Generator, generators, power_product
from odenet.diagnostics import SpecError
from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic
from odenet.model.typed.scheme import Scheme

H = sympy.Symbol("h")
MOST_TERMS = 2000  # of a number of a scheme


class UnknownPower(Exception):
    """An irrational power that is not in the scheme, so that the field has none for it."""


class Scalars:
    """The field of a scheme's coefficients.

    Args:
        scheme: as parsed.
        expand: whether a `let` is replaced by its definition.
        further: other symbols of the field.

    Attributes:
        stretches: the generators that are exponentials of fields.
    """

    def __init__(self, scheme: Scheme, expand: bool = False, further: Iterable[sympy.Symbol] = ()):
        self.scheme = scheme
        self.expand = expand
        powers = dict.fromkeys(node for node in _nodes(scheme) if _irrational(node))
        for node in powers:
            if to_sympy(node).is_real is False:
                raise SpecError.of("undefined-number", "this power has no real value", node.span)
        self._powers = {node: sympy.Symbol(f"power {i}") for i, node in enumerate(powers)}
        names = [name for name, _ in scheme.constants]
        names += [] if expand else [name for name, _ in scheme.lets]
        named = [H, *(sympy.Symbol(name) for name in names)]
        fields = [sympy.Symbol(f"exp {i}") for i in range(_stretches(scheme))]
        symbols = dict.fromkeys([*named, *self._powers.values(), *further, *fields])
        self.exponentials: tuple[Generator, ...] = ()
        exponents = dict.fromkeys(n.exponent for n in _nodes(scheme) if isinstance(n, expr.Exp))
        if exponents:
            self._build([*symbols], _without_exponentials(scheme.lets))
            known = generators([self.read(exponent) for exponent in exponents])
            symbols |= dict.fromkeys(generator.symbol for generator in known)
            self._build([*symbols], [])
            self.exponentials = tuple(
                replace(generator, monomial=generator.monomial.set_field(self.field.field))
                for generator in known
            )
        self._build([*symbols], scheme.lets)
        self.stretches = tuple(self._named[symbol] for symbol in fields)
        self._first_stretch = list(symbols).index(fields[0]) if fields else 0

    def _build(self, symbols: list[sympy.Symbol], lets: Iterable[tuple[str, expr.Node]]) -> None:
        """The field with these generators; the lets are read where they are expanded."""
        self.field = sympy.QQ.frac_field(*symbols)
        self._named = dict(zip(symbols, self.field.gens, strict=True))
        self._define(lets)

    def _define(self, lets: Iterable[tuple[str, expr.Node]]) -> None:
        if self.expand:
            for name, value in lets:
                self._named[sympy.Symbol(name)] = self.read(value)

    def backwards(self) -> "Scalars":
        """The same field, in which the scheme's h reads as -h; only with expanded `let`s."""
        other = copy(self)
        other._named = self._named | {H: -self._named[H]}
        other._define(self.scheme.lets)
        return other

    def symbol(self, symbol: sympy.Symbol) -> FracElement:
        """A symbol as an element of the field."""
        return self._named[symbol]

    def read(self, node: expr.Node) -> FracElement:
        """A scalar expression as an element of the field.

        Raises:
            SpecError: it divides by zero.
            UnknownPower: it has an irrational power that is not in the scheme.
        """
        match node:
            case expr.Number():
                return self.field(sympy.QQ(node.value.numerator, node.value.denominator))
            case expr.Constant():
                return self._named[sympy.Symbol(node.name)]
            case expr.Quotient():
                return self._divide(self.read(node.numerator), self.read(node.denominator), node)
            case expr.Power() if node in self._powers:
                return self._named[self._powers[node]]
            case expr.Power():
                value, exponent = self.read(node.base), _whole(node.exponent)
                self._require_short(value, abs(exponent), node)
                if exponent < 0:
                    value = self._divide(self.field.one, value, node)
                return value ** abs(exponent)
            case expr.Exp():
                exponent = self.read(node.exponent)
                found = power_product(exponent, self.exponentials, self._named)
                if found is None:
                    raise UnknownPower
                return found
            case _:
                return fold_arithmetic(node, self.read)

    def _require_short(self, value: FracElement, exponent: int, node: expr.Node) -> None:
        """Refuse a power that has very many terms when it is multiplied out."""
        terms = max(len(value.numer), len(value.denom))
        if terms > 1 and comb(terms + exponent - 1, exponent) > MOST_TERMS:
            message = f"multiplied out, this power has more than {MOST_TERMS:,} terms"
            raise SpecError.of("too-large", message, node.span)

    def _divide(self, above: FracElement, below: FracElement, node: expr.Node) -> FracElement:
        """A quotient; `node` is where a division by zero is reported."""
        if not below:
            raise SpecError.of("undefined-number", "this divides by zero", node.span)
        return above / below

    def show(self, element: FracElement) -> sympy.Expr:
        """The element as a sympy expression in factored form, powers written out."""
        return self.written_out(factored(element))

    def written_out(self, value: sympy.Expr) -> sympy.Expr:
        """The expression with irrational powers and exponentials in place of their symbols."""
        return put_in(value, self._definitions)

    @cached_property
    def _definitions_of_powers(self) -> dict[sympy.Symbol, sympy.Expr]:
        return {symbol: to_sympy(node) for node, symbol in self._powers.items()}

    @cached_property
    def _definitions(self) -> dict[sympy.Symbol, sympy.Expr]:
        powers = self._definitions_of_powers
        exponents = {g.symbol: put_in(g.exponent.as_expr(), powers) for g in self.exponentials}
        return powers | {symbol: sympy.exp(exponent) for symbol, exponent in exponents.items()}

    def numbers(self, values: Mapping[str, Value]) -> dict[sympy.Symbol, Value]:
        """The values of the symbols of the field that follow from those of constants and lets."""
        found = {sympy.Symbol(name): value for name, value in values.items()}
        known = {symbol: as_sympy(value) for symbol, value in found.items()}
        for symbol, power in self._definitions.items():
            number = put_in(power, known)
            if not number.free_symbols:
                found[symbol] = as_value(number)
        return found

    def power_of_stretch(self, element: FracElement, index: int) -> int | None:
        """The k of a factor exp^k of an element; None where it is not one factor of the whole."""
        place = self._first_stretch + index
        above = {powers[place] for powers, _ in element.numer.terms()}
        below = {powers[place] for powers, _ in element.denom.terms()}
        return above.pop() - below.pop() if len(above) == len(below) == 1 else None

    def is_number(self, element: FracElement) -> bool:
        """Whether no exponential of a field is in an element."""
        return all(self.power_of_stretch(element, i) == 0 for i in range(len(self.stretches)))

    @property
    def powers_of_h(self) -> bool:
        """Whether h is in an irrational power, so that nothing is known of -h."""
        found = sympy.Add(*self._definitions_of_powers.values())
        return H in without_lets(found, self.scheme).free_symbols

    @property
    def irrational(self) -> bool:
        """Whether an irrational power is one of the symbols."""
        return bool(self._powers)

    def value(
        self,
        element: FracElement,
        values: Mapping[Any, Any],
        number: Callable[[Value], Any],
    ) -> Any:
        """The element at given values of the symbols.

        Args:
            element: of the field.
            values: of the symbols that occur in it: mpmath numbers, or numpy arrays.
            number: makes an exact number one that goes with them.
        """
        known = [values.get(symbol) for symbol in self.field.symbols]
        return _at(element.numer, known, number) / _at(element.denom, known, number)


def _whole(exponent: expr.Node) -> int:
    found = to_sympy(exponent)
    if not found.is_Integer:
        raise UnknownPower
    return int(found)


def _nodes(scheme: Scheme) -> Iterator[expr.Node]:
    for _, value in scheme.lets:
        yield from value.walk()
    yield from scheme.nodes()
    for _, value in scheme.starts:
        yield from value.walk()


def _stretches(scheme: Scheme) -> int:
    """A bound on the exponentials of fields in a step and in one with another h."""
    return 2 * sum(isinstance(node, expr.ElementwiseExp) for node in scheme.nodes())


def _without_exponentials(lets: Iterable[tuple[str, expr.Node]]) -> list[tuple[str, expr.Node]]:
    """The lets that have no exponential, nor name one that has."""
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


def _irrational(node: expr.Node) -> bool:
    """Whether a node is a power that is not a rational function of what is in it."""
    return isinstance(node, expr.Power) and not to_sympy(node.exponent).is_Integer


def _at(polynomial: Any, values: list[Any], number: Callable[[Value], Any]) -> Any:
    """A polynomial at given values of its symbols; those that do not occur need none."""
    total = number(Fraction(0))
    for powers, coefficient in polynomial.terms():
        term = number(Fraction(int(coefficient.numerator), int(coefficient.denominator)))
        for value, power in zip(values, powers, strict=True):
            term = term * value**power if power else term
        total = total + term
    return total
