"""E and dE/dt are true as they are printed: the printed dE/dt is the derivative of the printed E.

The text is evaluated by tests/analyse/printed_energy.py, with the right-hand sides of the oracle.
"""

from random import Random

import numpy as np
import pytest

from odenet.analyse import certify
from tests.analyse.literature import ROWS
from tests.analyse.oracle import Oracle
from tests.analyse.printed_energy import PrintedEnergy
from tests.analyse.specs import RandomSpec, load_model

K = "state Y\nparam K : dense\nparam b : bias\n"
# An energy needs no proved spectrum: it is enough that the right-hand side is a gradient.
EXAMPLES = {
    "a slope moved": f"{K}Y' = -K^T (gelu(K Y + b) + 0.2 K Y)",
    "a slope outweighed": "state Y\nY' = -1.13 Y + gelu(Y)",
    "a decay": "state Y\nY' = -2 Y + relu(Y)",
    "a decay and a weight": f"{K}param d : diag\nY' = -d (K^T tanh(K Y + b) + 3 Y)",
    "two activations of one argument": f"{K}Y' = -K^T (tanh(K Y + b) + relu(K Y + b))",
    "two activations, spectrum not proved": "state Y\nY' = -0.25 Y + (shrink(0.1)(Y) - leaky_relu(2)(Y))",
    "spectrum not proved": "state Y\nparam K : dense\nY' = -Y + K^T tanh(K Y)",
    "spectrum not proved, conserved": "state Y\nparam K : dense\nY'' = -K^T sin(K Y)",
    "spectrum refuted": "state Y\nparam K : dense\nY' = K^T tanh(K Y) + Y",
    "blocks": "state Y, Z\nparam K : dense\nY' = -K^T tanh(K Y)\nZ' = -2 Z",
    "an inverse weight": "state Y\nparam K : dense\nparam d : diag\nY' = d (K - K^T) tanh(Y)",
    "a chain": f"{K}Y' = -K^T relu(2 tanh(K Y) + b) - K^T K Y",
}
TEXTS = EXAMPLES | {row.name: row.text for row in ROWS}
SEEDS = range(30)


def has_true_energy(text: str) -> bool:
    """Whether a spec has an energy; where it has one, asserts that it is true as it is printed."""
    certificate = certify(load_model(text))
    if certificate.energy is None:
        return False
    printed = PrintedEnergy(str(certificate))
    nonnegative = [condition.removesuffix(" ≥ 0") for condition in certificate.conditions]
    for seed in range(3):
        point = Oracle(text, np.random.default_rng(seed), nonnegative)
        derivative, size = printed.derivative(point)
        stated = printed.stated_derivative(point)
        assert abs(derivative - stated) <= 1e-8 * (size + abs(stated)), str(certificate)
        assert stated <= 0 and (printed.nonincreasing or stated == 0)
    return True


@pytest.mark.parametrize("name", TEXTS)
def test_an_energy_is_true_as_it_is_printed(name: str):
    assert has_true_energy(TEXTS[name]) or name not in EXAMPLES  # the literature has some without


def test_energies_of_random_specs_are_true_as_they_are_printed():
    assert sum(has_true_energy(RandomSpec(Random(seed)).text()) for seed in SEEDS) >= 5


def test_an_energy_that_divides_by_a_diagonal_says_so():
    certificate = certify(load_model(EXAMPLES["an inverse weight"]))
    assert certificate.conditions == ("d ≥ 0",)
    assert str(certificate.energy) == "E = 1ᵀd⁻¹ Ψ(Y),  dE/dt = 0 for d > 0"


def test_the_short_text_of_an_energy_leaves_definitions_out():
    text = "state Y, Z\nparam K : dense\nY' = K^T relu(K Z)\nZ' = -K^T relu(K Y)"
    energy = certify(load_model(text)).energy
    assert energy is not None and str(energy) == "E = 1ᵀΨ(K Z) + 1ᵀΨ(K Y),  dE/dt = 0"
    assert energy.full_text == f"{energy}, with Ψ' = relu"
