"""Flows that torchdiffeq solves with adaptive steps, against fixed schemes with tiny steps."""

import copy

import pytest
import torch

import odenet

SPEC = """
state x
param K : conv(3)
shared param b : bias
map f = conv(3) -> tanh
x' = tanh(K x + b) + 0.5 f(x)
discretise {scheme}
"""


def build_flow(scheme, steps=2):
    torch.manual_seed(0)
    flow = odenet.loads(SPEC.format(scheme=scheme)).flow(4, steps).double()
    flow.b.data.normal_()
    return flow


def make_input():
    torch.manual_seed(1)
    return torch.randn(2, 4, 5, 5).double()


def gradients(flow, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(flow(x).square().sum(), [x, *flow.parameters()])


@pytest.mark.parametrize("method", ["heun", "bosh3", "dopri5"])
def test_the_solution_is_that_of_many_small_steps(method):
    adaptive = build_flow(f"{method}(rtol = 1e-6, T = 1)", 1)
    fine = build_flow("rk4(T = 1)", 1)
    fine.load_state_dict(adaptive.state_dict())
    for _ in range(4):
        fine = fine.refine()
    torch.testing.assert_close(adaptive(make_input()), fine(make_input()), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("memory", ["stored", "checkpoint"])
def test_the_adjoint_method_gives_the_gradient_of_the_solver_to_the_tolerance(memory):
    flow = build_flow("dopri5(rtol = 1e-8, h = 0.5)")
    assert flow.memory == "adjoint"
    differentiated = copy.deepcopy(flow)  # by autograd, through the steps of the solver
    differentiated.memory = memory
    for actual, expected in zip(
        gradients(flow, make_input()), gradients(differentiated, make_input()), strict=True
    ):
        torch.testing.assert_close(
            actual, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max())
        )


def test_a_smaller_tolerance_takes_more_steps_and_they_are_counted():
    coarse, fine = (
        build_flow("dopri5(rtol = 1e-2, T = 4)"),
        build_flow("dopri5(rtol = 1e-8, T = 4)"),
    )
    coarse(make_input())
    fine(make_input())
    assert 2 <= coarse.steps_taken < fine.steps_taken
    assert fine.evaluations >= 6 * fine.steps_taken  # six for each step of dopri5


def test_second_order_equations_that_read_the_input_are_solved_too():
    text = "state x\nmap f = tanh -> conv(3)\nx'' = f(x) - 0.5 x' + u\nx(0) = u\noutput x\n"
    text += "discretise dopri5(rtol = 1e-7, T = 1)"
    flow = odenet.loads(text).flow(3, 1).double()
    differentiated = copy.deepcopy(flow)
    differentiated.memory = "stored"
    x = torch.randn(2, 3, 4, 4).double()
    torch.testing.assert_close(
        gradients(flow, x), gradients(differentiated, x), rtol=1e-4, atol=1e-4
    )


def test_autocast_reaches_the_right_hand_sides_in_both_directions():
    flow = build_flow("dopri5(rtol = 1e-2, T = 1)").float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = flow(make_input().float()).float().square().sum()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in flow.parameters())


def test_an_adaptive_flow_takes_only_its_own_memory_modes():
    flow = build_flow("dopri5(rtol = 1e-2, T = 1)")
    with pytest.raises(ValueError, match='"adjoint", "stored" or "checkpoint"'):
        flow.memory = "reversible"


def test_without_a_tolerance_dopri5_takes_steps_of_a_fixed_size():
    flow = build_flow("dopri5(h = 0.1)")
    assert flow.memory == "stored"
    assert not hasattr(flow, "rtol")


def test_atol_without_rtol_and_tolerances_of_schemes_without_an_error_estimate_are_refused():
    with pytest.raises(odenet.SpecError, match="an error is allowed by `rtol`"):
        build_flow("dopri5(atol = 1e-3, T = 1)")
    with pytest.raises(odenet.SpecError, match="rk4 has no constant `rtol`"):
        build_flow("rk4(rtol = 1e-3, T = 1)")


@pytest.mark.parametrize("name", ["neural_ode", "neural_ode_second_order"])
def test_the_shipped_neural_odes_train_a_step(name):
    network = odenet.load(f"{__file__.rsplit('/tests/')[0]}/specs/{name}.ode").network()
    loss = network(torch.randn(2, 3, 32, 32)).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
