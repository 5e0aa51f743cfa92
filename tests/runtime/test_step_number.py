"""Schemes that read the number n of the step, against steps written out in torch."""

import pytest
import torch

import odenet
from odenet.diagnostics import SpecError

# To be filled in: a value of r, as in `, r = 3`, and what is added to n.
FRICTION = """
state  Y
param  K : dense
param  b : bias
Y' = -K^T tanh(K Y + t b)
discretise friction(h = 0.2%s)
scheme friction(r = 3) {
    for Y' = F(Y)
    aux V
    start V[0] = 0
    let m  = 1 - r/(n + %s)
    V[n+1] = m V[n] + h F(Y[n])
    Y[n+1] = Y[n] + h V[n+1]
}
"""
# To be filled in: a divisor.
NESTEROV = """
state  Y
param  K : dense
param  b : bias
Y' = -K^T tanh(K Y + b)
discretise nesterov_1983(h = 0.2)
scheme nesterov_1983 {
    for Y' = F(Y)
    start Y[-1] = Y[0]
    X      = Y[n] + (n - 1)/(%s) (Y[n] - Y[n-1])
    Y[n+1] = X + h F(X)
}
"""


def build_flow(text, steps=5):
    torch.manual_seed(0)
    flow = odenet.loads(text).flow(4, steps, space=0).double()
    torch.nn.init.normal_(flow.b)
    return flow, torch.randn(3, 4, dtype=torch.float64, requires_grad=True)


def friction(flow, u, shift):
    Y, V = u, torch.zeros_like(u)
    for n in range(flow.steps):
        r = flow.r if isinstance(flow.r, float | int) else flow.r[n]
        force = -torch.tanh(Y @ flow.K[n].T + 0.2 * n * flow.b[n]) @ flow.K[n]
        V = (1 - r / (n + shift)) * V + 0.2 * force
        Y = Y + 0.2 * V
    return Y


def gradients(flow, u, out):
    return torch.autograd.grad((out**3).sum(), [*flow.parameters(), u])


@pytest.mark.parametrize("shift, reversible", [(4, True), (3, False)])
def test_values_and_gradients_are_those_of_the_steps_written_out_in_every_mode(shift, reversible):
    """With n + 3 the first step has no inverse, m = 0, and steps are stored."""
    flow, u = build_flow(FRICTION % (", r = 3", shift))
    assert flow.reversible is reversible
    assert reversible or "step 0: friction has an inverse only where m ≠ 0" in flow.obstacle
    expected = friction(flow, u, shift)
    reference = gradients(flow, u, expected)
    # 400: a budget in bytes
    for memory in ("stored", "checkpoint", *(("reversible", 400) if reversible else ())):
        flow.memory = memory
        out = flow(u)
        torch.testing.assert_close(out, expected, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(gradients(flow, u, out), reference, rtol=1e-11, atol=1e-11)
    if not reversible:
        return
    flow.memory = "reversible"
    start = flow.initial(u.detach())
    with torch.no_grad():
        for recovered, initial in zip(flow.inverse(flow.evolve(start)), start, strict=True):
            torch.testing.assert_close(recovered, initial, rtol=1e-11, atol=1e-11)
    flow.compile(backend="eager")
    torch.testing.assert_close(gradients(flow, u, flow(u)), reference, rtol=1e-11, atol=1e-11)


def test_exact_arithmetic_takes_the_coefficients_of_each_step():
    flow, u = build_flow(FRICTION % (", r = 3", 4), steps=30)
    reference = gradients(flow, u, friction(flow, u, 4))
    flow.exact = True
    torch.testing.assert_close(gradients(flow, u, flow(u)), reference, rtol=1e-5, atol=1e-5)
    start = flow.encode(u.detach())
    assert flow.inverse_exactly(flow.evolve_exactly(start)).equal(start)


def test_the_step_number_combines_with_constants_that_differ_from_step_to_step():
    flow, u = build_flow(FRICTION % (", r = [3, 2, 1, 2.5, 0.5]", 4))
    torch.testing.assert_close(flow(u), friction(flow, u, 4), rtol=1e-13, atol=1e-13)


def test_a_scheme_without_an_inverse_may_read_the_step_number():
    flow, u = build_flow(NESTEROV % "n + 2")
    Y_prev = Y = u
    for n in range(flow.steps):
        X = Y + (n - 1) / (n + 2) * (Y - Y_prev)
        force = -torch.tanh(X @ flow.K[n].T + flow.b[n]) @ flow.K[n]
        Y_prev, Y = Y, X + 0.2 * force
    torch.testing.assert_close(flow(u), Y, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(
        gradients(flow, u, flow(u)), gradients(flow, u, Y), rtol=1e-11, atol=1e-11
    )


def test_a_refined_flow_counts_its_own_steps():
    """The formula in n holds for the steps of the refined flow, of which there are twice as many."""
    flow, u = build_flow(FRICTION % (", r = 3", 4))
    finer = flow.refine()
    Y, V = u, torch.zeros_like(u)
    for n in range(10):
        force = -torch.tanh(Y @ flow.K[n // 2].T + 0.1 * n * flow.b[n // 2]) @ flow.K[n // 2]
        V = (1 - 3 / (n + 4)) * V + 0.1 * force
        Y = Y + 0.1 * V
    torch.testing.assert_close(finer(u), Y, rtol=1e-13, atol=1e-13)


def test_a_flow_with_a_step_that_divides_by_zero_is_refused():
    text = NESTEROV % "7 - n"
    flow, _ = build_flow(text, steps=7)
    with pytest.raises(ValueError, match="step 7 of 8 divides by zero, with n = 7"):
        build_flow(text, steps=8)
    with pytest.raises(ValueError, match=r"cannot be refined: step 7 of 14 divides by zero"):
        flow.refine()
    net = text + "net = input(4) -> flow(%d) -> dense(2)\n"
    assert odenet.loads(net % 7).network()
    with pytest.raises(SpecError, match="step 7: in nesterov_1983 with h = 1/5, n = 7"):
        odenet.loads(net % 8)


def test_the_step_number_in_a_composition_is_that_of_the_whole_step():
    text = """state Y
param K : dense
Y' = tanh((K - K^T) Y)
discretise {used}(h = 0.2)
scheme fading {{
    for Y' = F(Y)
    aux V
    start V[0] = F(Y[0])
    Y1     = Y[n] + h/2 V[n]
    V[n+1] = V[n]/(n + 1) + F(Y1)
    Y[n+1] = Y1 + h/2 V[n+1]
}}
"""
    torch.manual_seed(0)
    program = odenet.loads(text.format(used="compose(fading(h/2), adjoint(fading)(h/2))"))
    flow, u = program.flow(4, 3, space=0).double(), torch.randn(2, 4, dtype=torch.float64)
    Y, h = u, 0.1
    rates = [lambda y, K=K: torch.tanh(y @ (K - K.T).T) for K in flow.K]
    V = rates[0](Y)
    for n, F in enumerate(rates):
        Y1 = Y + h / 2 * V
        V = V / (n + 1) + F(Y1)
        Y = Y1 + h / 2 * V
        Y1 = Y + h / 2 * V  # backwards with -h: the last line first
        V = (V - F(Y1)) * (n + 1)
        Y = Y1 + h / 2 * V
    torch.testing.assert_close(flow(u), Y, rtol=1e-12, atol=1e-12)
