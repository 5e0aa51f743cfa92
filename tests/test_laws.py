"""The laws that `odenet check` measures on a built flow: they hold, and planted faults are found.

They are: transposes are adjoint to their operators, a step is undone by its inverse, both ways to the
gradient agree, a conserved energy drifts at the order of the scheme, eigenvalues lie where proved.
"""

import math

import pytest
import torch

import odenet
from odenet import laws, measures
from odenet.json_text import to_json
from odenet.runtime import Flow

HAMILTONIAN = """state Y, Z
param K1, K2 : {operator}
Y' = K1^T tanh(K1 Z)
Z' = -K2^T tanh(K2 Y)
discretise yoshida4(h = 0.1)
net = input({shape}) -> flow(2) -> mean
"""
DROPOUT = """state x
map f = gn(2) -> relu -> dropout(0.3) -> conv(3)
x' = f(x)
discretise momentum(γ = 0.8)
"""


def measured_laws(text):
    """The laws by their names, measured on a flow of this spec."""
    return {law.name: law for law in laws.measure(odenet.loads(text))}


@pytest.mark.parametrize(
    ("operator", "shape"),
    [("conv(3)", "4, 9"), ("conv(3, groups = 2)", "8, 6, 6"), ("depthwise(3)", "4, 4, 4, 4")],
)
def test_all_laws_hold_of_a_proved_system_in_any_dimension(operator, shape):
    measured = measured_laws(HAMILTONIAN.format(operator=operator, shape=shape))
    assert list(measured) == ["adjoints", "round trip", "gradient", "energy", "spectrum"]
    assert all(law.holds for law in measured.values())
    assert measured["energy"].measured == pytest.approx(4, abs=0.5)  # the order of yoshida4


def test_both_gradients_are_taken_with_the_same_dropout():
    assert measured_laws(DROPOUT)["gradient"].measured < 1e-12


GRADIENT_FLOW = "state Y\nparam K : dense\nY' = -K^T tanh(K Y)\ndiscretise euler(h = 0.1)\n"
LINEAR = "state Y, Z\nlet a = 2\nlet b = -1\nY' = b Z\nZ' = a Y\ndiscretise verlet(h = 0.1)\n"
SMALL_SPECS = {
    "symmetric Jacobian": GRADIENT_FLOW,
    "second order": (
        "state Y\nparam K : dense\nY'' = -K^T tanh(K Y)\ndiscretise leapfrog(h = 0.1)\n"
    ),
    "linear, nothing learned": LINEAR,
    "decay, nothing learned": "state Z\nZ' = -Z\ndiscretise midpoint(h = 0.1)\n",
    "bias alone": "state Z\nparam b : bias\nZ' = b\ndiscretise midpoint(h = 0.1)\n",
    "a chain of two": "state Y, Z\nparam b : bias\nY' = Z\nZ' = b\ndiscretise verlet(h = 0.1)\n",
    "zero": "state Z\nZ' = 0\ndiscretise asynchronous_leapfrog(h = 0.1)\n",
    "bias, auxiliary velocity": (
        "state Z\nparam b : bias\nZ' = b\ndiscretise asynchronous_leapfrog(h = 0.1)\n"
    ),
    "learned initial value": (
        "state Z\nparam b : bias\nZ' = -Z\nZ(0) = b\ndiscretise midpoint(h = 0.1)\n"
    ),
    "input alone": "state Z\nZ' = u\ndiscretise midpoint(h = 0.1)\n",
    "a state at rest": (
        "state Y, Z\nparam K : dense\nY' = 0\nZ' = tanh(K Y)\ndiscretise midpoint(h = 0.1)\n"
    ),
    # Of these two the verdict is conditional: the learned numbers must not be negative.
    "negative decay": "state Z\nparam g : scalar(init = -1)\nZ' = -g Z\ndiscretise rk4(h = 0.1)\n",
    "decays of 0": "state Z\nparam d : diag(init = zeros)\nZ' = -d Z\ndiscretise rk4(h = 0.1)\n",
}


@pytest.mark.parametrize("text", SMALL_SPECS.values(), ids=SMALL_SPECS)
def test_the_laws_hold_of_minimal_flows(text):
    measured = measured_laws(text)
    assert measured["spectrum"].holds
    assert all(law.holds for law in measured.values())


def test_the_flow_without_parameters_has_a_gradient_by_its_input():
    assert measured_laws(LINEAR)["gradient"].measured < 1e-12


@pytest.mark.parametrize("h", ["1e6", "1e19", "1e100", "1e300"])
def test_steps_too_long_to_be_undone_are_reported_as_not_measured(h):
    text = HAMILTONIAN.format(operator="conv(3)", shape="4, 9").replace("h = 0.1", f"h = {h}")
    measured = measured_laws(text.replace("yoshida4", "verlet"))
    assert measured["round trip"].holds is None and measured["gradient"].holds is None
    assert measured["energy"].holds and measured["spectrum"].holds
    assert "not measured" in measured["round trip"].text
    assert '"measured": null' in to_json(measured["round trip"].to_json())


def test_the_spectrum_of_a_second_order_equation_is_that_of_its_right_hand_side():
    text = "state Y\nparam K : dense\nY'' = -K^T tanh(K Y)\ndiscretise leapfrog(h = 0.1)\n"
    flow = odenet.loads(text).flow(channels=4, steps=1)
    values = flow.spectrum(torch.randn(1, 4, 2, 2))
    assert values.is_complex()
    assert bool((values.real <= 0).all())  # the Jacobian is -K^T D K with D >= 0


def test_an_inverse_that_is_slightly_wrong_is_found(monkeypatch):
    exact_inverse = Flow.inverse
    monkeypatch.setattr(
        Flow, "inverse", lambda self, end: [x * (1 + 1e-9) for x in exact_inverse(self, end)]
    )
    assert not measured_laws(DROPOUT)["round trip"].holds


def test_only_the_transpose_of_a_matrix_has_no_gap():
    A = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    x, y = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    assert measures.adjoint_gap(lambda v: A @ v, lambda v: A.T @ v, x, y) == 0
    assert measures.adjoint_gap(lambda v: A @ v, lambda v: A @ v, x, y) == 1
    assert measures.adjoint_gap(lambda v: A @ v, lambda v: v[:1], x, y) == math.inf


def test_measured_gradients_leave_the_flow_and_the_random_numbers_as_they_were():
    flow = odenet.loads(DROPOUT).flow(channels=4, steps=3).double().train()
    u = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    memory_before, rng_state_before = flow.memory, torch.get_rng_state()
    stored, recomputed = (
        measures.output_and_gradients(flow, u, memory) for memory in ("stored", "reversible")
    )
    assert flow.memory == memory_before and torch.equal(torch.get_rng_state(), rng_state_before)
    assert all(torch.allclose(recomputed[name], stored[name]) for name in stored)
    assert u.grad is None and all(p.grad is None for p in flow.parameters())


@pytest.mark.parametrize(
    "constants", ["γ = [0.9, 0.8, 1.1]", "γ = learned(0.9)", "γ = ramp(0, 0.9, epochs = 2)"]
)
def test_the_laws_hold_of_steps_with_different_constants(constants):
    text = f"state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\ndiscretise momentum({constants})\n"
    measured = measured_laws(text)
    assert {"round trip", "gradient"} <= measured.keys()
    assert all(law.holds for law in measured.values())
    assert "energy" not in measured
