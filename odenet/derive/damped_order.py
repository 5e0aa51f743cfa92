"""The order of a scheme that takes a decay out of the equation, `Y'' = F(Y) - γ Y'`.

Trees do not fit: γ is a number and not a function, so a term of the solution has many powers of h.
Instead one polynomial F with random integer coefficients is drawn, in two dimensions, and the
step and the exact solution are expanded in powers of h in rational arithmetic. The error of each
power is a polynomial in the coefficients of F. If it is not zero for every F, it is zero for drawn
ones with a probability of less than (degree)/(number of values) (Schwartz 1980, Zippel 1979), so
that the first power with an error gives the order for every smooth F.
"""

import random
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

import sympy

from odenet.derive.coefficients import Scalars
from odenet.derive.exact_numbers import Value, as_mpf
from odenet.derive.h_series import NoSeries, Powers, SeriesWriter, add, multiply
from odenet.derive.linear_step import one_step
from odenet.derive.parasitic import parasitic
from odenet.derive.power_bounded import bounded_powers, index_of_one
from odenet.derive.start_error import followed
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.expressions.fold import linear_terms
from odenet.model.typed.scheme import Pattern, Scheme

DAMPED_HIGHEST = 6  # the order up to which is searched
DIMENSION = 2
DRAWN = 10**6  # size of the coefficients
Vector = list[Powers]


class DampedStep:
    """A step and the exact solution on one drawn problem.

    Args:
        scheme: as parsed, without unknowns of its own.
        values: of its constants.
        limit: the highest power of h that is kept; derivatives of F beyond it do not count.
        resting: whether velocities begin at 0.
    """

    def __init__(
        self, scheme: Scheme, values: Mapping[str, Any], limit: int, resting: bool = False
    ):
        self.scheme, self.limit = scheme, limit
        self.scalars = Scalars(scheme, expand=True)
        known = self.scalars.numbers({name: v for name, v in values.items() if name != "h"})
        self.writer = SeriesWriter(self.scalars, known, limit)
        self.decay = {name: self._factor(expr.Constant(name)) for name in scheme.decays}
        self.patterns = {p.function: p for p in scheme.patterns}
        draws = random.Random(11)
        self.start = {
            (p.variable, k): [
                {} if resting and k else {0: Fraction(draws.randint(1, 9))}
                for _ in range(DIMENSION)
            ]
            for p in scheme.patterns
            for k in range(p.order)
        }
        self.fields = {p.function: list(self._drawn(p, draws)) for p in scheme.patterns}
        self.solution = self._solve()

    def errors(self) -> dict[str, int]:
        """Unknown -> the lowest power of h at which it is off after a step; limit + 1 for none."""
        values: dict[Node, Vector] = {slot: self._exact(slot) for slot in self.scheme.slots}
        for update in self.scheme.updates:
            values[update.target] = self._read(update.value, values)
        after = [Slot(pattern.variable, 1) for pattern in self.scheme.patterns]
        return {slot.name: self._apart(values[slot], self._exact(slot)) for slot in after}

    def start_errors(self) -> dict[Slot, int]:
        """Value before the first step -> the lowest power of h at which its start line is off."""
        now: dict[Node, Vector] = {s: self._exact(s) for s in self.scheme.slots if not s.offset}
        starts = self.scheme.starts
        return {slot: self._apart(self._read(v, now), self._exact(slot)) for slot, v in starts}

    def _apart(self, one: Vector, other: Vector) -> int:
        """The lowest power of h at which two values differ; limit + 1 for none."""
        off = _plus(one, other, -1)
        return min((k for part in off for k in part), default=self.limit + 1)

    def _drawn(
        self, pattern: Pattern, draws: random.Random
    ) -> Iterator[dict[tuple[int, ...], Fraction]]:
        """A polynomial for each component: powers of all values read -> its coefficient."""
        count = DIMENSION * len(pattern.reads)
        degrees = [d for d in product(range(self.limit + 1), repeat=count) if sum(d) <= self.limit]
        for _ in range(DIMENSION):
            yield {d: Fraction(draws.randint(1, DRAWN)) for d in degrees}

    def _solve(self) -> dict[tuple[str, int], Vector]:
        """Values and velocities in powers of time, by Picard iteration."""
        found = self.start
        for _ in range(self.limit):
            found = {key: self._integral(key, found) for key in found}
        return found

    def _integral(self, key: tuple[str, int], values: Mapping[tuple[str, int], Vector]) -> Vector:
        name, derivative = key
        pattern = next(p for p in self.scheme.patterns if p.variable == name)
        if derivative < pattern.order - 1:
            slope = values[name, derivative + 1]
        else:
            slope = self._rate(pattern, [values[read, 0] for read in pattern.reads])
            if pattern.decay:
                damped = _scaled(values[key], self.decay[pattern.decay], self.limit)
                slope = _plus(slope, damped, -1)
        grown = [
            {k + 1: a / (k + 1) for k, a in part.items() if k < self.limit} for part in slope
        ]  # fmt: skip
        return _plus(self.start[key], grown)

    def _exact(self, slot: Slot) -> Vector:
        return [
            {k: a * Fraction(slot.offset) ** k for k, a in part.items() if slot.offset or not k}
            for part in self.solution[slot.name, 0]
        ]

    def _rate(self, pattern: Pattern, arguments: list[Vector]) -> Vector:
        parts = [part for argument in arguments for part in argument]
        powers = [self._powers(part) for part in parts]
        found: list[Powers] = []
        for polynomial in self.fields[pattern.function]:
            total: Powers = {}
            for degrees, coefficient in polynomial.items():
                term: Powers = {0: coefficient}
                for own, degree in zip(powers, degrees, strict=True):
                    term = multiply(term, own[degree], self.limit) if degree else term
                total = add(total, term)
            found.append(total)
        return found

    def _powers(self, part: Powers) -> list[Powers]:
        found: list[Powers] = [{0: Fraction(1)}]
        for _ in range(self.limit):
            found.append(multiply(found[-1], part, self.limit))
        return found

    def _factor(self, node: Node) -> Powers:
        return self.writer.read(self.scalars.read(node))

    def _read(self, node: Node, values: Mapping[Node, Vector]) -> Vector:
        match node:
            case expr.Slot() | expr.Stage():
                return values[node]
            case expr.Rate():
                arguments = [self._read(argument, values) for argument in node.arguments]
                return self._rate(self.patterns[node.function], arguments)
            case expr.Sum() | expr.Product() | expr.Quotient():
                total = _zero()
                for factor, part in linear_terms(node, self._factor):
                    total = _plus(total, _scaled(self._read(part, values), factor, self.limit))
                return total
            case _:
                return _zero()


def damped_order(scheme: Scheme, values: Mapping[str, Value]) -> tuple[int | None, str, str, str]:
    """The order, why there is none, what the start lines do to it, and the parasitic eigenvalues.

    Args:
        scheme: as parsed, without unknowns of its own.
        values: of its constants and lets.

    Raises:
        NoSeries: a factor is not a power series in h.
    """
    zero = sympy.Integer(0)
    step = one_step(scheme, {p.function: (zero,) * len(p.reads) for p in scheme.patterns})
    numbers = step.scalars.numbers({name: v for name, v in values.items() if name != "h"})
    writer = SeriesWriter(step.scalars, numbers, 1)
    entries = [[writer.read(entry) for entry in row] for row in step.matrix.to_list()]
    if any(entry and min(entry) < 0 for row in entries for entry in row):
        raise NoSeries("a value grows like 1/h as h tends to 0")
    whole = [[as_mpf(entry.get(0, Fraction(0))) for entry in row] for row in entries]
    if not bounded_powers(whole, at_one=max(p.order for p in scheme.patterns)):
        return None, "errors of earlier steps grow from step to step, however small h is", "", ""
    loss = index_of_one(whole)
    for limit in (3, 4, DAMPED_HIGHEST + loss):  # few powers where few suffice
        least = min(DampedStep(scheme, values, limit).errors().values())
        if least <= limit:
            break
    order = min(max(least - loss, 0), DAMPED_HIGHEST)
    note = _start_note(scheme, values, order, loss)
    return order, "", note, parasitic(whole, scheme.slots, scheme.patterns[0].variable)


def _start_note(scheme: Scheme, values: Mapping[str, Value], order: int, loss: int) -> str:
    """Whether the values before the first step are too far off for the order of the steps."""
    starts = DampedStep(scheme, values, order + loss, resting=True).start_errors()
    reached = {slot: max(power - loss + 1, 0) for slot, power in starts.items()}
    worst = min(reached, key=lambda slot: reached[slot], default=None)
    if worst is None or reached[worst] >= order:
        return ""
    return followed(scheme, worst, reached[worst])


def _zero() -> Vector:
    return [{} for _ in range(DIMENSION)]


def _plus(one: Vector, other: Vector, sign: int = 1) -> Vector:
    return [add(a, b, sign) for a, b in zip(one, other, strict=True)]


def _scaled(vector: Vector, factor: Powers, limit: int) -> Vector:
    return [multiply(part, factor, limit) for part in vector]
