"""The matrix of one step of a scheme on linear equations, and its characteristic polynomial."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
from sympy.polys.fields import FracElement
from sympy.polys.matrices import DomainMatrix

from odenet.derive.coefficients import CoefficientField, H
from odenet.derive.exact_numbers import Value, as_mpf, substitute
from odenet.derive.intervals import XI
from odenet.derive.linear_forms import Algebra, Form, add, read_step, scale
from odenet.diagnostics import SpecError
from odenet.model.expressions.expr import MapCall, Rate
from odenet.model.typed.scheme import Scheme

# Name of a right-hand side -> the coefficient of each of its arguments.
RateCoefficients = Mapping[str, Sequence[sympy.Expr]]


class _LinearAlgebra(Algebra):
    """Reads every right-hand side as a linear function of its arguments.

    Args:
        coeff_field: the field of the scheme's coefficients.
        coefficients: name of a right-hand side -> the factors of its arguments.
    """

    def __init__(self, coeff_field: CoefficientField, coefficients: dict[str, list[FracElement]]):
        super().__init__(coeff_field)
        self.coefficients = coefficients

    def apply(self, rate: Rate | MapCall, arguments: tuple[Form, ...]) -> Form:
        """The right-hand side at given values: Σ coefficient * argument."""
        if isinstance(rate, MapCall):
            help_ = "such a step is not one on linear equations"
            raise SpecError.of("not-linear", "a map is not linear", rate.span, help_)
        total: Form = {}
        for factor, argument in zip(self.coefficients[rate.function], arguments, strict=True):
            total = add(total, scale(argument, factor))
        return total


@dataclass(frozen=True)
class LinearStep:
    """The matrix that maps the stored values before a step to those after it.

    Args:
        coeff_field: the field that the entries are elements of.
        matrix: one row and one column for each stored value.
        algebra: reads further formulas of the scheme on the same equations.
    """

    coeff_field: CoefficientField
    matrix: DomainMatrix
    algebra: Algebra

    @cached_property
    def characteristic_coefficients(self) -> list[FracElement]:
        """The characteristic polynomial's coefficients, that of the highest power of ξ first."""
        return self.matrix.charpoly()

    def characteristic_polynomial(self) -> sympy.Expr:
        """The characteristic polynomial as an expression in ξ."""
        terms = reversed(self.characteristic_coefficients)
        return sympy.Add(*(self.coeff_field.to_sympy(c) * XI**k for k, c in enumerate(terms)))

    def matrix_at(
        self, values: Mapping[sympy.Symbol, Any], convert: Callable[[Value], Any] = as_mpf
    ) -> list[list[Any]]:
        """The matrix at given values of its symbols.

        Args:
            values: the values of the symbols.
            convert: makes an exact number of the scheme one of the same type as the values.
        """
        rows = self.matrix.to_list()
        evaluate = self.coeff_field.evaluate
        return [[evaluate(entry, values, convert) for entry in row] for row in rows]


def linear_step(scheme: Scheme, rates: RateCoefficients) -> LinearStep:
    """The matrix of a step on given linear equations.

    Args:
        scheme: the scheme, as parsed.
        rates: right-hand side -> the coefficient of each of its arguments.
    """
    symbols: set[Any] = {s for row in rates.values() for c in row for s in c.free_symbols}
    extra_symbols = sorted(symbols, key=str)
    coeff_field = CoefficientField(scheme, expand_lets=True, extra_symbols=extra_symbols)
    to_element = coeff_field.sympy_field.from_sympy
    coefficients = {name: [to_element(c) for c in row] for name, row in rates.items()}
    algebra = _LinearAlgebra(coeff_field, coefficients)
    new_values = read_step(scheme, algebra).new_values
    zero = coeff_field.sympy_field.zero
    rows = [[new_values[row].get(column, zero) for column in scheme.slots] for row in scheme.slots]
    matrix = DomainMatrix(rows, (len(rows), len(rows)), coeff_field.sympy_field)
    return LinearStep(coeff_field, matrix, algebra)


def characteristic_polynomial(
    scheme: Scheme, rates: RateCoefficients, h: sympy.Expr | None = None
) -> sympy.Expr:
    """The characteristic polynomial in ξ of a step on given linear equations.

    Example:
        RevNet (Chang et al. 2018, AAAI, Eq. 21): `verlet` with F = β z, G = α y and h = 1 gives
        ξ² - (2 + αβ) ξ + 1.
    """
    polynomial = linear_step(scheme, rates).characteristic_polynomial()
    polynomial = polynomial if h is None else substitute(polynomial, {H: h})
    return sympy.collect(sympy.expand(polynomial), XI)
