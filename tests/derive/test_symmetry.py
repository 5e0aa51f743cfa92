"""Symmetry derived from the text, against a step forward and one back in time."""

import numpy as np
import pytest

from odenet.derive import derive
from odenet.model.expr import Slot
from tests.derive.numeric import SCHEMES, Network, as_vector, numbers_of, read_scheme, step

SYMMETRIC = ["midpoint", "leapfrog", "stormer_verlet", "yoshida4", "asynchronous_leapfrog",
             "asynchronous_leapfrog_in_two_lines", "velocity_verlet", "quinlan", "reversible_heun",
             "damped_midpoint", "damped_leapfrog", "damped_verlet"]  # fmt: skip


def turned(scheme, state):
    """Each unknown's stored values in the opposite order."""
    oldest = {name: min(scheme.history(name)) for name in scheme.unknowns}
    return {slot: state[Slot(slot.name, oldest[slot.name] - slot.offset)] for slot in state}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_symmetric_step_is_undone_by_a_step_back_in_time(name):
    scheme = SCHEMES[name]
    network = Network(scheme)
    rates, before = network.rates(), network.state(scheme)
    after = step(scheme, before, rates, numbers_of(scheme, 0.2))
    back = step(scheme, turned(scheme, after), rates, numbers_of(scheme, -0.2))
    distance = np.abs(as_vector(turned(scheme, back)) - as_vector(before)).max()
    assert derive(scheme).symmetric == (name in SYMMETRIC)
    assert (distance < 1e-12) == (name in SYMMETRIC)


def test_numbers_that_contain_the_step_size_change_sign_with_it():
    text = """scheme s {
        for Y' = F(Z), Z' = G(Y)
        let half = h/2
        Z1     = Z[n] + half G(Y[n])
        Y[n+1] = Y[n] + h F(Z1)
        Z[n+1] = Z1 + half G(Y[n+1])
    }"""
    assert derive(read_scheme(text)).symmetric
    assert not derive(read_scheme(text.replace("Y[n] + h F", "Y[n] + h^2 F"))).symmetric


def test_nothing_is_claimed_of_a_root_of_the_step_size():
    text = "scheme s {\nfor Y' = F(Z), Z' = G(Y)\nlet r = h^(1/2)\n%s}"
    lines = "Y[n+1] = Y[n] + r F(Z[n])\nZ[n+1] = Z[n] + h G(Y[n+1])\n"
    derivation = derive(read_scheme(text % lines))
    assert derivation.reversible
    assert not derivation.symmetric
