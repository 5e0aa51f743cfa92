"""Compares certificates with numpy: the verdict with eigenvalues, the energy with its derivative.

The independent route is tests/analyse/oracle.py, which reads the text of the spec with a parser of
its own and evaluates right-hand sides and Jacobian at a random point.
"""

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from odenet.analyse import Certificate, Energy, EnergyTerm
from odenet.analyse.laurent import Scalar
from odenet.model.expressions import expr
from odenet.model.typed.program import Model
from tests.analyse.oracle import Oracle

# an eigenvalue may be this far, relative to ‖J‖, from the set that the verdict names
TOLERANCE = 1e-6
ROUNDING = 1e6 * np.finfo(float).eps  # error of an eigenvalue / (its condition number ‖J‖)

# Ψ with Ψ' = φ, as in odenet/model/tables/activations.py, in numpy
PRIMITIVES = {
    "relu": lambda x: np.maximum(x, 0) ** 2 / 2,
    "tanh": lambda x: np.logaddexp(x, -x),
    "sigmoid": lambda x: np.logaddexp(x, 0),
    "elu": lambda x: np.where(x > 0, x**2 / 2, np.exp(np.minimum(x, 0)) - 1 - x),
    "leaky_relu": lambda x, a: np.where(x > 0, x**2, a * x**2) / 2,
    "hardtanh": lambda x: np.where(abs(x) < 1, x**2 / 2, abs(x) - 0.5),
    "identity": lambda x: x**2 / 2,
    "shrink": lambda x, a: np.maximum(abs(x) - a, 0) ** 2 / 2,
    "sin": lambda x: 1 - np.cos(x),
}


class Contradiction(AssertionError):
    """A certificate states what numpy refutes."""


def oracle_at(model: Model, certificate: Certificate, rng: Generator) -> Oracle:
    """The spec at a random point that meets the assumptions of the certificate.

    Its values have the names of the text, and those of the model, which calls γ gamma.
    """
    spellings = model.spellings
    nonnegative = [a.subject for a in certificate.assumptions if a.kind in ("sign", "gain")]
    point = Oracle(model.source.text, rng, {spellings.get(name, name) for name in nonnegative})
    point.values |= {
        name: point.values[spelling]
        for name, spelling in spellings.items()
        if spelling in point.values
    }
    return point


def check_certificate(model: Model, certificate: Certificate, rng: Generator) -> None:
    """Raise Contradiction if eigenvalues or the energy at a random point refute the certificate."""
    point = oracle_at(model, certificate, rng)
    if certificate.proved:
        worst = misplaced_eigenvalue(point.jacobian, certificate.verdict)
        if worst is not None:
            raise Contradiction(f"{certificate.verdict}, but {worst} is an eigenvalue")
    decay_rates = [part.rate for part in certificate.parts if part.rate is not None]
    if decay_rates and len(decay_rates) == len(certificate.parts):
        slowest = min(scalar_value(rate, point) for rate in decay_rates)
        worst = misplaced_eigenvalue(point.jacobian + slowest * np.eye(len(point.state)), "stable")
        if worst is not None:
            raise Contradiction(f"Re λ <= -{slowest}, but {worst - slowest} is an eigenvalue")
    if certificate.energy is not None and certificate.energy.terms:
        check_energy(certificate.energy, point)


def scalar_value(scalar: Scalar, point: Oracle) -> float:
    """The value at a point of a sum of monomials in named numbers."""
    total = 0.0
    for monomial, coefficient in scalar.terms:
        powers = [point.number(name) ** power for name, power in monomial]
        total += float(coefficient) * float(np.prod(powers))
    return total


def misplaced_eigenvalue(matrix: ndarray, verdict: str) -> complex | None:
    """The eigenvalue farthest from where the verdict has it; None if rounding may explain that."""
    norm = np.linalg.norm(matrix, 2)
    if not 1e-3 < norm < np.inf:  # so small or large that rounding may explain anything
        return None
    eigenvalues, right_vectors = np.linalg.eig(matrix)
    distances = {
        "stable": eigenvalues.real,
        "imaginary": abs(eigenvalues.real),
        "real": np.maximum(abs(eigenvalues.imag), eigenvalues.real),
    }[verdict]
    worst = int(np.argmax(distances))
    if distances[worst] <= TOLERANCE * norm:
        return None
    adjoint_eigenvalues, left_vectors = np.linalg.eig(matrix.conj().T)
    nearest = left_vectors[:, np.argmin(abs(adjoint_eigenvalues - eigenvalues[worst].conjugate()))]
    overlap = abs(np.vdot(nearest, right_vectors[:, worst]))
    rounding_error = ROUNDING * norm / overlap if overlap > 0 else np.inf
    is_certain = distances[worst] - rounding_error > TOLERANCE * norm
    return complex(eigenvalues[worst]) if is_certain else None


def check_energy(energy: Energy, point: Oracle) -> None:
    """Raise Contradiction unless dE/dt = ∇E · f is zero, or not positive, as the energy states."""
    derivative = size = 0.0  # size: the sum of the absolute values that make up the derivative
    for term in energy.terms:
        factors, _, rate = term_parts(term, point)
        activation = expr.Activate(term.activation, term.argument)
        gradient = factors * point.value_and_rate(text_of(activation))[0]  # of the term
        derivative += float(gradient @ rate)
        # a rate that is a difference of large numbers has their rounding error
        size += float(abs(gradient) @ (abs(rate) + 1e-2 * (1 + abs(rate).max())))
    if (abs(derivative) if energy.conserved else derivative) > 1e-8 * size:
        raise Contradiction(f"dE/dt = {derivative}, but {energy}")


def term_parts(term: EnergyTerm, point: Oracle) -> tuple[ndarray, ndarray, ndarray]:
    """The factors of the entries of Ψ, its argument, and the argument's rate along the flow."""
    argument, rate = point.value_and_rate(text_of(term.argument))
    factors = point.number(text_of(term.coefficient)) * np.ones(len(argument))
    for name, power in term.diagonal:
        factors = factors * np.diag(point.values[name].matrix) ** float(power)
    return factors, argument, rate


def energy_value(energy: Energy, point: Oracle) -> float:
    """E at a point."""
    total = 0.0
    for term in energy.terms:
        factors, argument, _ = term_parts(term, point)
        constants = [point.number(text_of(node)) for node in term.activation.constants]
        total += float(factors @ PRIMITIVES[term.activation.name](argument, *constants))
    return total


def text_of(node: expr.Node) -> str:
    """A formula as a text that the oracle parses."""
    match node:
        case expr.Number():
            return f"({node.value})"
        case expr.Constant() | expr.LearnedScalar() | expr.LearnedOperator() | expr.Bias():
            return node.name
        case expr.State():
            return node.name + "'" * node.order
        case expr.Input():
            return "u"
        case expr.Identity():
            return "I"
        case expr.Adjoint():
            return f"({text_of(node.operand)})^T"
        case expr.Sum():
            terms = (f"{'-' if sign < 0 else '+'} {text_of(term)}" for sign, term in node.terms)
            return f"({' '.join(terms)})"
        case expr.Product() | expr.Compose():
            return f"({text_of(node.left)} {text_of(node.right)})"
        case expr.Apply():
            return f"({text_of(node.operator)} {text_of(node.operand)})"
        case expr.Quotient():
            return f"({text_of(node.numerator)} / ({text_of(node.denominator)}))"
        case expr.Hadamard():
            return f"({text_of(node.left)} * {text_of(node.right)})"
        case expr.MapCall():
            return f"{node.function.name}({text_of(node.operand)})"
        case expr.Activate():
            constants = ", ".join(map(text_of, node.activation.constants))
            name = node.activation.name + (f"({constants})" if constants else "")
            return f"{name}({text_of(node.operand)})"
    raise AssertionError(node)
