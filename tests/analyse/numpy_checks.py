"""Does numpy contradict a certificate? Verdicts against eigenvalues, energies against rates.

Right-hand sides come from tests/analyse/oracle.py, which reads the text of the spec by itself.
"""

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from odenet.analyse import Certificate, Energy, EnergyTerm
from odenet.analyse.laurent import Scalar
from odenet.model.expressions import expr
from odenet.model.typed.program import Model
from tests.analyse.oracle import Oracle

FOUND = 1e-6  # the least distance of an eigenvalue, relative to ‖J‖, that counts
ROUNDING = 1e6 * np.finfo(float).eps  # an eigenvalue is known up to its condition times this

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
    """A certificate says what numpy refutes."""


def oracle(model: Model, certificate: Certificate, rng: Generator) -> Oracle:
    """The spec at a random point that meets the certificate's assumptions."""
    spelling = model.spellings
    taken = [a.subject for a in certificate.assumptions if a.kind in ("sign", "gain")]
    point = Oracle(model.source.text, rng, {spelling.get(name, name) for name in taken})
    point.names |= {
        name: point.names[spelt] for name, spelt in spelling.items() if spelt in point.names
    }
    return point


def check(model: Model, certificate: Certificate, rng: Generator) -> None:
    """Raise Contradiction if eigenvalues or the energy at a random point refute the certificate."""
    point = oracle(model, certificate, rng)
    if certificate.proved:
        worst = misplaced(point.jacobian, certificate.verdict)
        if worst is not None:
            raise Contradiction(f"{certificate.verdict}, but {worst} is an eigenvalue")
    rates = [part.rate for part in certificate.parts if part.rate is not None]
    if rates and len(rates) == len(certificate.parts):
        slowest = min(number(rate, point) for rate in rates)
        worst = misplaced(point.jacobian + slowest * np.eye(len(point.state)), "stable")
        if worst is not None:
            raise Contradiction(f"Re λ <= -{slowest}, but {worst - slowest} is an eigenvalue")
    if certificate.energy is not None and certificate.energy.terms:
        check_energy(certificate.energy, point)


def number(scalar: Scalar, point: Oracle) -> float:
    """The value of a number in named symbols."""
    total = 0.0
    for monomial, coefficient in scalar.terms:
        powers = [point.number(name) ** power for name, power in monomial]
        total += float(coefficient) * float(np.prod(powers))
    return total


def misplaced(matrix: ndarray, verdict: str) -> complex | None:
    """The worst eigenvalue, if it is farther off than rounding can explain."""
    norm = np.linalg.norm(matrix, 2)
    if not 1e-3 < norm < np.inf:
        return None
    values, right = np.linalg.eig(matrix)
    off = {
        "stable": values.real,
        "imaginary": abs(values.real),
        "real": np.maximum(abs(values.imag), values.real),
    }[verdict]
    worst = int(np.argmax(off))
    if off[worst] <= FOUND * norm:
        return None
    others, left = np.linalg.eig(matrix.conj().T)
    nearest = left[:, np.argmin(abs(others - values[worst].conjugate()))]
    overlap = abs(np.vdot(nearest, right[:, worst]))
    known = ROUNDING * norm / overlap if overlap > 0 else np.inf
    return complex(values[worst]) if off[worst] - known > FOUND * norm else None


def check_energy(energy: Energy, point: Oracle) -> None:
    """dE/dt = ∇E · f is zero, or not positive."""
    change = size = 0.0
    for term in energy.terms:
        factors, _, moved = parts(term, point)
        force = factors * point.change(text_of(expr.Activate(term.activation, term.argument)))[0]
        change += float(force @ moved)
        # a rate that itself is a difference of large numbers is known up to their rounding
        size += float(abs(force) @ (abs(moved) + 1e-2 * (1 + abs(moved).max())))
    if (abs(change) if energy.conserved else change) > 1e-8 * size:
        raise Contradiction(f"dE/dt = {change}, but {energy}")


def parts(term: EnergyTerm, point: Oracle) -> tuple[ndarray, ndarray, ndarray]:
    """What multiplies Ψ, its argument, and how that changes along the flow."""
    argument, moved = point.change(text_of(term.argument))
    factors = point.number(text_of(term.weight)) * np.ones(len(argument))
    for name, power in term.diagonal:
        factors = factors * np.diag(point.names[name].matrix) ** float(power)
    return factors, argument, moved


def value(energy: Energy, point: Oracle) -> float:
    """E."""
    total = 0.0
    for term in energy.terms:
        factors, argument, _ = parts(term, point)
        constants = [point.number(text_of(node)) for node in term.activation.constants]
        total += float(factors @ PRIMITIVES[term.activation.name](argument, *constants))
    return total


def text_of(node: expr.Node) -> str:
    """A formula in the words that the oracle reads."""
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
