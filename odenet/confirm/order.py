"""The order of a scheme, measured: errors at a fixed time on a problem whose solution is known.

The scheme begins with values of the solution. An unknown of its own begins as its start line says,
or, where that is zero and the equation of second order, with the velocity. Where the errors do not
fall as fast as they are said to, one more beginning is tried: the own unknowns as they are once all
that dies out or swings has died out, found as those that make them smooth from step to step. Where
the equation is of second order, one of them is a velocity, of some scale and at some time near the
beginning: the one that takes the first step onto the solution.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from random import Random
from typing import Any

from odenet.confirm.disagreement import NoNumbers
from odenet.confirm.matrices import dot, eigenvalues, solve
from odenet.confirm.problem import Problem, draw_problem
from odenet.confirm.steps import WIDTH, Run, compiled, numbers_of
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import Scheme, Update

CLOSE = 0.3  # slopes this near to a whole number are that number
FLOOR = 1e-12  # errors below are rounding
LARGE = 1e3  # errors above say nothing yet
FIRST = {1: 16, 2: 12, 3: 8, 4: 6, 5: 3}  # steps of the first measurement, by order; then 2
LAST = 512  # steps, where the errors do not fall as they are said to
# What is multiplied by 1 - ε per step decides on the errors after 1/ε steps. Below the first, an
# eigenvalue cannot be told from a multiple 1 that is off by rounding, but a constant can.
SLOW = (1e-4, 0.05)
SMOOTH = 7  # the difference of the own unknowns that vanishes when they are smooth
HISTORY = 4  # steps back from the beginning at which the solution is known


@dataclass(frozen=True)
class Measured:
    """Slopes of the error between step sizes that are halved, the last one the finest.

    Args:
        slopes: log2 of the ratio of errors; none where errors are rounding, or too large.
    """

    slopes: tuple[float, ...] = ()

    @property
    def order(self) -> int | None:
        """The whole number that the last two slopes are; None where they are none, or differ."""
        last = self.slopes[-2:]
        nearest = round(last[-1]) if last else 0
        near = len(last) == 2 and all(abs(slope - nearest) < CLOSE for slope in last)
        return nearest if near else None


def measure(
    scheme: Scheme, order: int, values: Mapping[str, Any], rng: Random, floor: float = 0.0
) -> Measured:
    """Slopes for the first beginning with which the errors fall as they are said to, or faster.

    Where there is none, those of the beginning with which they fall fastest.

    Args:
        scheme: as parsed.
        order: what the slopes are expected to be.
        values: of the constants.
        rng: draws the problem.
        floor: errors below this are those of rounded coefficients.

    Raises:
        NoNumbers: the scheme has something that is not modelled here, or something in it settles
            so slowly that no quick measurement sees the order.
    """
    known = numbers_of(scheme, float, 1.0, values)
    problem, best = draw_problem(scheme, known, rng), Measured()
    _refuse_slow(scheme, problem, values)
    for beginning in _beginnings(scheme, problem):
        found = _slopes(scheme, problem, beginning, order, values, max(floor, FLOOR))
        if found.order is not None and found.order >= order:
            return found
        if found.order is None and floor > FLOOR:
            return found
        if found.order is not None and (best.order is None or found.order > best.order):
            best = found
    return best


def _refuse_slow(scheme: Scheme, problem: Problem, values: Mapping[str, Any]) -> None:
    """Raise NoNumbers if something dies out slowly from step to step, however small h is."""
    numbers = numbers_of(scheme, float, 1e-12, values)
    step, size = _step(scheme, problem, numbers), WIDTH * len(scheme.slots)
    still = step([0.0] * size)
    columns = [step([float(i == k) for i in range(size)]) for k in range(0, size, WIDTH)]
    matrix = [[c[i] - still[i] for c in columns] for i in range(0, size, WIDTH)]
    nearly = any(0 < abs(abs(x) - 1) < SLOW[0] for x in numbers.values())
    if nearly or any(SLOW[0] < abs(value - 1) < SLOW[1] for value in eigenvalues(matrix)):
        raise NoNumbers("something in the scheme settles slowly")


def _slopes(
    scheme: Scheme,
    problem: Problem,
    beginning: "_Beginning",
    order: int,
    values: Mapping[str, Any],
    floor: float,
) -> Measured:
    """Errors with ever more steps, until the order is the expected one or nothing is learned."""
    errors: list[float] = []
    count = FIRST.get(order, 2)
    while count <= LAST:
        error = _error(scheme, problem, beginning, count, values)
        if not floor < error < LARGE:
            break
        errors.append(error)
        if _measured(errors).order == order:
            break
        count *= 2
    return _measured(errors)


def _measured(errors: Sequence[float]) -> Measured:
    return Measured(tuple(log2(one / two) for one, two in pairwise(errors)))


def _error(
    scheme: Scheme, problem: Problem, beginning: "_Beginning", count: int, values: Mapping[str, Any]
) -> float:
    """The largest error of an unknown after some steps."""
    h = problem.time / count
    numbers = numbers_of(scheme, float, h, values)
    step = _step(scheme, problem, numbers)
    state = beginning.state(numbers, h, step)
    for _ in range(count):
        state = step(state)
    off = [
        abs(a - b)
        for pattern in scheme.patterns
        for a, b in zip(
            _entries(scheme, state, Slot(pattern.variable, 0)),
            problem.at(pattern.variable, problem.time),
            strict=True,
        )
    ]
    return max(off) if all(x == x for x in off) else float("inf")


def _step(scheme: Scheme, problem: Problem, numbers: Mapping[str, Any]) -> Run:
    """One step as a function of all stored entries."""
    after = [Slot(slot.name, slot.offset + 1) for slot in scheme.slots]
    return compiled(scheme.updates, scheme.slots, after, numbers, problem.rates, float)


def _entries(scheme: Scheme, state: Sequence[float], slot: Slot) -> Sequence[float]:
    first = WIDTH * scheme.slots.index(slot)
    return state[first : first + WIDTH]


# --- beginnings ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Beginning:
    """The values before the first step.

    Args:
        scheme: as parsed.
        problem: gives those of the solution.
        velocities: own unknowns that begin with the derivative of an unknown.
        smooth: whether the own unknowns are then made smooth, and their velocity the solution's.
    """

    scheme: Scheme
    problem: Problem
    velocities: Mapping[str, str]
    smooth: bool = False

    def state(self, numbers: Mapping[str, Any], h: float, step: Run) -> list[float]:
        """All stored values at the start, those of the states from the exact solution."""
        exact = {
            Slot(pattern.variable, k): self.problem.at(pattern.variable, k * h)
            for pattern in self.scheme.patterns
            for k in range(-HISTORY, 1)
        }
        starts: dict[Slot, Node] = dict(self.scheme.starts)
        found: list[float] = []
        for slot in self.scheme.slots:
            if slot in exact:
                found += exact[slot]
            elif slot.name in self.velocities:
                found += self.problem.at(self.velocities[slot.name], slot.offset * h, 1)
            else:
                found += self._start(slot, starts, exact, numbers)
        return self._smoothed(found, h, step) if self.smooth else found

    def _start(
        self,
        slot: Slot,
        starts: Mapping[Slot, Node],
        exact: Mapping[Slot, list[float]],
        numbers: Mapping[str, Any],
    ) -> list[float]:
        """A value of an own unknown by its start line."""
        if slot not in starts:
            raise NoNumbers(f"{slot.name} has no start line")
        line = Update(slot, starts[slot], self.scheme.span)
        known = list(exact)
        run = compiled([line], known, [slot], numbers, self.problem.rates, float)
        return run([entry for key in known for entry in exact[key]])

    def _smoothed(self, state: list[float], h: float, step: Run) -> list[float]:
        """Own unknowns whose differences from step to step vanish, by the Gauss-Newton method."""
        own = [
            WIDTH * k + i
            for k, slot in enumerate(self.scheme.slots)
            if slot.name in self.scheme.aux
            for i in range(WIDTH)
        ]

        def rough(state: list[float]) -> list[float]:
            rows, missed = [[state[i] for i in own]], self._missed(step(state), h)
            for _ in range(SMOOTH):
                state = step(state)
                rows.append([state[i] for i in own])
            for _ in range(SMOOTH):
                rows = [[b - a for a, b in zip(*two, strict=True)] for two in pairwise(rows)]
            return [*rows[0], *missed]

        for _ in range(3):
            now = rough(state)
            columns: list[list[float]] = []
            for i in own:
                moved = list(state)
                moved[i] += 1e-4
                columns.append([(b - a) / 1e-4 for a, b in zip(now, rough(moved), strict=True)])
            normal = [[dot(one, other) for other in columns] for one in columns]
            change = solve(normal, [dot(one, now) for one in columns])
            for i, x in zip(own, change, strict=True):
                state[i] -= x.real
        return state

    def _missed(self, state: Sequence[float], h: float) -> list[float]:
        """How far unknowns of second-order equations are from the solution after a step, over h."""
        return [
            (a - b) / h
            for pattern in self.scheme.patterns
            if pattern.order == 2
            for a, b in zip(
                _entries(self.scheme, state, Slot(pattern.variable, 0)),
                self.problem.at(pattern.variable, h),
                strict=True,
            )
        ]


def _beginnings(scheme: Scheme, problem: Problem) -> Iterator[_Beginning]:
    """The beginnings that are tried, in turn."""
    second = [p.variable for p in scheme.patterns if p.order == 2]
    starts: dict[Slot, Node] = dict(scheme.starts)
    zero = [a for a in scheme.aux if isinstance(starts.get(Slot(a, 0)), expr.Zero)]
    if zero and second:
        yield _Beginning(scheme, problem, dict(zip(zero, second * len(zero), strict=False)))
    yield _Beginning(scheme, problem, {})
    if scheme.aux:
        yield _Beginning(scheme, problem, {}, smooth=True)
