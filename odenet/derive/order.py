"""The order of accuracy, for every dynamics the scheme takes.

The values stored before a step are put on the exact solution, and the values after it are compared
with the exact solution one step later, tree by tree. An unknown of the scheme's own stands on the
function of the solution that its start line gives.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import mpmath
import sympy

from odenet.derive.coefficients import H, Value, as_mpf, constants
from odenet.derive.damped_order import damped_order
from odenet.derive.h_series import WORKING_DIGITS, NoSeries, Scales, is_zero
from odenet.derive.linear_step import one_step
from odenet.derive.power_bounded import bounded_powers, index_of_one
from odenet.derive.text import notation
from odenet.derive.tree_series import Expansion, Series, lowest, plus
from odenet.model import expr
from odenet.model.expr import Node, Slot
from odenet.model.scheme import Scheme

HIGHEST = 6


@dataclass(frozen=True)
class Order:
    """The order of accuracy.

    Args:
        value: p, where the error at a fixed time is O(h^p); None where there is no such thing. An
            order of 6 means at least 6.
        reason: why there is none.
        note: what the start lines do to it.
    """

    value: int | None
    reason: str = ""
    note: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"none: {self.reason}"
        return f"{self.value}{' or more' if self.value == HIGHEST else ''}"


def derive_order(scheme: Scheme, values: Mapping[str, Fraction | float] | None = None) -> Order:
    """The order of a scheme at given values of its constants.

    Args:
        scheme: its text.
        values: of its constants, in place of their defaults. A constant that has no value is drawn
            at random: the order is then that for almost all values.
    """
    if not scheme.uses_step_size:
        return Order(None, "the scheme has no step size h")
    given = dict(values or {})
    given.pop("h", None)
    free = [name for name, default in scheme.constants if default is None and name not in given]
    draws = random.Random(7)
    with mpmath.workdps(WORKING_DIGITS):
        for name in free:
            given[name] = Fraction(draws.randint(50, 99), 101)
        try:
            if scheme.decays:
                return Order(*damped_order(scheme, constants(scheme, given)))
            return _Accuracy(scheme, constants(scheme, given)).order()
        except NoSeries as error:
            place = f"`{notation(scheme).show(error.node)}`: " if error.node else ""
            return Order(None, f"{place}{error.reason}")


class _Accuracy:
    """Compares a step with the exact solution, power by power."""

    def __init__(self, scheme: Scheme, values: Mapping[str, Value]):
        self.scheme = scheme
        self.values = values
        self.notation = notation(scheme)
        self.slots = scheme.slots
        self.orders = {pattern.variable: pattern.order for pattern in scheme.patterns}
        self.starts = {(slot.name, slot.offset): value for slot, value in scheme.starts}
        self.loss = {name: self._loss(name) for name in scheme.unknowns}
        self.divided = self._divided()

    def order(self) -> Order:
        """The order, by the best reading of unknowns that start at 0."""
        unstable = self._unstable()
        if unstable:
            return Order(None, unstable)
        found = max(self._orders(), default=None)
        if found is None or (found <= 0 and self.scheme.aux):
            names = ", ".join(self.notation.name(name) for name in self.scheme.aux)
            return Order(None, f"the start lines do not say what {names} approximates")
        return Order(max(found, 0), note=self._start_note(found))

    @cached_property
    def _whole(self) -> list[list[Value]]:
        """How the stored values go over in a step with all rates 0, as h tends to 0."""
        zero = sympy.Integer(0)
        patterns = self.scheme.patterns
        step = one_step(self.scheme, {p.function: (zero,) * len(p.reads) for p in patterns})
        if step.scalars.powers_of_h:
            raise NoSeries("a root of h is no power series in h")
        values = {**step.scalars.numbers(self.values), H: Fraction(0)}
        try:
            return step.at({symbol: as_mpf(value) for symbol, value in values.items()})
        except ZeroDivisionError:
            raise NoSeries("a value grows like 1/h as h tends to 0") from None

    def _matrix(self, names: tuple[str, ...]) -> list[list[Value]]:
        """The part of that for some of the unknowns."""
        places = [i for i, slot in enumerate(self.slots) if slot.name in names]
        return [[self._whole[i][j] for j in places] for i in places]

    def _unstable(self) -> str:
        """Why errors grow however small h is, if they do (Dahlquist's root condition)."""
        if not bounded_powers(self._whole, at_one=max(self.orders.values())):
            return "errors of earlier steps grow from step to step, however small h is"
        return ""

    def _loss(self, name: str) -> int:
        """How many powers of h an error made in every step costs at a fixed time.

        1 where errors add up; 2 for a second difference, which adds them up twice; 0 for a value
        that forgets errors.
        """
        return index_of_one(self._matrix(self._coupled(name)))

    def _coupled(self, name: str) -> tuple[str, ...]:
        """The unknowns whose errors come back to an unknown that passes its own on to them."""
        slots = self.slots
        reads = {
            (to.name, of.name)
            for to, row in zip(slots, self._whole, strict=True)
            for of, entry in zip(slots, row, strict=True)
            if not is_zero(entry)
        }
        for via in self.scheme.unknowns:  # transitive closure
            reads |= {(a, b) for a, v in reads if v == via for w, b in reads if w == via}
        loop = {other for other in self.scheme.unknowns if {(name, other), (other, name)} <= reads}
        return tuple(other for other in self.scheme.unknowns if other in loop | {name})

    def _orders(self) -> Iterator[int]:
        """The order for each reading of the unknowns of the scheme's own."""
        for reading in self._readings():
            try:
                yield self._order(reading)
            except NoSeries:
                if not self.scheme.aux:
                    raise

    def _readings(self) -> Iterator[dict[str, str | None]]:
        """What an unknown that starts at 0 may approximate: 0, or the derivative of a solution."""
        second = [name for name, order in self.orders.items() if order == 2]
        zero = [a for a in self.scheme.aux if isinstance(self.starts.get((a, 0)), expr.Zero)]
        yield dict.fromkeys(self.scheme.aux)
        if zero and second:
            yield dict(zip(zero, second * len(zero), strict=False))

    def _order(self, reading: Mapping[str, str | None]) -> int:
        """The lowest power at which a value after the step is off, less what adding up costs."""
        best, loss = HIGHEST, max(self.loss.values())
        for limit in (2, 3, 5, HIGHEST + loss):  # few trees where few suffice
            errors = self._errors(limit, reading)
            found = [k - self.loss[name] for name, k in errors.items() if k is not None]
            best = min([best, *found])
            if best + loss <= limit:
                break
        return best

    def _errors(self, limit: int, reading: Mapping[str, str | None]) -> dict[str, int | None]:
        """Unknown -> the lowest power of h, up to a limit, at which it is off after a step."""
        heaviest = limit + (1 if self.scheme.aux else 0) + self.divided
        scales = Scales(self.scheme, self.values, limit + self.divided)
        expansion = Expansion(self.scheme, scales, heaviest)

        def on_solution(slot: Slot) -> Series:
            if slot.name in self.orders:
                return expansion.exact(slot.name, slot.offset)
            target = reading.get(slot.name)
            if target is not None:
                return expansion.velocity(target, slot.offset)
            start = self.starts[slot.name, 0]
            reads = {node for node in start.walk() if isinstance(node, Slot)}
            shifted: dict[Node, Series] = {
                read: on_solution(Slot(read.name, read.offset + slot.offset)) for read in reads
            }
            return expansion.read(start, shifted)

        values: dict[Node, Series] = {slot: on_solution(slot) for slot in self.slots}
        for update in self.scheme.updates:
            values[update.target] = expansion.read(update.value, values)
        new = (Slot(name, 1) for name in self.scheme.unknowns)
        return {s.name: lowest(_up_to(plus(values[s], on_solution(s), -1), limit)) for s in new}

    def _divided(self) -> int:
        """How many powers of h are lost to divisions by h, at most."""
        scales = Scales(self.scheme, self.values, 0)
        one = expr.Number(Fraction(1), "1")
        divisions = [
            min(scales.read(replace(node, numerator=one)))
            for update in self.scheme.updates
            for node in update.value.walk()
            if isinstance(node, expr.Quotient)
        ]
        return -sum(degree for degree in divisions if degree < 0)

    def _start_note(self, order: int) -> str:
        """Whether the values before the first step are too far off for the order of the steps."""
        earlier = {key: v for key, v in self.starts.items() if key[0] in self.orders and key[1]}
        if not earlier:
            return ""
        limit = order + max(self.loss.values())
        expansion = Expansion(self.scheme, Scales(self.scheme, self.values, limit), limit)
        now: dict[Node, Series] = {Slot(u, 0): expansion.exact(u, 0) for u in self.orders}
        for (name, offset), value in earlier.items():
            off = plus(expansion.read(value, now), expansion.exact(name, offset), -1)
            resting = {key: p for key, p in off.items() if not _moving(key)}
            power = lowest(resting)
            reached = order if power is None else max(power - self.loss[name] + 1, 0)
            if reached < order:
                line = f"start {self.notation.name(name)}[{offset}] = {self.notation.show(value)}"
                return f"with `{line}` the equation's solution is followed to order {reached} only"
        return ""


def _up_to(series: Series, limit: int) -> Series:
    cut = {key: {k: a for k, a in p.items() if k <= limit} for key, p in series.items()}
    return {key: powers for key, powers in cut.items() if powers}


def _moving(key: object) -> bool:
    """Whether a tree has a leaf for the initial velocity, which is 0 unless given."""
    if isinstance(key, str):
        return False
    function, children = key  # type: ignore[misc]
    return function.endswith("'") or any(_moving(child) for _, child in children)
