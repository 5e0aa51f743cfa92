"""Conversions between exact numbers: fractions, sympy expressions, and mpmath numbers."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import mpmath
import sympy
from sympy.polys.fields import FracElement

from odenet.model.expressions import expr
from odenet.model.expressions.fold import fold_arithmetic
from odenet.model.typed.scheme import Scheme

Value = Fraction | Any  # a fraction, or an mpmath number, which has no type
DIGITS = 100  # decimal digits of irrational numbers


def absolute(value: sympy.Expr) -> sympy.Expr:
    """The absolute value; exponentials of real numbers are positive."""
    factors = sympy.Mul.make_args(value)
    positive = [factor for factor in factors if isinstance(factor, sympy.exp)]
    others = [factor for factor in factors if not isinstance(factor, sympy.exp)]
    return sympy.Mul(sympy.Abs(sympy.Mul(*others)), *positive)


def as_mpf(value: Value) -> Any:
    """The value as an mpmath number of the current precision."""
    if isinstance(value, Fraction):
        return mpmath.mpf(value.numerator) / value.denominator
    return value


def factored(element: FracElement) -> sympy.Expr:
    """An element of a fraction field as a product of powers of irreducible polynomials."""
    number: sympy.Expr = sympy.Integer(1)
    powers: list[sympy.Expr] = []
    for polynomial, sign in ((element.numer, 1), (element.denom, -1)):
        content, factors = polynomial.factor_list()
        number *= sympy.Rational(int(content.numerator), int(content.denominator)) ** sign
        for factor, multiplicity in factors:
            # 1 - γ reads better than -(γ - 1)
            negate = factor.coeff(1) < 0
            number *= (-1) ** multiplicity if negate else 1
            powers.append((-factor if negate else factor).as_expr() ** (sign * multiplicity))
    return sympy.Mul(number, *powers)


def substitute(value: sympy.Expr, known: Mapping[sympy.Symbol, sympy.Expr]) -> sympy.Expr:
    """An expression with other expressions in place of some of its symbols, all at once."""
    found = value.xreplace(known)
    assert isinstance(found, sympy.Expr)
    return found


def factor_rational(value: sympy.Expr) -> sympy.Expr:
    """A rational expression with numerator and denominator factored."""
    symbols = sorted(value.free_symbols, key=str)
    return factored(sympy.QQ.frac_field(*symbols).from_sympy(value)) if symbols else value


def to_sympy(node: expr.Node) -> sympy.Expr:
    """A scalar expression of the language as a sympy expression."""
    match node:
        case expr.Number():
            return sympy.Rational(node.value.numerator, node.value.denominator)
        case expr.Constant():
            return sympy.Symbol(node.name)
        case expr.Exp():
            return sympy.exp(to_sympy(node.exponent))
        case _:
            return fold_arithmetic(node, to_sympy)


def let_values(scheme: Scheme) -> dict[str, sympy.Expr]:
    """The `let`s of a scheme, in order: name -> definition, which may read earlier ones."""
    return {name: to_sympy(value) for name, value in scheme.lets}


def expand_lets(value: sympy.Expr, scheme: Scheme) -> sympy.Expr:
    """An expression with the `let`s of a scheme replaced by their definitions."""
    for name, definition in reversed(let_values(scheme).items()):
        value = substitute(value, {sympy.Symbol(name): definition})
    return value


def constant_values(scheme: Scheme, values: Mapping[str, Fraction | float]) -> dict[str, Value]:
    """The values of a scheme's constants and `let`s, exact or to 100 digits.

    Args:
        scheme: gives the default values and the lets.
        values: values of constants, in place of their defaults, and possibly of `h`.

    Returns:
        Constants first, then lets; a let that reads something without a value is left out.
    """
    found: dict[str, Value] = {name: as_value(value) for name, value in values.items()}
    for name, value in (*scheme.constants, *scheme.lets):
        if name in found or value is None:
            continue
        known = {sympy.Symbol(n): as_sympy(v) for n, v in found.items()}
        number = substitute(to_sympy(value), known)
        if not number.free_symbols:
            found[name] = as_value(number)
    return found


def as_value(number: Any) -> Value:
    """A Fraction if the number is rational, else an mpmath number; a float counts as a decimal."""
    if isinstance(number, sympy.Rational):
        return Fraction(int(number.p), int(number.q))
    if isinstance(number, sympy.Expr):
        digits: Any = number.evalf(DIGITS)
        return mpmath.mp.make_mpf(digits._mpf_)
    if isinstance(number, float):
        return Fraction(repr(float(number)))  # h = 0.1 is exactly 1/10, so that 1 - 10 h is zero
    return number if isinstance(number, mpmath.mpf) else Fraction(number)


def as_sympy(value: Value) -> sympy.Expr:
    """The value as a sympy number."""
    if isinstance(value, Fraction):
        return sympy.Rational(value.numerator, value.denominator)
    return sympy.Float(value, DIGITS)
