"""Runs schemes on numbers, line by line as they are written: an oracle for what odenet.derive derives.

A rate is a right-hand side, such as F in Y' = F(Y); a slot is a stored value, such as Y[n-1].
"""

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

DECAY = 0.4  # γ, for schemes of Y' = F(Y) - γ Y
STEP_NUMBER_VALUE = 3  # n, for schemes whose coefficients depend on it
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
    schemes = [
        elaborate_scheme(block, report)
        for block in parse(Source("test", text), report).statements_of(tree.Scheme)
    ]
    report.raise_if_errors()
    return [scheme for scheme in schemes if scheme is not None]


def read_scheme(text: str) -> Scheme:
    """The one scheme of a text."""
    (scheme,) = read_schemes(text)
    return scheme


SCHEMES = {s.name: s for s in [*map(library_scheme, library_names()), *read_schemes(USER_SCHEMES)]}


def evaluate(
    node: Node, values: Mapping[Node, np.ndarray], rates: Rates, numbers: Mapping[str, float]
):
    """The value of an expression, from the values of slots and stages, rates and constants."""

    def evaluate_inner(inner: Node):
        return evaluate(inner, values, rates, numbers)

    match node:
        case expr.Number():
            return float(node.value)
        case expr.Constant():
            return numbers[node.name]
        case expr.Slot() | expr.Stage():
            return values[node]
        case expr.Zero():
            return 0.0
        case expr.Sum():
            return sum(sign * evaluate_inner(term) for sign, term in node.terms)
        case expr.Product():
            return evaluate_inner(node.left) * evaluate_inner(node.right)
        case expr.Quotient():
            return evaluate_inner(node.numerator) / evaluate_inner(node.denominator)
        case expr.Power():
            return evaluate_inner(node.base) ** evaluate_inner(node.exponent)
        case expr.Exp():
            return np.exp(evaluate_inner(node.exponent))
        case expr.Rate():
            return rates[node.function](*(evaluate_inner(argument) for argument in node.arguments))
    raise AssertionError(node)


def constant_values(scheme: Scheme, h: float, **constants: float) -> dict[str, float]:
    """name -> number: h, the scheme's constants (defaults where not given) and its lets."""
    values = {"h": h, **constants}
    for name, node in (*scheme.constants, *scheme.lets):
        if name in scheme.decays:
            values.setdefault(name, DECAY)
        elif name == STEP_NUMBER:
            values.setdefault(name, STEP_NUMBER_VALUE)
        elif name not in values:
            values[name] = evaluate(node, {}, {}, values)
    return values


def run_lines(updates: Iterable[Update], values: dict[Node, np.ndarray], rates, numbers) -> dict:
    """Evaluate the lines from top to bottom; the values with those of the lines added."""
    for update in updates:
        values[update.target] = evaluate(update.value, values, rates, numbers)
    return values


def step(scheme: Scheme, state: State, rates: Rates, numbers: Mapping[str, float]) -> State:
    """One step, by the lines of the scheme."""
    values = run_lines(scheme.updates, dict(state), rates, numbers)
    return {slot: values[Slot(slot.name, slot.offset + 1)] for slot in scheme.slots}


def step_back(derivation: Derivation, state: State, rates: Rates, numbers) -> State:
    """One step back, by the lines of the derived inverse."""
    values = {Slot(slot.name, slot.offset + 1): x for slot, x in state.items()}
    values = run_lines(derivation.inverse, values, rates, numbers)
    return {slot: values[slot] for slot in derivation.scheme.slots}


def step_by_shears(derivation: Derivation, state: State, rates: Rates, numbers) -> State:
    """One step by the derived shears, each changing one value in place, then the renaming of slots."""
    values = dict(state)
    for shear in derivation.shears:
        assert shear.target not in {n for _, rate in shear.rate_terms for n in rate.walk()}
        assert shear.target not in {slot for _, slot in shear.linear_terms}
        values[shear.target] = evaluate(shear.expression(), values, rates, numbers)
    return {derivation.relabel.get(slot, slot): x for slot, x in values.items()}


class Network:
    """Random right-hand sides A2 tanh(Σ A1 x + b), smooth and nonlinear, for all functions of a scheme.

    Args:
        scheme: its patterns say which functions are needed.
        seed: the seed of the weights.
        width: the number of entries of each unknown.
    """

    def __init__(self, scheme: Scheme, seed: int = 0, width: int = 3):
        rng = np.random.default_rng(seed)
        self.width = width
        self.weights = {
            pattern.function: (
                rng.normal(size=(len(pattern.reads), width, width)) / np.sqrt(width),
                rng.normal(size=(width, width)),
                rng.normal(size=width),
            )
            for pattern in scheme.patterns
        }

    def rates(self) -> Rates:
        """function -> A2 tanh(Σ A1 x + b)."""
        return {name: self._tanh_layer(*weights) for name, weights in self.weights.items()}

    @staticmethod
    def _tanh_layer(inner: np.ndarray, outer: np.ndarray, bias: np.ndarray):
        def layer(*arguments: np.ndarray) -> np.ndarray:
            inside = sum(a @ x for a, x in zip(inner, arguments, strict=True)) + bias
            return outer @ np.tanh(inside)

        return layer

    def state(self, scheme: Scheme, seed: int = 1) -> State:
        """Random stored values."""
        rng = np.random.default_rng(seed)
        return {slot: rng.normal(size=self.width) for slot in scheme.slots}


def as_vector(state: State) -> np.ndarray:
    """All stored values one after the other."""
    return np.concatenate(list(state.values()))


def as_state(vector: np.ndarray, template: State) -> State:
    """The stored values that a vector holds, with the slots of the template."""
    parts = np.split(vector, len(template))
    return dict(zip(template, parts, strict=True))


def jacobian(function: Callable[[State], State], state: State) -> np.ndarray:
    """The Jacobian of a step by complex-step differentiation, exact to rounding."""
    point = as_vector(state).astype(complex)
    columns = []
    for i in range(len(point)):
        perturbed = point.copy()
        perturbed[i] += 1e-30j
        columns.append(as_vector(function(as_state(perturbed, state))).imag / 1e-30)
    return np.array(columns).T


def step_matrix(
    scheme: Scheme, rates: Mapping[str, tuple[complex, ...]], h: float, **constants: float
):
    """The matrix of one step on linear equations, column by column by the lines of the scheme.

    Args:
        scheme: the scheme.
        rates: function -> its coefficient of each argument.
        h: the step size.
        **constants: constants of the scheme that do not have their default values.
    """
    numbers = constant_values(scheme, h, **constants)
    linear_rates = {name: _linear(c) for name, c in rates.items()}
    columns = []
    for unit_slot in scheme.slots:
        state = {slot: np.array(complex(slot == unit_slot)) for slot in scheme.slots}
        columns.append([complex(x) for x in step(scheme, state, linear_rates, numbers).values()])
    return np.array(columns).T


def _linear(coefficients: tuple[complex, ...]):
    return lambda *arguments: sum(c * a for c, a in zip(coefficients, arguments, strict=True))
