"""Convergence slopes measured on nonlinear dynamics, started on the exact solution."""

import numpy as np
from scipy.integrate import solve_ivp

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from tests.derive.numeric import DECAY, Network, numbers_of, step, value

# steps over a time of 1, so that the error is neither rounding nor far from its first term
STEPS = {0: (400, 800), 1: (800, 1600), 2: (100, 200), 3: (80, 160), 4: (40, 80)}


class Problem:
    """A nonlinear initial value problem for a scheme's pattern, with its solution.

    Args:
        scheme: its text.
        seed: of the network and of the beginning.
        factor: of the right-hand sides in the solution that errors are measured from.
        resting: whether second-order equations begin without a velocity.
    """

    def __init__(self, scheme, seed=3, factor=1.0, resting=False):
        self.scheme = scheme
        self.equations = scheme.equations
        self.patterns = tuple(parts[0] for parts in scheme.equations.values())
        self.factor = factor
        self.rates = Network(scheme, seed).rates()
        draws = np.random.default_rng(seed)
        self.start = [
            draws.normal(size=3) * (0 if k and resting else 1)
            for p in self.patterns
            for k in range(p.order)
        ]
        self.solutions = [self._solve(end) for end in (-1.0, 1.0)]

    def _solve(self, end):
        return solve_ivp(
            self._slope, (0, end), np.concatenate(self.start), "DOP853", rtol=3e-14, atol=1e-14,
            dense_output=True,
        ).sol  # fmt: skip

    def _slope(self, _, packed):
        at = self._unpack(packed)
        found = []
        for p in self.patterns:
            parts = self.equations[p.variable]
            rate = self.factor * sum(
                self.rates[part.function](*(at[name, 0] for name in part.reads)) for part in parts
            )
            rate = rate - (DECAY * at[p.variable, p.order - 1] if p.decay else 0)
            found += [rate] if p.order == 1 else [at[p.variable, 1], rate]
        return np.concatenate(found)

    def _unpack(self, packed):
        names = [(p.variable, k) for p in self.patterns for k in range(p.order)]
        return dict(zip(names, np.split(packed, len(names)), strict=True))

    def at(self, time):
        """(unknown, derivative) -> value."""
        return self._unpack(self.solutions[time > 0](time))

    def first(self, h, exact=True):
        """Stored values: history on the solution or by its start lines, the rest by these."""
        starts = {slot: node for slot, node in self.scheme.starts}
        numbers = numbers_of(self.scheme, h)
        solved = {p.variable: p.order for p in self.patterns}
        now = {Slot(name, 0): self.at(0.0)[name, 0] for name in solved}
        found = {}
        for slot in self.scheme.slots:
            if slot in now:
                found[slot] = now[slot]
            elif slot.name in solved and exact:
                found[slot] = self.at(h * slot.offset)[slot.name, 0]
            elif isinstance(starts[slot], expr.Zero) and slot.name not in solved and exact:
                first = self.patterns[0]  # the velocity, which starts where it is
                found[slot] = self.at(0.0)[first.variable, 1] if first.order == 2 else np.zeros(3)
            else:
                found[slot] = value(starts[slot], now, self.rates, numbers) + np.zeros(3)
        return found

    def error(self, steps, exact=True):
        """The error of the unknowns after a time of 1."""
        h = 1 / steps
        numbers, state = numbers_of(self.scheme, h), self.first(h, exact)
        for _ in range(steps):
            state = step(self.scheme, state, self.rates, numbers)
        end = self.at(1.0)
        off = [state[Slot(p.variable, 0)] - end[p.variable, 0] for p in self.patterns]
        return np.linalg.norm(np.concatenate(off))

    def slope(self, steps, exact=True):
        """log2 of the ratio of the errors for two numbers of steps, the second twice the first."""
        coarse, fine = (self.error(n, exact) for n in steps)
        return np.log2(coarse / fine)
