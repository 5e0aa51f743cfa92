"""A witness is a point where an eigenvalue refutes a claim; it is reproducible.

Independent route: the Jacobian of the generated torch module by autograd.
"""

import numpy as np
import pytest
import torch

import odenet
from odenet.analyse import certify, decide, search_witness
from odenet.analyse.jacobian import jacobian
from odenet.analyse.refute import LEAST_EXCESS, worst_eigenvalue
from odenet.analyse.sampling import Point, StateSize, draw_point, state_sizes
from tests.analyse.specs import load_model
from tests.analyse.test_jacobian import load_weights

BLOCK = "bn -> relu -> conv(3) -> bn -> relu -> conv(3)"
UNSTABLE = {
    "ResNet": f"state x\nmap f = {BLOCK}\nx' = f(x)\ndiscretise euler(h = 1)",
    "RevNet": f"state Y, Z\nmap f = {BLOCK}\nmap g = {BLOCK}\nY' = f(Z)\nZ' = g(Y)\n"
    "discretise verlet(h = 1)",
    "residual layer": "state Y\nparam K1, K2 : conv(3)\nY' = K2^T relu(K1 Y)\n"
    "discretise euler(h = 1)",
}
ANTISYMMETRIC = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)"
NOT_MONOTONE = "state Y, Z\nparam K : dense\nY' = silu(K Z)\nZ' = -silu(K^T Y)"


@pytest.mark.parametrize("name", UNSTABLE)
def test_residual_networks_are_refuted_and_the_flow_agrees(name: str):
    program = odenet.loads(UNSTABLE[name])
    certificate = decide(program.model)
    witness = certificate.witness
    assert certificate.verdict == "refuted" and witness is not None
    flow = program.flow(witness.channels * program.model.dynamics.input_parts, 1).double().eval()
    # only the weights of the point are read
    load_weights(flow, Point(witness.weights, state=np.zeros(0), input=witness.input))
    states = [torch.from_numpy(value)[None] for value in witness.state.values()]

    def field(*state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(flow.field(state))

    blocks = torch.autograd.functional.jacobian(field, tuple(states))
    size = states[0].numel()
    rows = [torch.cat([block.reshape(size, size) for block in row], 1) for row in blocks]
    eigenvalues = torch.linalg.eigvals(torch.cat(rows))
    assert float(abs(eigenvalues - witness.eigenvalue).min()) < 1e-6 * abs(witness.eigenvalue)
    assert witness.eigenvalue.real > 0


def test_the_same_seed_gives_the_same_witness():
    model = load_model(UNSTABLE["residual layer"])
    first, second = search_witness(model, seed=3), search_witness(model, seed=3)
    assert first is not None and second is not None
    assert first == second and first.trial == second.trial
    again = search_witness(model, trials=first.trial + 1, seed=3)
    assert again == first
    lines = "\n".join(first.lines())
    assert f"search_witness(model, trials={first.trial + 1}, seed=3)" in lines


def test_a_witness_has_all_that_its_eigenvalue_follows_from():
    model = load_model(UNSTABLE["RevNet"])
    witness = search_witness(model)
    assert witness is not None
    size = StateSize(witness.channels, witness.space)
    state = np.concatenate([value.reshape(-1) for value in witness.state.values()])
    point = Point(witness.weights, state, witness.input.reshape(-1, size.grid_points))
    eigenvalues = np.linalg.eigvals(jacobian(model, point, size))
    assert np.min(abs(eigenvalues - witness.eigenvalue)) < 1e-9
    values = witness.to_json()
    assert np.allclose(values["weights"]["f.2.weight"], witness.weights["f.2.weight"])


def test_nothing_is_found_against_a_proof():
    model = load_model(ANTISYMMETRIC)
    assert search_witness(model, trials=8, against="imaginary") is None
    assert search_witness(model, trials=8, against="stable") is None
    assert search_witness(model, trials=8, against="real") is not None


def test_a_hamiltonian_system_that_is_refuted_may_conserve_its_energy():
    # silu is not monotone: eigenvalues may be real, but the Hamiltonian is conserved all the same
    certificate = decide(load_model(NOT_MONOTONE))
    assert certificate.verdict == "refuted"
    assert certificate.energy is not None and certificate.energy.conserved


def test_hill_climbing_refutes_from_starts_that_do_not_refute():
    model = load_model(NOT_MONOTONE)
    size = state_sizes(model)[0]
    found = []
    for seed in range(8):
        start = draw_point(model, size, np.random.default_rng([seed, 0]))
        if np.linalg.eigvals(jacobian(model, start, size)).real.max() < 1e-9:
            found.append(search_witness(model, trials=1, seed=seed) is not None)
    assert True in found


def test_what_is_neither_proved_nor_refuted_stays_open():
    text = "state Y, Z\nparam K : dense\nY' = K^T tanh(Z)\nZ' = -tanh(K Y)"
    model = load_model(text)
    certificate = decide(model, trials=6)
    assert certificate.verdict == "open" and certificate.trials == 6
    assert "no counterexample in 6 trials" in str(certificate)
    assert certify(model).trials == 0


def test_rounding_is_not_taken_for_a_counterexample():
    # The eigenvalues of a Jordan block are so sensitive that an entry of 1e-14, which rounding may
    # leave, moves these of size 8 by 1e-14^(1/8) = 0.018.
    jordan_block = np.diag(np.ones(7), 1)
    jordan_block[7, 0] = 1e-14
    moved = np.abs(np.linalg.eigvals(jordan_block).real).max()
    assert moved > 0.01 > LEAST_EXCESS
    assert worst_eigenvalue(jordan_block, "imaginary").excess < LEAST_EXCESS


def test_a_jacobian_of_rounding_errors_counts_as_zero():
    assert worst_eigenvalue(1e-12 * np.eye(2), "stable").excess == 0
    assert worst_eigenvalue(np.eye(2), "stable").excess > 0.9


def test_what_is_proved_is_not_searched_for_counterexamples():
    assert decide(load_model(ANTISYMMETRIC)).trials == 0


@pytest.mark.parametrize(
    "layer", ["layernorm", "attention(2)", "attention(causal = yes)", "mlp(2)"]
)
def test_counterexamples_are_found_for_layers_of_transformers(layer):
    text = f"state Y\nmap f = layernorm -> {layer}\nY' = f(Y)\ndiscretise euler(h = 0.1)\n"
    model = odenet.loads(text).model
    witness = search_witness(model, trials=20)
    assert witness is not None and witness.eigenvalue.real > 0
