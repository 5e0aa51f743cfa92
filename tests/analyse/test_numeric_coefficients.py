"""Verdicts on linear equations with numeric coefficients, against eigenvalues from numpy."""

from collections import Counter
from fractions import Fraction
from math import prod
from random import Random

import numpy as np
import pytest

from odenet.analyse import certify
from odenet.analyse.laurent import Scalar
from tests.analyse.specs import load_model

STATES = ("X", "Y", "Z", "W")
DECAYS = ("0.001", "1/100", "0.1", "1/3", "1/2", "1", "2", "3")
DECAY_OF_ONE_STATE = "state X, P, Y\nX' = P\nP' = -3 X + Y\nY' = P - 0.001 Y\n"
SYSTEMS = 400  # number of random systems


class RandomLinearSystem:
    """A random linear system: its spec, and its matrix at a value of the learned number g.

    Args:
        rnd: source of all choices. The matrix is tridiagonal, or antisymmetric up to factors, or
            of any form.
    """

    def __init__(self, rnd: Random):
        family = rnd.choice(["tridiagonal", "tridiagonal", "antisymmetric", "any"])
        size = rnd.choice([3, 3, 3, 4]) if family == "tridiagonal" else rnd.choice([2, 2, 2, 3])
        order = 2 if size == 2 and rnd.random() < 0.2 else 1
        self.states = STATES[:size]
        coefficients = [0, 1, 2, 3, -1, -2, -3]
        entries = [[rnd.choice(coefficients) for _ in self.states] for _ in self.states]
        if family == "tridiagonal":
            entries = [[a * (abs(i - j) == 1) for j, a in enumerate(row)]
                       for i, row in enumerate(entries)]  # fmt: skip
        for i in range(size if family != "any" else 0):
            entries[i][i] = 0 if order == 1 else -abs(entries[i][i])
            for j in range(i if family == "antisymmetric" else 0):
                entries[i][j] = -rnd.choice([1, 1, 2, 3]) * entries[j][i]
        shared = rnd.choice(["", "", *DECAYS]) if rnd.random() < 0.4 else None
        own_decays = ["", "", "", *DECAYS, "a", "g"]
        decays = [rnd.choice(own_decays) if shared is None else shared for _ in self.states]
        self.lines = [self._equation(entries[i], decays[i], order, i) for i in range(size)]
        self.values = {"": Fraction(0), "a": Fraction(1, 20), "g": Fraction(rnd.choice(DECAYS))}
        damping = np.diag([float(self.values.get(d) or Fraction(d or 0)) for d in decays])
        stiffness, zero = np.array(entries, float), np.zeros((size, size))
        self.matrix = (
            stiffness - damping if order == 1
            else np.block([[zero, np.eye(size)], [stiffness, -damping]])
        )  # fmt: skip

    def _equation(self, row: list[int], decay: str, order: int, i: int) -> str:
        primes = "'" * order
        terms = [
            f"{'-' if a < 0 else '+'} {abs(a)} {state}"
            for a, state in zip(row, self.states, strict=True)
            if a
        ]
        terms += [f"- {decay} {self.states[i]}{primes[1:]}"] if decay else []
        rate = " ".join(terms).removeprefix("+ ") or f"0 {self.states[i]}"
        return f"{self.states[i]}{primes} = {rate}"

    def rate_value(self, scalar: Scalar | None) -> float:
        """The value of a proved decay rate; 0 for None."""
        total = 0.0
        for monomial, coefficient in scalar.terms if scalar else ():
            powers = [float(self.values[name]) ** float(power) for name, power in monomial]
            total += float(coefficient) * prod(powers)
        return total

    @property
    def text(self) -> str:
        """The spec, without a `discretise` line."""
        head = [f"state {', '.join(self.states)}", "param g : scalar(positive)", "let a = 1/20"]
        used = " ".join(self.lines)
        head = [line for line, name in zip(head, ("", "g ", "a "), strict=True) if name in used]
        return "\n".join([*head, *self.lines])


def largest_excess(matrix: np.ndarray, verdict: str, rate: float) -> float:
    """The largest distance of an eigenvalue from where the verdict has it, less that of rounding.

    Rounding by ε moves an eigenvalue of multiplicity k by the k-th root of ε.
    """
    values = np.linalg.eigvals(matrix)
    distances = {
        "stable": values.real + rate,
        "imaginary": np.abs(values.real),
        "real": np.maximum(np.abs(values.imag), values.real + rate),
    }[verdict]
    multiplicities = [np.sum(np.abs(values - value) < 1e-3) for value in values]
    noise = 1e-14 * np.linalg.norm(matrix)
    pairs = zip(distances, multiplicities, strict=True)
    return max(distance - max(1e-9, noise ** (1 / k)) for distance, k in pairs)


@pytest.mark.slow
def test_eigenvalues_are_where_a_certificate_says():
    proved: Counter[str] = Counter()
    for seed in range(SYSTEMS):
        system = RandomLinearSystem(Random(seed))
        certificate = certify(load_model(system.text))
        if not certificate.proved:
            continue
        proved[certificate.verdict] += 1
        rate = system.rate_value(certificate.rate)
        excess = largest_excess(system.matrix, certificate.verdict, rate)
        assert excess <= 0, f"{system.text}\n{certificate}"
    assert min(proved[kind] for kind in ("imaginary", "real", "stable")) >= 10


@pytest.mark.parametrize("decay", ["0.001", "0.01", "γ"])
def test_a_scaling_that_is_not_diagonal_needs_the_same_decay_in_all_states(decay: str):
    text = DECAY_OF_ONE_STATE.replace("0.001", decay)
    text = text.replace("\n", "\nparam γ : scalar(positive)\n", 1) if decay == "γ" else text
    assert not certify(load_model(text)).proved


def test_a_decay_of_all_states_is_split_off_before_a_scaling_is_sought():
    text = "state X, P, Y\nparam γ : scalar(positive)\n"
    text += "X' = P - γ X\nP' = -3 X + Y - γ P\nY' = P - γ Y\n"
    certificate = certify(load_model(text))
    assert certificate.verdict == "stable" and str(certificate.rate) == "γ"
