"""The derived order against convergence slopes measured on nonlinear dynamics."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from odenet.derive import derive
from odenet.derive.order import derive_order
from odenet.model import expr
from odenet.model.expr import Slot
from tests.derive.numeric import DECAY, SCHEMES, Network, numbers_of, read_scheme, step, value

ORDERS = {
    "euler": 1, "heun": 2, "rk4": 4, "verlet": 1, "stormer_verlet": 2, "midpoint": 2, "leapfrog": 2,
    "yoshida4": 4, "ruth3": 3, "reversible_rk2": 2, "asynchronous_leapfrog": 2,
    "asynchronous_leapfrog_in_two_lines": 2, "velocity_verlet": 2, "ring": 1, "quinlan": 4,
    "adams_bashforth2": 2, "kutta3": 3, "nystrom4": 4, "divided_velocity": 1, "coupled": 2,
    "damped_midpoint": 2, "damped_leapfrog": 2, "damped_verlet": 2, "explicit_decay": 1,
}  # fmt: skip
# steps over a time of 1, so that the error is neither rounding nor far from its first term
STEPS = {1: (800, 1600), 2: (100, 200), 3: (50, 100), 4: (20, 40)}


class Problem:
    """A nonlinear initial value problem for a scheme's pattern, with its solution."""

    def __init__(self, scheme, seed=3):
        self.scheme = scheme
        self.patterns = scheme.patterns
        self.network = Network(scheme, seed)
        self.rates = self.network.rates()
        draws = np.random.default_rng(seed)
        self.start = [draws.normal(size=3) for p in self.patterns for _ in range(p.order)]
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
            rate = self.rates[p.function](*(at[name, 0] for name in p.reads))
            rate = rate - (DECAY * at[p.variable, p.order - 1] if p.decay else 0)
            found += [rate] if p.order == 1 else [at[p.variable, 1], rate]
        return np.concatenate(found)

    def _unpack(self, packed):
        names = [(p.variable, k) for p in self.patterns for k in range(p.order)]
        return dict(zip(names, np.split(packed, len(names)), strict=True))

    def at(self, time):
        """(unknown, derivative) -> value."""
        return self._unpack(self.solutions[time > 0](time))

    def first(self, h):
        """Stored values on the solution; auxiliary unknowns by their start lines."""
        starts = {slot: node for slot, node in self.scheme.starts}
        exact = {p.variable for p in self.patterns}
        found = {s: self.at(h * s.offset)[s.name, 0] for s in self.scheme.slots if s.name in exact}
        now = {Slot(name, 0): found[Slot(name, 0)] for name in exact}
        for slot in self.scheme.slots:
            if slot.name in exact:
                continue
            if isinstance(starts[slot], expr.Zero):  # the velocity, which starts where it is
                found[slot] = self.at(0.0)[self.patterns[0].variable, 1]
            else:
                found[slot] = value(starts[slot], now, self.rates, numbers_of(self.scheme, h))
        return {slot: found[slot] for slot in self.scheme.slots}

    def error(self, steps):
        """The error of the unknowns after a time of 1."""
        h = 1 / steps
        numbers, state = numbers_of(self.scheme, h), self.first(h)
        for _ in range(steps):
            state = step(self.scheme, state, self.rates, numbers)
        exact = self.at(1.0)
        off = [state[Slot(p.variable, 0)] - exact[p.variable, 0] for p in self.patterns]
        return np.linalg.norm(np.concatenate(off))


@pytest.mark.parametrize("name", ORDERS)
def test_the_order_is_the_slope_of_the_error(name):
    scheme = SCHEMES[name]
    derived = derive(scheme).order
    assert derived == ORDERS[name]
    problem = Problem(scheme)
    coarse, fine = (problem.error(steps) for steps in STEPS[derived])
    assert np.log2(coarse / fine) == pytest.approx(derived, abs=0.1)


def test_a_scheme_without_a_step_size_has_no_order():
    order = derive(SCHEMES["momentum"]).accuracy
    assert order.value is None
    assert "step size" in order.reason


def test_an_unknown_that_approximates_nothing_known_leaves_the_order_open():
    order = derive(SCHEMES["heavy_ball"]).accuracy
    assert order.value is None
    assert order.reason == "the start lines do not say what v approximates"


def test_a_scheme_that_multiplies_errors_has_no_order():
    text = """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0]
        Y[n+1] = 3 Y[n] - 2 Y[n-1] - h F(Y[n])
    }"""
    assert "errors of earlier steps grow" in derive_order(read_scheme(text)).reason


def test_a_double_root_is_a_velocity_in_second_order_dynamics_only():
    text = """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0]
        Y[n+1] = 2 Y[n] - Y[n-1] + h F(Y[n]) - h F(Y[n-1])
    }"""
    assert derive_order(read_scheme(text)).value is None


@pytest.mark.parametrize("weight, order", [("1/2", 2), ("1/3", 1)])
def test_a_wrong_weight_lowers_the_order(weight, order):
    text = f"""scheme s {{
        for Y' = F(Y)
        k = F(Y[n] + h F(Y[n]))
        Y[n+1] = Y[n] + h ((1 - {weight}) F(Y[n]) + ({weight}) k)
    }}"""
    assert derive_order(read_scheme(text)).value == order


def test_a_step_of_the_wrong_length_has_order_zero():
    text = "scheme s {\nfor Y' = F(Y)\nY[n+1] = Y[n] + 2 h F(Y[n])\n}"
    assert derive_order(read_scheme(text)).value == 0


def test_the_order_holds_for_every_value_of_a_free_constant():
    text = """scheme s(a) {
        for Y' = F(Y)
        let b = 1/(2 a)
        k1 = F(Y[n])
        k2 = F(Y[n] + a h k1)
        Y[n+1] = Y[n] + (1 - b) h k1 + b h k2
    }"""
    assert derive_order(read_scheme(text)).value == 2


def test_the_order_may_depend_on_the_value_of_a_constant():
    text = """scheme s(a = 3/2) {
        for Y' = F(Y)
        start Y[-1] = Y[0] - h F(Y[0])
        Y[n+1] = Y[n] + h (a F(Y[n]) + (1 - a) F(Y[n-1]))
    }"""
    derivation = derive(read_scheme(text))
    assert derivation.order == 2
    assert derivation.order_at({"a": 1.25}).value == 1


def test_a_start_that_is_not_on_the_solution_is_noted():
    note = derive(SCHEMES["midpoint"]).accuracy.note
    assert note == "with `start Y[-1] = 0` the equation's solution is followed to order 0 only"
    text = """scheme s {
        for Y' = F(Y)
        start Y[-1] = Y[0] - h F(Y[0])
        Y[n+1] = Y[n-1] + 2 h F(Y[n])
    }"""
    assert derive(read_scheme(text)).accuracy.note == ""


def test_a_resting_start_of_second_order_dynamics_keeps_the_order():
    text = """scheme s {{
        for Y'' = F(Y)
        start Y[-1] = {start}
        Y[n+1] = 2 Y[n] - Y[n-1] + h^2 F(Y[n])
    }}"""
    good = derive(read_scheme(text.format(start="Y[0] + h^2/2 F(Y[0])"))).accuracy
    assert (good.value, good.note) == (2, "")
    assert "order 1 only" in derive(read_scheme(text.format(start="Y[0]"))).accuracy.note


def test_a_right_hand_side_at_a_far_value_has_no_order():
    text = "scheme s {\nfor Y' = F(Y)\nY[n+1] = Y[n] + h F(2 Y[n])\n}"
    order = derive_order(read_scheme(text))
    assert order.value is None
    assert order.reason == "`2 Y[n]`: this does not tend to Y as h tends to 0"


def test_order_six_is_recognised_and_said_to_be_at_least_that():
    # Yoshida 1990: the fourth-order composition, composed once more
    text = """scheme yoshida6 {
        for Y' = F(Z), Z' = G(Y)
        let u = 1 / (2 - 2^(1/3))
        let v = 1 - 2 u
        let a = 1 / (2 - 2^(1/5))
        let b = 1 - 2 a
    """
    weights = [f"{outer} {inner}" for outer in "aba" for inner in "uvu"]
    z, y = "Z[n]", "Y[n]"
    lines = []
    for i, weight in enumerate(weights):
        lines.append(f"p{i} = {z} + {weight} h/2 G({y})")
        lines.append(f"q{i} = {y} + {weight} h F(p{i})")
        lines.append(f"r{i} = p{i} + {weight} h/2 G(q{i})")
        z, y = f"r{i}", f"q{i}"
    lines += [f"Y[n+1] = {y}", f"Z[n+1] = {z}"]
    order = derive_order(read_scheme(text + "\n".join(lines) + "\n}"))
    assert str(order) == "6 or more"
