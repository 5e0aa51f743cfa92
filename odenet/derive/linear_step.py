"""One step on linear equations: its matrix and characteristic polynomial."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy
from sympy.polys.fields import FracElement
from sympy.polys.matrices import DomainMatrix

from odenet.derive.coefficients import H, Scalars
from odenet.derive.exact_numbers import Value, as_mpf, put_in
from odenet.derive.intervals import XI
from odenet.derive.linear_forms import Algebra, Form, add, read_step, scale
from odenet.diagnostics import SpecError
from odenet.model.expressions.expr import MapCall, Rate
from odenet.model.typed.scheme import Scheme

Rates = Mapping[str, Sequence[sympy.Expr]]


class _Linear(Algebra):
    """Reads right-hand sides as linear functions of their arguments."""

    def __init__(self, scalars: Scalars, rates: Mapping[str, Sequence[FracElement]]):
        super().__init__(scalars)
        self.rates = rates

    def apply(self, rate: Rate | MapCall, arguments: tuple[Form, ...]) -> Form:
        """Σ coefficient * argument."""
        if isinstance(rate, MapCall):
            help_ = "such a step is not one on linear equations"
            raise SpecError.of("not-linear", "a map is not linear", rate.span, help_)
        total: Form = {}
        for factor, argument in zip(self.rates[rate.function], arguments, strict=True):
            total = add(total, scale(argument, factor))
        return total


@dataclass(frozen=True)
class OneStep:
    """The matrix that takes the stored values over a step on linear equations."""

    scalars: Scalars
    matrix: DomainMatrix
    algebra: Algebra  # reads further formulas of the scheme on the same equations

    @cached_property
    def characteristic(self) -> list[FracElement]:
        """The characteristic polynomial's coefficients, that of the highest power of ξ first."""
        return self.matrix.charpoly()

    def polynomial(self) -> sympy.Expr:
        """The characteristic polynomial as an expression in ξ."""
        terms = reversed(self.characteristic)
        return sympy.Add(*(self.scalars.show(c) * XI**k for k, c in enumerate(terms)))

    def at(
        self, values: Mapping[sympy.Symbol, Any], number: Callable[[Value], Any] = as_mpf
    ) -> list[list[Any]]:
        """The matrix at given values of its symbols."""
        rows = self.matrix.to_list()
        return [[self.scalars.value(entry, values, number) for entry in row] for row in rows]


def one_step(scheme: Scheme, rates: Rates) -> OneStep:
    """One step on linear equations.

    Args:
        scheme: as parsed.
        rates: function of the pattern -> the coefficient of each of its arguments.
    """
    found: set[Any] = {s for row in rates.values() for c in row for s in c.free_symbols}
    further = sorted(found, key=str)
    scalars = Scalars(scheme, expand=True, further=further)
    read = scalars.field.from_sympy
    algebra = _Linear(scalars, {name: [read(c) for c in row] for name, row in rates.items()})
    after = read_step(scheme, algebra).after
    zero = scalars.field.zero
    rows = [[after[slot].get(column, zero) for column in scheme.slots] for slot in scheme.slots]
    size = len(rows)
    return OneStep(scalars, DomainMatrix(rows, (size, size), scalars.field), algebra)


def characteristic(scheme: Scheme, rates: Rates, h: sympy.Expr | None = None) -> sympy.Expr:
    """The characteristic polynomial in ξ of a step on given linear equations.

    Example:
        RevNet (Chang et al. 2018, AAAI, Eq. 21): `verlet` with F = β z, G = α y and h = 1 gives
        ξ² - (2 + αβ) ξ + 1.
    """
    found = one_step(scheme, rates).polynomial()
    found = found if h is None else put_in(found, {H: h})
    return sympy.collect(sympy.expand(found), XI)
