"""E and dE/dt are true as they are printed, of the units that the text names."""

from random import Random

import numpy as np
import pytest

from odenet.analyse import certify
from tests.analyse.literature import ROWS
from tests.analyse.oracle import Oracle
from tests.analyse.printed_energy import Printed
from tests.analyse.specs import Drawn, model

K = "state Y\nparam K : dense\nparam b : bias\n"
CUT_OTHERWISE = {
    "a slope moved": f"{K}Y' = -K^T (gelu(K Y + b) + 0.2 K Y)",
    "a slope outweighed": "state Y\nY' = -1.13 Y + gelu(Y)",
    "a decay": "state Y\nY' = -2 Y + relu(Y)",
    "a decay and a weight": f"{K}param d : diag\nY' = -d (K^T tanh(K Y + b) + 3 Y)",
    "two activations of one argument": f"{K}Y' = -K^T (tanh(K Y + b) + relu(K Y + b))",
    "two activations, none proved": "state Y\nY' = -0.25 Y + (shrink(0.1)(Y) - leaky_relu(2)(Y))",
    "nothing proved": "state Y\nparam K : dense\nY' = -Y + K^T tanh(K Y)",
    "nothing proved, conserved": "state Y\nparam K : dense\nY'' = -K^T sin(K Y)",
    "refuted": "state Y\nparam K : dense\nY' = K^T tanh(K Y) + Y",
    "blocks": "state Y, Z\nparam K : dense\nY' = -K^T tanh(K Y)\nZ' = -2 Z",
    "an inverse weight": "state Y\nparam K : dense\nparam d : diag\nY' = d (K - K^T) tanh(Y)",
    "a chain": f"{K}Y' = -K^T relu(2 tanh(K Y) + b) - K^T K Y",
}
TEXTS = CUT_OTHERWISE | {row.name: row.text for row in ROWS}
SEEDS = range(30)


def check(text: str) -> bool:
    """Whether there is an energy, which is true as it is printed."""
    found = certify(model(text))
    if found.energy is None:
        return False
    printed = Printed(str(found))
    positive = [condition.removesuffix(" ≥ 0") for condition in found.conditions]
    for seed in range(3):
        point = Oracle(text, np.random.default_rng(seed), positive)
        change, size = printed.change(point)
        stated = printed.stated(point)
        assert abs(change - stated) <= 1e-8 * (size + abs(stated)), str(found)
        assert stated == 0 if not printed.falls else stated <= 0
    return True


@pytest.mark.parametrize("name", TEXTS)
def test_an_energy_is_true_as_it_is_printed(name: str):
    assert check(TEXTS[name]) or name not in CUT_OTHERWISE


def test_energies_of_drawn_specs_are_true_as_they_are_printed():
    assert sum(check(Drawn(Random(seed)).text()) for seed in SEEDS) >= 5


def test_an_energy_that_divides_by_a_diagonal_says_so():
    found = certify(model(CUT_OTHERWISE["an inverse weight"]))
    assert found.conditions == ("d ≥ 0",)
    assert str(found.energy) == "E = 1ᵀd⁻¹ Ψ(Y),  dE/dt = 0 for d > 0"


def test_a_proof_of_the_same_units_is_not_repeated():
    text = "state Y, Z\nparam K : dense\nY' = K^T relu(K Z)\nZ' = -K^T relu(K Y)"
    energy = certify(model(text)).energy
    assert energy is not None and str(energy) == "E = 1ᵀΨ(K Z) + 1ᵀΨ(K Y),  dE/dt = 0"
    assert energy.full_text == f"{energy}, with Ψ' = relu"
