"""Symmetry as derived, against a numerical step with h followed by one with -h."""

import re

import numpy as np
import pytest

from odenet.derive import derive
from odenet.derive.symmetry import symmetry_order
from odenet.model.expressions.expr import Slot
from tests.derive.convergence import Problem
from tests.derive.literature import LITERATURE
from tests.derive.numeric import (
    SCHEMES,
    Network,
    as_vector,
    constant_values,
    read_scheme,
    step,
)

SYMMETRIC = ["midpoint", "leapfrog", "stormer_verlet", "yoshida4", "asynchronous_leapfrog",
             "asynchronous_leapfrog_in_two_lines", "velocity_verlet", "quinlan", "reversible_heun",
             "damped_midpoint", "damped_leapfrog", "damped_verlet"]  # fmt: skip


def time_reversed(scheme, state):
    """The state with the stored values of each unknown in the opposite order of time."""
    oldest = {name: min(scheme.stored_offsets(name)) for name in scheme.unknowns}
    return {slot: state[Slot(slot.name, oldest[slot.name] - slot.offset)] for slot in state}


@pytest.mark.parametrize("name", SCHEMES)
def test_a_symmetric_step_is_undone_by_a_step_back_in_time(name):
    scheme = SCHEMES[name]
    network = Network(scheme)
    rates, before = network.rates(), network.state(scheme)
    after = step(scheme, before, rates, constant_values(scheme, 0.2))
    back = step(scheme, time_reversed(scheme, after), rates, constant_values(scheme, -0.2))
    distance = np.abs(as_vector(time_reversed(scheme, back)) - as_vector(before)).max()
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


@pytest.mark.parametrize("name, order", [
    ("euler", 1), ("verlet", 1), ("heun", 3), ("kutta3", 3), ("rk4", 5), ("ruth3", 3),
    ("adams_bashforth2", 2), ("ees25", 5),
])  # fmt: skip
def test_a_step_is_undone_by_minus_h_to_the_measured_order(name, order):
    scheme = {**SCHEMES, **LITERATURE}[name]
    assert symmetry_order(scheme) == order
    problem = Problem(scheme)
    errors = []
    for h in (0.04, 0.02):
        before = problem.initial_values(h)
        after = step(scheme, before, problem.rates, constant_values(scheme, h))
        back = step(
            scheme, time_reversed(scheme, after), problem.rates, constant_values(scheme, -h)
        )
        errors.append(np.linalg.norm(as_vector(time_reversed(scheme, back)) - as_vector(before)))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.3)


def test_a_symmetric_step_is_undone_to_every_order_that_is_examined():
    assert symmetry_order(SCHEMES["midpoint"]) == symmetry_order(SCHEMES["leapfrog"]) == 8
    assert derive(SCHEMES["midpoint"]).symmetry_order is None


@pytest.mark.parametrize("sixth, third, note", [
    ("1/6", "1/3", ""), ("0.166667", "0.333333", ", to the digits given")])  # fmt: skip
def test_printed_decimals_have_the_order_of_symmetry_of_their_fractions(sixth, third, note):
    text = f"""scheme s {{
        for Y' = F(Y)
        k1 = F(Y[n])
        k2 = F(Y[n] + h/2 k1)
        k3 = F(Y[n] + h/2 k2)
        k4 = F(Y[n] + h k3)
        Y[n+1] = Y[n] + h ({sixth} k1 + {third} k2 + {third} k3 + {sixth} k4)
    }}"""
    found = derive(read_scheme(text))
    assert found.symmetry_order == 5
    assert f"a step is undone by -h to order 5{note}\n" in f"{found}\n"


def test_reversing_time_exchanges_an_unknown_and_the_one_that_holds_its_earlier_value():
    # a step of the midpoint rule, with A[n] = Y[n-1], reversed by hand
    scheme = LITERATURE["midpoint_in_aux"]
    network = Network(scheme)
    rates, before = network.rates(), network.state(scheme)
    y, a = Slot("Y", 0), Slot("A", 0)
    after = step(scheme, before, rates, constant_values(scheme, 0.2))
    back = step(scheme, {y: after[a], a: after[y]}, rates, constant_values(scheme, -0.2))
    assert np.allclose(back[y], before[a]) and np.allclose(back[a], before[y])
    assert derive(scheme).symmetric
    assert not derive(LITERATURE["robert_asselin"]).symmetric
    assert not derive(LITERATURE["averaged_velocity"]).symmetric


def test_no_order_of_symmetry_is_claimed_where_there_are_too_many_trees():
    """EES(2, 5) has order of symmetry 5, also for two coupled unknowns; with three, there are more
    trees than are examined."""
    # stage -> what its argument adds to Y[n]
    nodes = {1: "", 2: " + h/3 k1", 3: " - 5/48 h k1 + 15/16 h k2"}
    for names in ("XY", "XYZ"):
        arguments = {
            k: ", ".join(f"{u}[n]" + re.sub(r"k(\d)", rf"k\1{u}", at) for u in names)
            for k, at in nodes.items()
        }
        functions = dict(zip(names, "FGH", strict=False))
        pattern = ", ".join(f"{u}' = {f}({', '.join(names)})" for u, f in functions.items())
        lines = [f"k{k}{u} = {functions[u]}({arguments[k]})" for k in nodes for u in names]
        lines += [f"{u}[n+1] = {u}[n] + h/10 k1{u} + h/2 k2{u} + 2/5 h k3{u}" for u in names]
        text = "scheme s {\nfor " + pattern + "\n" + "\n".join(lines) + "\n}"
        assert symmetry_order(read_scheme(text)) == (5 if names == "XY" else None)
