"""Measures the order of a scheme: the slope of its error on a random nonlinear problem.

The reference solution is computed by scipy's DOP853.
"""

import numpy as np
from scipy.integrate import solve_ivp

from odenet.model.expressions import expr
from odenet.model.expressions.expr import Slot
from tests.derive.numeric import DECAY, Network, constant_values, evaluate, step

# order -> two numbers of steps on [0, 1], at which neither rounding nor higher orders dominate
STEPS = {0: (400, 800), 1: (800, 1600), 2: (100, 200), 3: (80, 160), 4: (40, 80)}


class Problem:
    """A nonlinear initial value problem for a scheme's pattern, with its solution.

    Args:
        scheme: the scheme.
        seed: the seed of the network and of the initial values.
        factor: multiplies the right-hand sides in the reference solution.
        at_rest: whether second-order equations start with the velocity 0.
    """

    def __init__(self, scheme, seed=3, factor=1.0, at_rest=False):
        self.scheme = scheme
        self.equations = scheme.equations
        # the first summand of each equation: all of one have the same unknown, order and decay
        self.patterns = tuple(summands[0] for summands in scheme.equations.values())
        self.factor = factor
        self.rates = Network(scheme, seed).rates()
        rng = np.random.default_rng(seed)
        self.start = [
            rng.normal(size=3) * (0 if k and at_rest else 1)
            for p in self.patterns
            for k in range(p.order)
        ]
        self.solutions = [self._solve(end) for end in (-1.0, 1.0)]  # before and after time 0

    def _solve(self, end):
        return solve_ivp(
            self._right_hand_side, (0, end), np.concatenate(self.start), "DOP853", rtol=3e-14, atol=1e-14,
            dense_output=True,
        ).sol  # fmt: skip

    def _right_hand_side(self, _, vector):
        values = self._unpack(vector)
        derivatives = []
        for p in self.patterns:
            rate = self.factor * sum(
                self.rates[summand.function](*(values[name, 0] for name in summand.reads))
                for summand in self.equations[p.unknown]
            )
            rate = rate - (DECAY * values[p.unknown, p.order - 1] if p.decay else 0)
            derivatives += [rate] if p.order == 1 else [values[p.unknown, 1], rate]
        return np.concatenate(derivatives)

    def _unpack(self, vector):
        names = [(p.unknown, k) for p in self.patterns for k in range(p.order)]
        return dict(zip(names, np.split(vector, len(names)), strict=True))

    def exact_values(self, time):
        """The reference solution at a time: (unknown, order of the derivative) -> value."""
        return self._unpack(self.solutions[time > 0](time))

    def initial_values(self, h, exact_start=True):
        """The stored values at time 0.

        With `exact_start`, earlier values are those of the reference solution, and so is a velocity
        with the start line 0. All others come from the start lines of the scheme.
        """
        starts = {slot: node for slot, node in self.scheme.starts}
        constants = constant_values(self.scheme, h)
        solved = [p.unknown for p in self.patterns]
        now = {Slot(name, 0): self.exact_values(0.0)[name, 0] for name in solved}
        values = {}
        for slot in self.scheme.slots:
            if slot in now:
                values[slot] = now[slot]
            elif slot.name in solved and exact_start:
                values[slot] = self.exact_values(h * slot.offset)[slot.name, 0]
            elif isinstance(starts[slot], expr.Zero) and slot.name not in solved and exact_start:
                # an auxiliary unknown that starts at 0 is the velocity of the first unknown
                first = self.patterns[0]
                values[slot] = (
                    self.exact_values(0.0)[first.unknown, 1] if first.order == 2 else np.zeros(3)
                )
            else:
                values[slot] = evaluate(starts[slot], now, self.rates, constants) + np.zeros(3)
        return values

    def error(self, steps, exact_start=True):
        """The Euclidean norm of the error of the unknowns at time 1."""
        h = 1 / steps
        numbers, state = constant_values(self.scheme, h), self.initial_values(h, exact_start)
        for _ in range(steps):
            state = step(self.scheme, state, self.rates, numbers)
        exact_end = self.exact_values(1.0)
        errors = [state[Slot(p.unknown, 0)] - exact_end[p.unknown, 0] for p in self.patterns]
        return np.linalg.norm(np.concatenate(errors))

    def convergence_slope(self, steps, exact_start=True):
        """log2 of the ratio of the errors for two numbers of steps, the second twice the first."""
        coarse, fine = (self.error(n, exact_start) for n in steps)
        return np.log2(coarse / fine)
