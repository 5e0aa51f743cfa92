"""A random initial value problem that a scheme can solve, with its solution as a Taylor series."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import cos, sin
from random import Random

from odenet.confirm.disagreement import NotEvaluable
from odenet.confirm.steps import ENTRIES, RightHandSides
from odenet.model.typed.scheme import Pattern, Scheme

TERMS = 60  # that are computed of each Taylor series
LONGEST_TIME = 2.0  # an upper bound on the final time
# Final time / radius of convergence: small enough for truncation errors below rounding errors.
SHARE_OF_RADIUS = 0.5
# The fields of `Pattern` that a problem takes into account; a pattern with another one is refused.
MODELLED_FIELDS = ("unknown", "order", "function", "reads", "decay", "summand")

Series = list[float]  # the Taylor coefficients of an entry, lowest power first


@dataclass(frozen=True)
class Problem:
    """Right-hand sides B sin(Σ A x + b), and the solution from a random start.

    Args:
        rates: the right-hand sides.
        solution: unknown -> the series of each of its entries.
    """

    rates: RightHandSides
    solution: Mapping[str, list[Series]]

    @property
    def final_time(self) -> float:
        """The time up to which the series is accurate, and at which errors are measured."""
        last = [(abs(a), k) for entries in self.solution.values() for s in entries
                for k, a in list(enumerate(s))[-10:]]  # fmt: skip
        # The inverse of the radius of convergence, by the root test.
        inverse = max(a ** (1 / k) for a, k in last)
        return min(LONGEST_TIME, SHARE_OF_RADIUS / inverse) if inverse else LONGEST_TIME

    def values_at(self, name: str, time: float, derivative: int = 0) -> list[float]:
        """The entries of an unknown, or of one of its derivatives, at a time."""
        found: list[float] = []
        for series in self.solution[name]:
            for _ in range(derivative):
                series = [k * a for k, a in enumerate(series)][1:]
            total = 0.0
            for a in reversed(series):
                total = total * time + a
            found.append(total)
        return found


def draw_problem(scheme: Scheme, values: Mapping[str, float], rng: Random) -> Problem:
    """A random problem with the equations of a scheme's `for` line, its *patterns*.

    Args:
        scheme: the scheme, as parsed.
        values: the values of its constants.
        rng: gives all random numbers.

    Raises:
        NotEvaluable: a pattern has a property that is not modelled here.
    """
    for pattern in scheme.patterns:
        if any(getattr(pattern, f.name) for f in fields(pattern) if f.name not in MODELLED_FIELDS):
            raise NotEvaluable("the pattern has more than a right-hand side")
    rates = RightHandSides.draw(scheme, rng, sin)
    orders = {pattern.unknown: pattern.order for pattern in scheme.patterns}
    if any(name not in orders for pattern in scheme.patterns for name in pattern.reads):
        raise NotEvaluable("a right-hand side reads what is not an unknown of the pattern")
    solution: dict[str, list[Series]] = {}
    for name, order in orders.items():
        solution[name] = [[rng.uniform(-1, 1) for _ in range(order)] for _ in range(ENTRIES)]
    rate_series = [_RateSeries(pattern, rates, solution) for pattern in scheme.patterns]
    for k in range(TERMS):
        for rate in rate_series:
            rate.extend(k)
        for name, patterns in scheme.equations.items():
            pattern = patterns[0]
            decay = values[pattern.decay] if pattern.decay else 0.0
            # one list for each F of Y' = F(Y) + G(Y) + …
            coefficients = [f.coefficient(k) for f in rate_series if f.pattern in patterns]
            for series, *by_function in zip(solution[name], *coefficients, strict=True):
                right_side = sum(by_function)
                if pattern.order == 1:
                    series.append((right_side - decay * series[k]) / (k + 1))
                else:
                    damping = decay * (k + 1) * series[k + 1]
                    series.append((right_side - damping) / ((k + 1) * (k + 2)))
    return Problem(rates, solution)


class _RateSeries:
    """The Taylor series of one right-hand side B sin(u) along the solution, with u = Σ A x + b.

    For s = sin(u) and c = cos(u) it follows from s' = c u', c' = -s u', coefficient by coefficient.
    `u`, `s` and `c` hold what is computed so far, a series for each entry.
    """

    def __init__(self, pattern: Pattern, rates: RightHandSides, solution: dict[str, list[Series]]):
        self.pattern = pattern
        self.arguments = [solution[name] for name in pattern.reads]
        self.inner = rates.inner[pattern.function]
        self.outer = rates.outer[pattern.function]
        self.shift = rates.shift[pattern.function]
        self.u: list[Series] = [[] for _ in range(ENTRIES)]
        self.s: list[Series] = [[] for _ in range(ENTRIES)]
        self.c: list[Series] = [[] for _ in range(ENTRIES)]

    def extend(self, k: int) -> None:
        """Compute the coefficients of order k of u, s and c."""
        for i in range(ENTRIES):
            u, s, c = self.u[i], self.s[i], self.c[i]
            u.append(
                (self.shift[i] if k == 0 else 0.0)
                + sum(
                    matrix[i][j] * argument[j][k]
                    for matrix, argument in zip(self.inner, self.arguments, strict=True)
                    for j in range(ENTRIES)
                )
            )
            if k == 0:
                s.append(sin(u[0]))
                c.append(cos(u[0]))
                continue
            s.append(sum(m * u[m] * c[k - m] for m in range(1, k + 1)) / k)
            c.append(-sum(m * u[m] * s[k - m] for m in range(1, k + 1)) / k)

    def coefficient(self, k: int) -> list[float]:
        """The coefficient of order k of the right-hand side."""
        return [sum(row[j] * self.s[j][k] for j in range(ENTRIES)) for row in self.outer]
