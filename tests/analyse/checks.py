"""Does numpy contradict a certificate? Verdicts against eigenvalues, energies against rates."""

import numpy as np
from numpy.random import Generator

from odenet.analyse import Certificate, Energy
from odenet.analyse.jacobian import Evaluation
from odenet.analyse.laurent import Scalar
from odenet.analyse.sampling import Point, Size, draw, sizes
from odenet.analyse.witness import FOUND, worst_eigenvalue
from odenet.model import expr
from odenet.model.program import Model

# Ψ with Ψ' = φ, as in odenet/model/activations.py, in numpy
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
    """A certificate says what numpy refutes."""


def sample(model: Model, certificate: Certificate, rng: Generator) -> tuple[Point, Size]:
    """Random weights and input that meet the certificate's assumptions."""
    available = sizes(model)
    size = available[int(rng.integers(len(available)))]
    point = draw(model, size, rng)
    weights = dict(point.weights)
    for assumption in certificate.assumptions:
        if assumption.kind == "sign":
            weights[assumption.subject] = abs(weights[assumption.subject])
    return Point(weights, point.state, point.input), size


def check(model: Model, certificate: Certificate, rng: Generator) -> None:
    """Raise Contradiction if eigenvalues or the energy at a random point refute the certificate."""
    point, size = sample(model, certificate, rng)
    evaluation = Evaluation(model, point, size)
    rate, matrix = evaluation.rates()
    if certificate.proved:
        against = certificate.verdict
        worst = worst_eigenvalue(matrix, against)
        if worst.excess > FOUND:
            raise Contradiction(f"{certificate.verdict}, but {worst} at {size}")
    if certificate.rate is not None:
        rate_ = number(certificate.rate, model, evaluation)
        shifted = worst_eigenvalue(matrix + rate_ * np.eye(len(matrix)), "stable")
        if shifted.excess > FOUND:
            raise Contradiction(f"rate {certificate.rate}, but {shifted} at {size}")
    if certificate.energy is not None and certificate.energy.terms:
        check_energy(certificate.energy, evaluation, rate)


def number(scalar: Scalar, model: Model, evaluation: Evaluation) -> float:
    """The value of a number in named symbols."""
    known = {model.spellings.get(name, name): name for name in model.parameters}
    total = 0.0
    for monomial, coefficient in scalar.terms:
        factor = float(coefficient)
        for spelling, power in monomial:
            name = known.get(spelling, spelling)
            value_ = evaluation.weights[name] if name in known.values() else model.constants[name]
            factor *= float(np.asarray(value_, dtype=float).reshape(())) ** power
        total += factor
    return total


def check_energy(energy: Energy, evaluation: Evaluation, rate: np.ndarray) -> None:
    """dE/dt = ∇E · f is zero, or not positive."""
    slope = gradient(energy, evaluation)
    change = float(slope @ rate)
    off = abs(change) if energy.conserved else change
    # a rate that itself is a difference of large numbers is known up to their rounding
    if off > 1e-8 * float(abs(slope) @ abs(rate)) + 1e-9 * float(np.linalg.norm(slope)):
        raise Contradiction(f"dE/dt = {change}, but {energy}")


def gradient(energy: Energy, evaluation: Evaluation) -> np.ndarray:
    """∇E."""
    total = np.zeros(evaluation.unknowns)
    for term in energy.terms:
        argument = evaluation.field(term.argument)
        slope = evaluation.field(expr.Activate(term.activation, term.argument)).value
        factors = evaluation.number(term.weight) * diagonal(term.diagonal, evaluation)
        total += np.tensordot(factors * slope, argument.slope, axes=2)
    return total


def value(energy: Energy, evaluation: Evaluation) -> float:
    """E."""
    total = 0.0
    for term in energy.terms:
        name, constants = term.activation.name, term.activation.constants
        argument = evaluation.field(term.argument).value
        primitive = PRIMITIVES[name](argument, *map(evaluation.number, constants))
        factors = evaluation.number(term.weight) * diagonal(term.diagonal, evaluation)
        total += float((factors * primitive).sum())
    return total


def diagonal(powers: tuple[tuple[str, int], ...], evaluation: Evaluation) -> np.ndarray:
    """A product of powers of diagonals, a column."""
    column = np.ones((1, 1))
    for name, power in powers:
        column = column * evaluation.weights[name].reshape(-1, 1) ** float(power)
    return column
