"""The order of a scheme for equations with a decay term, `Y'' = F(Y) - γ Y'`.

B-series do not fit: γ is a number and not a function, so one elementary differential has many
powers of h. Instead, one polynomial F in two dimensions with random integer coefficients is drawn,
and the step and the exact solution are expanded in powers of h, in rational arithmetic. The error
at each power is a polynomial in the coefficients of F. If this is not the zero polynomial, it
vanishes at random coefficients with a probability of less than (degree)/(number of values)
(Schwartz 1980, Zippel 1979). So the first power with an error gives the order for all smooth F.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from random import Random
from typing import Any, NamedTuple

import sympy

from odenet.derive.coefficients import CoefficientField
from odenet.derive.exact_numbers import Value, as_mpf
from odenet.derive.h_series import NoSeries, PowerSeries, SeriesWriter, add, multiply
from odenet.derive.linear_step import linear_step
from odenet.derive.parasitic import parasitic_text
from odenet.derive.power_bounded import is_power_bounded, largest_block_at_one
from odenet.derive.start_error import start_line_note
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.expressions.fold import linear_terms
from odenet.model.typed.scheme import Pattern, Scheme

HIGHEST_DAMPED_ORDER = 6  # higher orders are not searched
DIMENSION = 2
LARGEST_COEFFICIENT = 10**6  # coefficients are drawn from 1 to this
Vector = list[PowerSeries]  # one power series for each component


class DampedStep:
    """A step and the exact solution of one random initial value problem, as power series in h.

    Args:
        scheme: the scheme, as parsed, without unknowns of its own.
        values: the values of its constants and lets.
        max_degree: the highest power of h that is kept, and the degree of the polynomials F.
        at_rest: whether the initial velocities are 0, for which start lines are judged.

    Attributes:
        start: (unknown, derivative) -> its initial value.
        polynomials: right-hand side -> a polynomial for each component.
        solution: (unknown, derivative) -> the exact solution as a power series in time.
    """

    def __init__(
        self, scheme: Scheme, values: Mapping[str, Any], max_degree: int, at_rest: bool = False
    ):
        self.scheme, self.max_degree = scheme, max_degree
        self.coeff_field = CoefficientField(scheme, expand_lets=True)
        without_h = {name: value for name, value in values.items() if name != "h"}
        known = self.coeff_field.symbol_values(without_h)
        self.writer = SeriesWriter(self.coeff_field, known, max_degree)
        self.decay = {name: self._number_series(expr.Constant(name)) for name in scheme.decays}
        self.patterns = {p.function: p for p in scheme.patterns}
        rng = Random(11)  # any seed, so that the order is always the same
        self.start = {
            (p.unknown, k): [
                {} if at_rest and k else {0: Fraction(rng.randint(1, 9))} for _ in range(DIMENSION)
            ]
            for p in scheme.patterns
            for k in range(p.order)
        }
        self.polynomials = {p.function: list(self._draw(p, rng)) for p in scheme.patterns}
        self.solution = self._solve()

    def errors(self) -> dict[str, int]:
        """Unknown -> the lowest power of h in the error after a step; max_degree + 1 if none."""
        values: dict[Node, Vector] = {slot: self._exact(slot) for slot in self.scheme.slots}
        for update in self.scheme.updates:
            values[update.target] = self._value(update.value, values)
        new_slots = [Slot(pattern.unknown, 1) for pattern in self.scheme.patterns]
        return {s.name: self._first_difference(values[s], self._exact(s)) for s in new_slots}

    def start_errors(self) -> dict[Slot, int]:
        """Value before the first step -> the lowest power of h in the error of its start line."""
        known: dict[Node, Vector] = {s: self._exact(s) for s in self.scheme.slots if not s.offset}
        starts = ((slot, self._value(node, known)) for slot, node in self.scheme.starts)
        return {slot: self._first_difference(v, self._exact(slot)) for slot, v in starts}

    def _first_difference(self, one: Vector, other: Vector) -> int:
        """The lowest power of h in which two values differ; max_degree + 1 if none."""
        difference = _plus(one, other, -1)
        return min((k for entry in difference for k in entry), default=self.max_degree + 1)

    def _draw(self, pattern: Pattern, rng: Random) -> Iterator[dict[tuple[int, ...], Fraction]]:
        """A random polynomial for each component: powers of all arguments -> coefficient."""
        count, highest = DIMENSION * len(pattern.reads), self.max_degree
        degrees = [d for d in product(range(highest + 1), repeat=count) if sum(d) <= highest]
        for _ in range(DIMENSION):
            yield {d: Fraction(rng.randint(1, LARGEST_COEFFICIENT)) for d in degrees}

    def _solve(self) -> dict[tuple[str, int], Vector]:
        """The exact solution, by Picard iteration."""
        solution = self.start
        for _ in range(self.max_degree):
            solution = {key: self._integral(key, solution) for key in solution}
        return solution

    def _integral(self, key: tuple[str, int], values: Mapping[tuple[str, int], Vector]) -> Vector:
        """An unknown, or a derivative of one, as the integral of its slope at given values."""
        name, derivative = key
        pattern = next(p for p in self.scheme.patterns if p.unknown == name)
        if derivative < pattern.order - 1:
            slope = values[name, derivative + 1]
        else:
            slope = self._rate(pattern, [values[read, 0] for read in pattern.reads])
            if pattern.decay:
                slope = _plus(slope, self._scaled(values[key], self.decay[pattern.decay]), -1)
        integral = [
            {k + 1: a / (k + 1) for k, a in entry.items() if k < self.max_degree} for entry in slope
        ]  # fmt: skip
        return _plus(self.start[key], integral)

    def _exact(self, slot: Slot) -> Vector:
        """The exact solution at the time of a slot, as a series in h."""
        return [
            {k: a * Fraction(slot.offset) ** k for k, a in entry.items() if slot.offset or not k}
            for entry in self.solution[slot.name, 0]
        ]

    def _rate(self, pattern: Pattern, arguments: list[Vector]) -> Vector:
        """A right-hand side, without the decay, at given arguments."""
        entries = [entry for argument in arguments for entry in argument]
        powers = [self._powers_of(entry) for entry in entries]
        found: list[PowerSeries] = []
        for polynomial in self.polynomials[pattern.function]:
            total: PowerSeries = {}
            for degrees, coefficient in polynomial.items():
                term: PowerSeries = {0: coefficient}
                for entry_powers, degree in zip(powers, degrees, strict=True):
                    term = multiply(term, entry_powers[degree], self.max_degree) if degree else term
                total = add(total, term)
            found.append(total)
        return found

    def _powers_of(self, entry: PowerSeries) -> list[PowerSeries]:
        """The powers of a series with exponents from 0 to `max_degree`."""
        found: list[PowerSeries] = [{0: Fraction(1)}]
        for _ in range(self.max_degree):
            found.append(multiply(found[-1], entry, self.max_degree))
        return found

    def _scaled(self, vector: Vector, factor: PowerSeries) -> Vector:
        return [multiply(entry, factor, self.max_degree) for entry in vector]

    def _number_series(self, node: Node) -> PowerSeries:
        return self.writer.to_series(self.coeff_field.read(node))

    def _value(self, node: Node, values: Mapping[Node, Vector]) -> Vector:
        """An expression of the scheme, given the slots and stages in it."""
        match node:
            case expr.Slot() | expr.Stage():
                return values[node]
            case expr.Rate():
                arguments = [self._value(argument, values) for argument in node.arguments]
                return self._rate(self.patterns[node.function], arguments)
            case expr.Sum() | expr.Product() | expr.Quotient():
                total = _zero()
                for factor, term in linear_terms(node, self._number_series):
                    total = _plus(total, self._scaled(self._value(term, values), factor))
                return total
            case _:
                return _zero()


class DampedOrder(NamedTuple):
    """The order of a scheme with a decay; the texts are empty where they do not apply.

    Attributes:
        value: the order, or None.
        reason: why there is none.
        note: a sentence that says to which order the start lines reduce it.
        parasitic: the parasitic eigenvalues.
    """

    value: int | None
    reason: str = ""
    note: str = ""
    parasitic: str = ""


def damped_order(scheme: Scheme, values: Mapping[str, Value]) -> DampedOrder:
    """The order of a scheme with a decay.

    Args:
        scheme: the scheme, as parsed, without unknowns of its own.
        values: the values of its constants and lets.

    Raises:
        NoSeries: a factor is not a power series in h.
    """
    zero = sympy.Integer(0)
    step = linear_step(scheme, {p.function: (zero,) * len(p.reads) for p in scheme.patterns})
    numbers = step.coeff_field.symbol_values({name: v for name, v in values.items() if name != "h"})
    writer = SeriesWriter(step.coeff_field, numbers, max_degree=1)
    entries = [[writer.to_series(entry) for entry in row] for row in step.matrix.to_list()]
    if any(entry and min(entry) < 0 for row in entries for entry in row):
        raise NoSeries("a value grows like 1/h as h tends to 0")
    matrix = [[as_mpf(entry.get(0, Fraction(0))) for entry in row] for row in entries]
    if not is_power_bounded(matrix, max_block=max(p.order for p in scheme.patterns)):
        reason = "errors of earlier steps grow from step to step, however small h is"
        return DampedOrder(None, reason)
    lost_powers = largest_block_at_one(matrix)
    # low degrees, which are fast, often suffice
    for max_degree in (3, 4, HIGHEST_DAMPED_ORDER + lost_powers):
        lowest_power = min(DampedStep(scheme, values, max_degree).errors().values())
        if lowest_power <= max_degree:
            break
    order = min(max(lowest_power - lost_powers, 0), HIGHEST_DAMPED_ORDER)
    note = _start_note(scheme, values, order, lost_powers)
    parasitic = parasitic_text(matrix, scheme.slots, scheme.patterns[0].unknown)
    return DampedOrder(order, note=note, parasitic=parasitic)


def _start_note(scheme: Scheme, values: Mapping[str, Value], order: int, lost_powers: int) -> str:
    """To which order the start lines reduce that of the steps, as a sentence; empty if to none."""
    starts = DampedStep(scheme, values, order + lost_powers, at_rest=True).start_errors()
    orders = {slot: max(power - lost_powers + 1, 0) for slot, power in starts.items()}
    worst = min(orders, key=lambda slot: orders[slot], default=None)
    if worst is None or orders[worst] >= order:
        return ""
    return start_line_note(scheme, worst, orders[worst])


def _zero() -> Vector:
    return [{} for _ in range(DIMENSION)]


def _plus(one: Vector, other: Vector, sign: int = 1) -> Vector:
    return [add(a, b, sign) for a, b in zip(one, other, strict=True)]
