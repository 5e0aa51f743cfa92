"""Flows whose steps torchdiffeq solves to a tolerance, against the same schemes with tiny steps."""

import copy

import pytest
import torch

import odenet

FIELD = """
state x
param K : conv(3)
shared param b : bias
map f = conv(3) -> tanh
x' = tanh(K x + b) + 0.5 f(x)
discretise {scheme}
"""


def flow_of(scheme, steps=2, **constants):
    torch.manual_seed(0)
    flow = odenet.loads(FIELD.format(scheme=scheme)).flow(4, steps, **constants).double()
    flow.b.data.normal_()
    return flow


def maps():
    torch.manual_seed(1)
    return torch.randn(2, 4, 5, 5).double()


def gradients(flow, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(flow(x).square().sum(), [x, *flow.parameters()])


@pytest.mark.parametrize("method", ["heun", "bosh3", "dopri5"])
def test_the_solution_is_that_of_many_small_steps(method):
    adaptive = flow_of(f"{method}(rtol = 1e-6, T = 1)", 1)
    fine = flow_of("rk4(T = 1)", 1)
    fine.load_state_dict(adaptive.state_dict())
    for _ in range(4):
        fine = fine.refine()
    torch.testing.assert_close(adaptive(maps()), fine(maps()), rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("memory", ["stored", "checkpoint"])
def test_the_adjoint_s_gradient_is_the_solver_s_to_the_tolerance(memory):
    flow = flow_of("dopri5(rtol = 1e-8, h = 0.5)")
    assert flow.memory == "adjoint"
    other = copy.deepcopy(flow)
    other.memory = memory
    for a, b in zip(gradients(flow, maps()), gradients(other, maps()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5 * float(b.abs().max()))


def test_a_smaller_tolerance_takes_more_steps_and_they_are_counted():
    coarse, fine = flow_of("dopri5(rtol = 1e-2, T = 4)"), flow_of("dopri5(rtol = 1e-8, T = 4)")
    coarse(maps())
    fine(maps())
    assert 2 <= coarse.steps_taken < fine.steps_taken
    assert fine.evaluations >= 6 * fine.steps_taken


def test_second_order_equations_and_inputs_are_solved_too():
    text = "state x\nmap f = tanh -> conv(3)\nx'' = f(x) - 0.5 x' + u\nx(0) = u\noutput x\n"
    text += "discretise dopri5(rtol = 1e-7, T = 1)"
    flow = odenet.loads(text).flow(3, 1).double()
    other = copy.deepcopy(flow)
    other.memory = "stored"
    x = torch.randn(2, 3, 4, 4).double()
    for a, b in zip(gradients(flow, x), gradients(other, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_autocast_reaches_the_right_hand_sides_in_both_directions():
    flow = flow_of("dopri5(rtol = 1e-2, T = 1)").float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = flow(maps().float()).float().square().sum()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in flow.parameters())


def test_only_its_own_memory_modes_are_taken():
    flow = flow_of("dopri5(rtol = 1e-2, T = 1)")
    with pytest.raises(ValueError, match='"adjoint", "stored" or "checkpoint"'):
        flow.memory = "reversible"


def test_without_a_tolerance_it_is_the_scheme_of_the_text():
    flow = flow_of("dopri5(h = 0.1)")
    assert flow.memory == "stored"
    assert not hasattr(flow, "rtol")


def test_an_absolute_tolerance_alone_is_refused():
    with pytest.raises(odenet.SpecError, match="an error is allowed by `rtol`"):
        flow_of("dopri5(atol = 1e-3, T = 1)")
    with pytest.raises(odenet.SpecError, match="rk4 has no constant `rtol`"):
        flow_of("rk4(rtol = 1e-3, T = 1)")


@pytest.mark.parametrize("name", ["neural_ode", "neural_ode_second_order"])
def test_the_papers_networks_train_a_step(name):
    net = odenet.load(f"{__file__.rsplit('/tests/')[0]}/specs/{name}.ode").network()
    loss = net(torch.randn(2, 3, 32, 32)).square().sum()
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())
