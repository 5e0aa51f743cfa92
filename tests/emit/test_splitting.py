"""Splitting schemes, for `Y' = F(Y) + G(Y)`, against the same steps written in torch by hand."""

import pytest
import torch

import odenet

SCHEME = """
scheme split {                        # G is evaluated at a copy of Y that moves by F only
    for Y' = F(Y) + G(Y)
    aux Z
    start Z[0] = Y[0]
    Z1     = Z[n] + h/2 F(Y[n])
    Y[n+1] = Y[n] + h G(Z1)
    Z[n+1] = Z1 + h/2 F(Y[n+1])
}
"""

SPEC = """state Y
param K, A : dense
{let}
Y' = {rate}
discretise split(h = 0.25)
"""


def flow_of(rate, let=""):
    """Four steps of `split` for a right-hand side, and the `let` lines that it reads."""
    torch.manual_seed(0)
    program = odenet.loads(SPEC.format(rate=rate, let=let) + SCHEME)
    return program.flow(channels=3, steps=4, space=0).double()


def run_split_steps(x, K, A):
    """Four steps of `split` with F = -Kᵀ tanh(K Y) and G = tanh(A Y)."""
    h, y, z = 0.25, x, x

    def f(v, k):
        return -torch.tanh(v @ k.T) @ k

    for k, a in zip(K, A, strict=True):
        z = z + h / 2 * f(y, k)
        y = y + h * torch.tanh(z @ a.T)
        z = z + h / 2 * f(y, k)
    return y


@pytest.mark.parametrize("memory", ["reversible", "stored"])
@pytest.mark.parametrize(
    "rate, let",
    [("-K^T tanh(K Y) + tanh(A Y)", ""),
     ("(0 Y - K^T tanh(K Y)) + tanh(A Y)", ""),  # a sum in brackets is one summand
     ("a + b", "let a = -K^T tanh(K Y)\nlet b = tanh(A Y)")],
)  # fmt: skip
def test_the_functions_of_a_splitting_are_the_two_summands_in_their_order(rate, let, memory):
    flow = flow_of(rate, let)
    flow.memory = memory
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    output = flow(x)
    output.square().sum().backward()
    gradients = [x.grad.clone(), *(p.grad for p in flow.parameters())]
    K, A = (p.detach().clone().requires_grad_() for p in flow.parameters())
    x.grad = None
    expected_output = run_split_steps(x, K, A)
    expected_output.square().sum().backward()
    torch.testing.assert_close(output, expected_output, rtol=1e-12, atol=1e-12)
    expected_gradients = [x.grad, K.grad, A.grad]
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


def test_the_field_is_the_whole_right_hand_side():
    flow = flow_of("-K^T tanh(K Y) + tanh(A Y)")
    y = torch.randn(2, 3, dtype=torch.float64)
    state = flow.initial(y)
    expected = -torch.tanh(y @ flow.K[0].T) @ flow.K[0] + torch.tanh(y @ flow.A[0].T)
    torch.testing.assert_close(flow.field(state)[0], expected)


def test_no_stability_limit_is_claimed_on_an_axis():
    program = odenet.loads(SPEC.format(rate="-K^T tanh(K Y) + tanh(A Y)", let="") + SCHEME)
    assert "divided" in program.derivation.stability
    assert "hω" not in str(program.derivation)


def test_a_unit_of_a_splitting_has_no_unused_weights():
    """The first step of Lie's splitting changes the shape by F alone; G works at the new shape."""
    text = """state Y
map f = conv(3) -> tanh
map g = conv(3) -> tanh
Y' = f(Y) + g(Y)
discretise lie(h = 0.5)
scheme lie {
    for Y' = F(Y) + G(Y)
    Y1     = Y[n] + h F(Y[n])
    Y[n+1] = Y1 + h G(Y1)
}
net = input(3, 8, 8) -> conv(3, 4) -> unit(2, 6, stride = 2) -> mean -> dense(2)
"""
    network = odenet.loads(text).network().double()
    network(torch.randn(2, 3, 8, 8, dtype=torch.float64)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    entry = network[1].entry
    assert {name.split(".")[0] for name, _ in entry.named_parameters()} == {"f_in", "g"}
