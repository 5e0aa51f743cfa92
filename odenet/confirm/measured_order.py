"""Measures the order of a scheme: errors at a fixed time on a problem with a known solution.

The stored values of the equations' unknowns are initialised with the exact solution. For the
scheme's own unknowns (`aux`) several initial values are tried, until the errors fall as fast as
claimed:

- what the start line says, or the exact velocity if that line is 0 and the equation of second
  order;
- the values for which these unknowns are smooth from step to step, without components that decay or
  oscillate. For second-order equations one of them is a velocity, in some scaling and at some time
  near the beginning; it is chosen such that the first step hits the solution.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan, log2
from random import Random
from typing import Any

from odenet.confirm.disagreement import NotEvaluable
from odenet.confirm.matrices import dot, eigenvalues, solve
from odenet.confirm.problem import Problem, draw_problem
from odenet.confirm.steps import ENTRIES, EntryFunction, compile_lines, constant_values
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import Scheme, Update

SLOPE_TOLERANCE = 0.3  # a slope this close to a whole number counts as that number
ROUNDING_FLOOR = 1e-12  # smaller errors are rounding errors
LARGEST_ERROR = 1e3  # larger errors are not used
FIRST_STEPS = {1: 16, 2: 12, 3: 8, 4: 6, 5: 3}  # order -> steps of the first measurement; else 2
MOST_STEPS = 512  # steps of the last measurement, if the errors do not fall as claimed
# A component that is multiplied by 1 - ε in each step shows only after 1/ε steps, so no order is
# measured if there is an ε between these two. A smaller ε of an eigenvalue may be a rounding error
# of a multiple eigenvalue 1; for a constant, which is known exactly, there is no lower bound.
SLOW_DECAY = (1e-4, 0.05)
DIFFERENCES = 7  # `aux` unknowns count as smooth if their differences of this order vanish
PERTURBATION = 1e-4  # of an entry, for derivatives by finite differences
EARLIER_STEPS = 4  # steps before the beginning for which the solution is known


@dataclass(frozen=True)
class ErrorSlopes:
    """How fast errors fall when the step size is halved.

    Args:
        slopes: log2 of the ratio of successive errors, the finest step sizes last; empty if the
            errors are rounding errors, or too large.
    """

    slopes: tuple[float, ...] = ()

    @property
    def order(self) -> int | None:
        """The whole number that the last two slopes agree on; None if they do not."""
        last = self.slopes[-2:]
        nearest = round(last[-1]) if last else 0
        settled = len(last) == 2 and all(abs(slope - nearest) < SLOPE_TOLERANCE for slope in last)
        return nearest if settled else None


def measure_slopes(
    scheme: Scheme, order: int, values: Mapping[str, Any], rng: Random, floor: float = 0.0
) -> ErrorSlopes:
    """Slopes for the first choice of initial values with which errors fall at least as claimed.

    If there is none, those for the initial values with which errors fall fastest.

    Args:
        scheme: the scheme, as parsed.
        order: the claimed order.
        values: the values of the scheme's constants, by name, without h.
        rng: draws the problem.
        floor: errors below it are due to coefficients that were rounded in the scheme's text.

    Raises:
        NotEvaluable: the scheme contains something that cannot be evaluated numerically, or a
            component that decays so slowly that no quick measurement shows the order.
    """
    constants = constant_values(scheme, float, 1.0, values)
    problem, best = draw_problem(scheme, constants, rng), ErrorSlopes()
    _refuse_slow_decay(scheme, problem, values)
    for start_values in _all_start_values(scheme, problem):
        smallest_error = max(floor, ROUNDING_FLOOR)
        found = _slopes_from(scheme, problem, start_values, order, values, smallest_error)
        if found.order is not None and found.order >= order:
            return found
        if found.order is None and floor > ROUNDING_FLOOR:
            return found  # rounded coefficients hide the order, with other initial values too
        if found.order is not None and (best.order is None or found.order > best.order):
            best = found
    return best


def _refuse_slow_decay(scheme: Scheme, problem: Problem, values: Mapping[str, Any]) -> None:
    """Raise NotEvaluable if a component decays slowly from step to step, however small h is."""
    numbers = constant_values(scheme, float, 1e-12, values)
    step, size = _step_function(scheme, problem, numbers), ENTRIES * len(scheme.slots)
    # At h ≈ 0 a step is linear and treats both entries of a value alike: the first ones suffice.
    image_of_zero = step([0.0] * size)
    columns = [step([float(i == k) for i in range(size)]) for k in range(0, size, ENTRIES)]
    matrix = [[c[i] - image_of_zero[i] for c in columns] for i in range(0, size, ENTRIES)]
    low, high = SLOW_DECAY
    near_one = any(0 < abs(abs(x) - 1) < low for x in numbers.values())
    if near_one or any(low < abs(value - 1) < high for value in eigenvalues(matrix)):
        raise NotEvaluable("something in the scheme settles slowly")


def _slopes_from(
    scheme: Scheme,
    problem: Problem,
    start_values: "_StartValues",
    order: int,
    values: Mapping[str, Any],
    smallest_error: float,
) -> ErrorSlopes:
    """Slopes for one choice of initial values.

    The number of steps is doubled until the slopes agree with the claimed order, or errors get too
    small.
    """
    errors: list[float] = []
    steps = FIRST_STEPS.get(order, 2)
    while steps <= MOST_STEPS:
        error = _final_error(scheme, problem, start_values, steps, values)
        if not smallest_error < error < LARGEST_ERROR:
            break
        errors.append(error)
        if _error_slopes(errors).order == order:
            break
        steps *= 2
    return _error_slopes(errors)


def _error_slopes(errors: Sequence[float]) -> ErrorSlopes:
    return ErrorSlopes(tuple(log2(coarse / fine) for coarse, fine in pairwise(errors)))


def _final_error(
    scheme: Scheme,
    problem: Problem,
    start_values: "_StartValues",
    steps: int,
    values: Mapping[str, Any],
) -> float:
    """The largest error of an unknown of the equations at the final time."""
    h = problem.final_time / steps
    numbers = constant_values(scheme, float, h, values)
    step = _step_function(scheme, problem, numbers)
    state = start_values.state(numbers, h, step)
    for _ in range(steps):
        state = step(state)
    errors: list[float] = []
    for name in (pattern.unknown for pattern in scheme.patterns):
        errors += map(abs, _errors(scheme, problem, state, name, problem.final_time))
    return float("inf") if any(map(isnan, errors)) else max(errors)


def _step_function(scheme: Scheme, problem: Problem, numbers: Mapping[str, Any]) -> EntryFunction:
    """One step as a function from the entries of all stored values to the new ones."""
    new_slots = [Slot(slot.name, slot.offset + 1) for slot in scheme.slots]
    return compile_lines(scheme.updates, scheme.slots, new_slots, numbers, problem.rates, float)


def _errors(
    scheme: Scheme, problem: Problem, state: Sequence[float], name: str, time: float
) -> list[float]:
    """The errors of the entries of an unknown's newest value at a time."""
    first = ENTRIES * scheme.slots.index(Slot(name, 0))
    entries = state[first : first + ENTRIES]
    return [a - b for a, b in zip(entries, problem.values_at(name, time), strict=True)]


# --- initial values ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _StartValues:
    """A choice of the stored values before the first step.

    Args:
        scheme: the scheme, as parsed.
        problem: has the exact solution.
        velocities: `aux` unknown -> the unknown whose exact velocity is its initial value; other
            `aux` unknowns start as their start lines say.
        smooth: whether `aux` unknowns are then changed to be smooth from step to step.
    """

    scheme: Scheme
    problem: Problem
    velocities: Mapping[str, str]
    smooth: bool = False

    def state(self, numbers: Mapping[str, Any], h: float, step: EntryFunction) -> list[float]:
        """The entries of all stored values before the first step."""
        exact = {
            Slot(pattern.unknown, k): self.problem.values_at(pattern.unknown, k * h)
            for pattern in self.scheme.patterns
            for k in range(-EARLIER_STEPS, 1)
        }
        starts: dict[Slot, Node] = dict(self.scheme.starts)
        found: list[float] = []
        for slot in self.scheme.slots:
            if slot in exact:
                found += exact[slot]
            elif slot.name in self.velocities:
                found += self.problem.values_at(self.velocities[slot.name], slot.offset * h, 1)
            else:
                found += self._by_start_line(slot, starts, exact, numbers)
        return self._with_smooth_aux(found, h, step) if self.smooth else found

    def _by_start_line(
        self,
        slot: Slot,
        starts: Mapping[Slot, Node],
        exact: Mapping[Slot, list[float]],
        numbers: Mapping[str, Any],
    ) -> list[float]:
        """The entries of an `aux` unknown's value by its start line."""
        if slot not in starts:
            raise NotEvaluable(f"{slot.name} has no start line")
        line = Update(slot, starts[slot], self.scheme.span)
        known_slots = list(exact)
        run = compile_lines([line], known_slots, [slot], numbers, self.problem.rates, float)
        return run([entry for key in known_slots for entry in exact[key]])

    def _with_smooth_aux(self, state: list[float], h: float, step: EntryFunction) -> list[float]:
        """Change `aux` unknowns so that all stored values are smooth from step to step.

        The Gauss-Newton method makes their high differences vanish, and the errors of the unknowns
        of second-order equations after the first step.
        """
        aux_entries = [
            ENTRIES * k + i
            for k, slot in enumerate(self.scheme.slots)
            if slot.name in self.scheme.aux
            for i in range(ENTRIES)
        ]

        def roughness(state: list[float]) -> list[float]:
            position_errors = self._position_errors(step(state), h)
            rows = [state]
            for _ in range(DIFFERENCES):
                rows.append(step(rows[-1]))
            for _ in range(DIFFERENCES):
                rows = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(rows)]
            return [*rows[0], *position_errors]

        for _ in range(3):  # steps of the method
            current = roughness(state)
            columns: list[list[float]] = []
            for i in aux_entries:
                perturbed = list(state)
                perturbed[i] += PERTURBATION
                pairs = zip(current, roughness(perturbed), strict=True)
                columns.append([(b - a) / PERTURBATION for a, b in pairs])
            normal_matrix = [[dot(one, other) for other in columns] for one in columns]
            change = solve(normal_matrix, [dot(one, current) for one in columns])
            for i, x in zip(aux_entries, change, strict=True):
                state[i] -= x.real
        return state

    def _position_errors(self, state: Sequence[float], h: float) -> list[float]:
        """The errors of second-order equations' unknowns after the first step, divided by h."""
        names = [pattern.unknown for pattern in self.scheme.patterns if pattern.order == 2]
        errors = (_errors(self.scheme, self.problem, state, name, h) for name in names)
        return [error / h for row in errors for error in row]


def _all_start_values(scheme: Scheme, problem: Problem) -> Iterator[_StartValues]:
    """The choices of initial values, in the order in which they are tried."""
    second_order = [p.unknown for p in scheme.patterns if p.order == 2]
    starts: dict[Slot, Node] = dict(scheme.starts)
    zero_starts = [a for a in scheme.aux if isinstance(starts.get(Slot(a, 0)), expr.Zero)]
    if zero_starts and second_order:
        velocities = dict(zip(zero_starts, second_order * len(zero_starts), strict=False))
        yield _StartValues(scheme, problem, velocities)
    yield _StartValues(scheme, problem, {})
    if scheme.aux:
        yield _StartValues(scheme, problem, {}, smooth=True)
