"""Runs schemes on numbers, straight from their typed lines: evidence for what is derived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from odenet.derive import Derivation
from odenet.diagnostics import Report, Source
from odenet.language import parse, tree
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.elaboration.scheme_reader import elaborate_scheme
from odenet.model.expressions import expr
from odenet.model.expressions.expr import Node, Slot
from odenet.model.typed.scheme import STEP_NUMBER, Scheme, Update

DECAY = 0.4  # of the schemes that take one out of the equation
NUMBER = 3  # of the step, where a scheme reads it
Rates = Mapping[str, Callable[..., np.ndarray]]
State = dict[Slot, np.ndarray]

USER_SCHEMES = """
scheme ruth3 {                        # Ruth 1983
    for Y' = F(Z), Z' = G(Y)
    Z1     = Z[n] + 7 h/24 G(Y[n])
    Y1     = Y[n] + 2 h/3 F(Z1)
    Z2     = Z1 + 3 h/4 G(Y1)
    Y2     = Y1 - 2 h/3 F(Z2)
    Z[n+1] = Z2 - h/24 G(Y2)
    Y[n+1] = Y2 + h F(Z[n+1])
}
scheme reversible_rk2(λ = 0.99) {     # McCallum & Foster 2024, around the explicit midpoint rule
    for Y' = F(Y)
    aux Z
    start Z[0] = Y[0]
    k1     = F(Z[n])
    k2     = F(Z[n] + h/2 k1)
    Y[n+1] = λ Y[n] + (1 - λ) Z[n] + h k2
    l1     = F(Y[n+1])
    l2     = F(Y[n+1] - h/2 l1)
    Z[n+1] = Z[n] + h l2
}
scheme asynchronous_leapfrog {        # Zhuang et al. 2021 (MALI)
    for x' = f(x)
    aux v
    start v[0] = f(x[0])
    x1     = x[n] + h/2 v[n]
    u      = f(x1)
    v[n+1] = 2 u - v[n]
    x[n+1] = x1 + h/2 v[n+1]
}
scheme asynchronous_leapfrog_in_two_lines {
    for x' = f(x)
    aux v
    start v[0] = f(x[0])
    let a  = h/2
    v[n+1] = 2 f(x[n] + h/2 v[n]) - v[n]
    x[n+1] = x[n] + a v[n] + a v[n+1]
}
scheme velocity_verlet {
    for Y'' = F(Y)
    aux V
    start V[0] = 0
    V1     = V[n] + h/2 F(Y[n])
    Y[n+1] = Y[n] + h V1
    V[n+1] = V1 + h/2 F(Y[n+1])
}
scheme ring {                         # three unknowns, each read by the next
    for A' = F(B), B' = G(C), C' = H(A)
    A[n+1] = A[n] + h F(B[n])
    B[n+1] = B[n] + h G(C[n])
    C[n+1] = C[n] + h H(A[n+1])
}
scheme quinlan {                      # a four-step method of second differences, order 4
    for Y'' = F(Y)
    start Y[-1] = 0
    start Y[-2] = 0
    start Y[-3] = 0
    Y[n+1] = 2 Y[n] - 2 Y[n-1] + 2 Y[n-2] - Y[n-3] + h^2/6 (7 F(Y[n]) - 2 F(Y[n-1]) + 7 F(Y[n-2]))
}
scheme heavy_ball(γ = 0.9) {
    for x' = f(x)
    aux v
    start v[0] = 0
    v[n+1] = γ v[n] + h (1 - γ) f(x[n])
    x[n+1] = x[n] + v[n+1]
}
scheme adams_bashforth2 {
    for Y' = F(Y)
    start Y[-1] = Y[0] - h F(Y[0])
    Y[n+1] = Y[n] + h/2 (3 F(Y[n]) - F(Y[n-1]))
}
scheme kutta3 {
    for Y' = F(Y)
    k1 = F(Y[n])
    k2 = F(Y[n] + h/2 k1)
    k3 = F(Y[n] - h k1 + 2 h k2)
    Y[n+1] = Y[n] + h/6 (k1 + 4 k2 + k3)
}
scheme nystrom4 {                     # Hairer, Nørsett & Wanner, II.14: three evaluations, order 4
    for Y'' = F(Y)
    aux V
    start V[0] = 0
    k1 = F(Y[n])
    k2 = F(Y[n] + h/2 V[n] + h^2/8 k1)
    k3 = F(Y[n] + h V[n] + h^2/2 k2)
    Y[n+1] = Y[n] + h V[n] + h^2/6 (k1 + 2 k2)
    V[n+1] = V[n] + h/6 (k1 + 4 k2 + k3)
}
scheme divided_velocity {
    for Y'' = F(Y)
    aux V
    start V[0] = 0
    Y[n+1] = Y[n] + h V[n] + h^2/2 F(Y[n])
    V[n+1] = 2 (Y[n+1] - Y[n])/h - V[n]
}
scheme explicit_decay {
    for Y' = F(Y) - γ Y
    Y[n+1] = (1 - γ h) Y[n] + h F(Y[n])
}
scheme coupled {                      # both unknowns read both
    for Y' = F(Y, Z), Z' = G(Y, Z)
    k1 = F(Y[n], Z[n])
    l1 = G(Y[n], Z[n])
    k2 = F(Y[n] + h/2 k1, Z[n] + h/2 l1)
    l2 = G(Y[n] + h/2 k1, Z[n] + h/2 l1)
    Y[n+1] = Y[n] + h k2
    Z[n+1] = Z[n] + h l2
}
"""


def read_schemes(text: str) -> list[Scheme]:
    """The schemes of a text."""
    report = Report()
    found = [
        elaborate_scheme(b, report)
        for b in parse(Source("test", text), report).statements_of(tree.Scheme)
    ]
    report.raise_if_errors()
    return [scheme for scheme in found if scheme is not None]


def read_scheme(text: str) -> Scheme:
    """The one scheme of a text."""
    (scheme,) = read_schemes(text)
    return scheme


SCHEMES = {s.name: s for s in [*map(library_scheme, library_names()), *read_schemes(USER_SCHEMES)]}


def value(
    node: Node, fields: Mapping[Node, np.ndarray], rates: Rates, numbers: Mapping[str, float]
):
    """An expression of a scheme, on arrays."""

    def at(inner: Node):
        return value(inner, fields, rates, numbers)

    match node:
        case expr.Number():
            return float(node.value)
        case expr.Constant():
            return numbers[node.name]
        case expr.Slot() | expr.Stage():
            return fields[node]
        case expr.Zero():
            return 0.0
        case expr.Sum():
            return sum(sign * at(term) for sign, term in node.terms)
        case expr.Product():
            return at(node.left) * at(node.right)
        case expr.Quotient():
            return at(node.numerator) / at(node.denominator)
        case expr.Power():
            return at(node.base) ** at(node.exponent)
        case expr.Exp():
            return np.exp(at(node.exponent))
        case expr.Rate():
            return rates[node.function](*(at(argument) for argument in node.arguments))
    raise AssertionError(node)


def numbers_of(scheme: Scheme, h: float, **constants: float) -> dict[str, float]:
    """h, the scheme's constants (defaults where not given) and its lets."""
    known = {"h": h, **constants}
    for name, node in (*scheme.constants, *scheme.lets):
        if name in scheme.decays:
            known.setdefault(name, DECAY)
        elif name == STEP_NUMBER:
            known.setdefault(name, NUMBER)
        elif name not in known:
            known[name] = value(node, {}, {}, known)
    return known


def run(updates: Iterable[Update], fields: dict[Node, np.ndarray], rates, numbers) -> dict:
    """The lines top to bottom."""
    for update in updates:
        fields[update.target] = value(update.value, fields, rates, numbers)
    return fields


def step(scheme: Scheme, state: State, rates: Rates, numbers: Mapping[str, float]) -> State:
    """One step by the author's lines."""
    fields = run(scheme.updates, dict(state), rates, numbers)
    return {slot: fields[Slot(slot.name, slot.offset + 1)] for slot in scheme.slots}


def unstep(derivation: Derivation, state: State, rates: Rates, numbers) -> State:
    """One step back by the derived lines."""
    fields = {Slot(slot.name, slot.offset + 1): x for slot, x in state.items()}
    fields = run(derivation.inverse, fields, rates, numbers)
    return {slot: fields[slot] for slot in derivation.scheme.slots}


def shear(derivation: Derivation, state: State, rates: Rates, numbers) -> State:
    """One step by the derived shears, in place, then the change of places."""
    held = dict(state)
    for one in derivation.shears:
        assert one.target not in {n for _, rate in one.rate_terms for n in rate.walk()}
        assert one.target not in {slot for _, slot in one.linear_terms}
        held[one.target] = value(one.expression(), held, rates, numbers)
    return {derivation.relabel.get(slot, slot): x for slot, x in held.items()}


class Network:
    """Smooth nonlinear right-hand sides that do not commute; second-order ones as well.

    Args:
        scheme: which functions are needed.
        seed: of the weights.
        width: of each unknown.
    """

    def __init__(self, scheme: Scheme, seed: int = 0, width: int = 3):
        draws = np.random.default_rng(seed)
        self.width = width
        self.weights = {
            p.function: (
                draws.normal(size=(len(p.reads), width, width)) / np.sqrt(width),
                draws.normal(size=(width, width)),
                draws.normal(size=width),
            )
            for p in scheme.patterns
        }

    def rates(self) -> Rates:
        """function -> A2 tanh(Σ A1 x + b)."""
        return {name: self._rate(*weights) for name, weights in self.weights.items()}

    @staticmethod
    def _rate(inner: np.ndarray, outer: np.ndarray, shift: np.ndarray):
        def rate(*arguments: np.ndarray) -> np.ndarray:
            inside = sum(a @ x for a, x in zip(inner, arguments, strict=True)) + shift
            return outer @ np.tanh(inside)

        return rate

    def state(self, scheme: Scheme, seed: int = 1) -> State:
        """Random stored values."""
        draws = np.random.default_rng(seed)
        return {slot: draws.normal(size=self.width) for slot in scheme.slots}


def as_vector(state: State) -> np.ndarray:
    """All stored values one after the other."""
    return np.concatenate(list(state.values()))


def as_state(vector: np.ndarray, like: State) -> State:
    """The stored values back."""
    parts = np.split(vector, len(like))
    return dict(zip(like, parts, strict=True))


def jacobian(function: Callable[[State], State], state: State) -> np.ndarray:
    """The derivative of a step by complex steps, exact to rounding."""
    at = as_vector(state).astype(complex)
    columns = []
    for i in range(len(at)):
        moved = at.copy()
        moved[i] += 1e-30j
        columns.append(as_vector(function(as_state(moved, state))).imag / 1e-30)
    return np.array(columns).T


def matrix(scheme: Scheme, rates: Mapping[str, tuple[complex, ...]], h: float, **constants: float):
    """One step on linear equations, column by column from the author's lines."""
    numbers = numbers_of(scheme, h, **constants)
    linear = {name: _linear(c) for name, c in rates.items()}
    columns = []
    for one in scheme.slots:
        state = {slot: np.array(complex(slot == one)) for slot in scheme.slots}
        columns.append([complex(x) for x in step(scheme, state, linear, numbers).values()])
    return np.array(columns).T


def _linear(coefficients: tuple[complex, ...]):
    return lambda *arguments: sum(c * a for c, a in zip(coefficients, arguments, strict=True))
