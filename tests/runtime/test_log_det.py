"""Log-determinants of flows and their gradients, against Jacobians by plain autograd."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian

import odenet
from odenet.runtime import Squeeze
from odenet.runtime.density import inverse, log_density

EQUATIONS = {  # by the number of states for each unknown of the scheme
    1: "state Y, Z\nparam K, L : dense\nY' = tanh(K Z)\nZ' = L tanh(Y)",
    2: "state A, B, C, D\nparam K, L : dense\nA' = tanh(K C)\nB' = K tanh(D)\n"
    "C' = L tanh(A)\nD' = L tanh(B)",
}
STEP_FORMULAS = {  # {s} and {t}: places of exponents; s and t: maps that the formulas may call
    "affine": "Y[n+1] = exp({s}) * Y[n] + h F(Z[n])\nZ[n+1] = exp({t}) * Z[n] + h G(Y[n+1])",
    "factor of a sum": "Y[n+1] = exp({s}) * (Y[n] + h F(Z[n]))\nZ[n+1] = Z[n] + h G(Y[n+1])",
    "constant factors": "Y[n+1] = 3/2 Y[n] + h F(Z[n])\nZ[n+1] = -1/2 Z[n] + h G(Y[n+1])",
    "both factors": "Y[n+1] = exp({s}) * 2 Y[n] + h F(Z[n])\nZ[n+1] = Z[n] + t(Y[n+1]) + h G(Y[n+1])",
    "stages": "A1 = exp({s}) * Y[n]\nB1 = exp(-t(A1)) * Z[n] + h G(A1)\n"
    "Y[n+1] = A1 + h F(B1)\nZ[n+1] = exp(s(Y[n+1])) * B1",
}
SIMPLE_EXPONENTS = ("s(Z[n])", "t(Y[n+1])")
EXPONENTS = st.sampled_from(
    [SIMPLE_EXPONENTS, ("h s(Z[n]) - 1/2 t(Z[n])", "s(Y[n+1] + h G(Y[n+1]))")]
)


def build_flow(name, exponents=SIMPLE_EXPONENTS, states_per_unknown=1, *, steps=4, seed=0):
    """A flow in float64 with the step formulas of a name above; the exponents are inserted."""
    lines = STEP_FORMULAS[name].format(s=exponents[0], t=exponents[1])
    torch.manual_seed(seed)
    text = f"""{EQUATIONS[states_per_unknown]}
map s = dense -> tanh -> dense
shared map t = dense -> tanh
scheme own {{
    for Y' = F(Z), Z' = G(Y)
    {lines}
}}
discretise own(h = 0.3)
"""
    for map_name in ("s", "t"):  # without the maps that the formulas do not call
        if f"{map_name}(" not in lines:
            text = "\n".join(x for x in text.splitlines() if f"map {map_name} " not in x)
    program = odenet.loads(text + "\nnet = input(4) -> flow(2)\n")
    return program.flow(4, steps, space=0).double()


@settings(max_examples=12)
@given(st.sampled_from(list(STEP_FORMULAS)), EXPONENTS, st.sampled_from([1, 2]), st.integers(1, 4),
       st.integers(0, 99))  # fmt: skip
def test_log_determinants_are_those_of_the_jacobian(
    name, exponents, states_per_unknown, steps, seed
):
    flow = build_flow(name, exponents, states_per_unknown, steps=steps, seed=seed)
    u = torch.randn(3, 4, dtype=torch.double)
    out, log_det = flow.forward_with_log_det(u)
    assert torch.equal(out, flow(u))
    for i in range(3):
        _, expected = torch.linalg.slogdet(jacobian(lambda x: flow(x[None])[0], u[i]))
        assert abs(log_det[i] - expected) < 1e-10
    assert (flow.inverse(out) - u).abs().max() < 1e-10


@settings(max_examples=6)
@given(st.sampled_from(["affine", "stages", "both factors"]), EXPONENTS, st.sampled_from([1, 2]),
       st.integers(0, 99))  # fmt: skip
def test_gradients_are_those_of_the_jacobian_by_plain_autograd(
    name, exponents, states_per_unknown, seed
):
    flow = build_flow(name, exponents, states_per_unknown, steps=3, seed=seed)
    u = torch.randn(2, 4, dtype=torch.double, requires_grad=True)

    def expected_loss():
        z = flow(u)
        jacobians = [jacobian(lambda x: flow(x[None])[0], x, create_graph=True) for x in u]
        log_det = torch.stack([torch.linalg.slogdet(J)[1] for J in jacobians])
        return (z.square().sum(1) / 2 - log_det).square().sum()

    flow.memory = "stored"
    expected_gradients = torch.autograd.grad(expected_loss(), [u, *flow.parameters()])
    for memory in ("reversible", "stored", "checkpoint", 1, 2000):  # 1, 2000: budgets in bytes
        flow.memory = memory
        z, log_det = flow.forward_with_log_det(u)
        loss = (z.square().sum(1) / 2 - log_det).square().sum()
        actual_gradients = torch.autograd.grad(loss, [u, *flow.parameters()])
        for actual, expected in zip(actual_gradients, expected_gradients, strict=True):
            assert (actual - expected).abs().max() <= 1e-9 * max(1, expected.abs().max())


def test_the_gradient_of_a_log_determinant_alone_is_that_of_stored_activations():
    flow = build_flow("affine")
    u = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    gradients = {}
    for memory in ("reversible", "stored"):
        flow.memory = memory
        log_det = flow.forward_with_log_det(u)[1]
        gradients[memory] = torch.autograd.grad(log_det.sum(), [u, *flow.parameters()],
                                            allow_unused=True)  # fmt: skip
    for actual, expected in zip(*gradients.values(), strict=True):
        assert expected is None or torch.allclose(actual, expected, rtol=1e-12, atol=1e-12)


def saved_numbers(flow, u):
    """How many numbers autograd saves in tensors that have a batch axis."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel() if tensor.shape[:1] == u.shape[:1] else 0)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        z, log_det = flow.forward_with_log_det(u)
        (z.square().sum() - log_det.sum()).backward()
    return sum(sizes)


def test_saved_memory_does_not_grow_with_depth():
    u = torch.randn(97, 4, dtype=torch.double)  # 97: a length that no axis of a weight has
    shallow, deep = (build_flow("affine", steps=steps) for steps in (2, 12))
    assert saved_numbers(shallow, u) == saved_numbers(deep, u)
    deep.memory = "stored"
    assert saved_numbers(deep, u) > 4 * saved_numbers(shallow, u)


def test_log_determinants_are_in_single_precision_under_autocast():
    flow = build_flow("affine").float()
    u = torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, in_half_precision = flow.forward_with_log_det(u)
    assert in_half_precision.dtype == torch.float32
    assert torch.allclose(in_half_precision, flow.forward_with_log_det(u)[1], atol=0.1)


def test_exact_arithmetic_refuses_exponentials_of_fields():
    flow = build_flow("affine", steps=2)
    with pytest.raises(ValueError, match="exponentials of fields"):
        flow.exact = True


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_steps_give_the_same_log_determinant_and_gradients():
    torch.compiler.reset()
    flow = build_flow("stages", steps=5)
    u = torch.randn(3, 4, dtype=torch.double, requires_grad=True)
    graphs = []

    def counting_backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def results(with_log_det):
        z, log_det = flow.forward_with_log_det(u) if with_log_det else (flow(u), torch.zeros(3))
        loss = (z.square().sum(1) / 2 - log_det).square().sum()
        inputs = [u, *flow.parameters()]
        return z, log_det, *torch.autograd.grad(loss, inputs, allow_unused=not with_log_det)

    expected = {with_log_det: results(with_log_det) for with_log_det in (True, False)}
    flow.compile(backend=counting_backend)
    for with_log_det, eager_results in expected.items():
        for _ in range(2):
            torch.testing.assert_close(results(with_log_det), eager_results, rtol=1e-11, atol=1e-11)
    assert len(graphs) == 4  # one forward and one backward, each with and without log-determinant
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("state Y\nparam K : dense\nY' = tanh(K Y)\ndiscretise euler(h = 1)", "also appears"),
        ("state Y\nparam K : dense\nY' = tanh(K Y)\ndiscretise midpoint(h = 1)", "not the elements"),
        ("state Y, Z\nparam K : dense\nY' = tanh(K Z)\nZ' = tanh(Y)\noutput concat(Y, Y)\n"
         "discretise verlet(h = 1)", "not the elements"),
    ],
)  # fmt: skip
def test_a_flow_that_is_not_a_bijection_of_its_input_has_no_log_determinant(text, message):
    flow = odenet.loads(text + "\nnet = input(4) -> flow(2)\n").flow(4, 2, space=0)
    with pytest.raises(ValueError, match=message):
        flow.forward_with_log_det(torch.randn(2, 4))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 6), (2, 1, 4, 2, 6)])
def test_squeeze_is_inverted_exactly(shape):
    x, squeeze = torch.randn(shape), Squeeze(2)
    assert torch.equal(squeeze.inverse(squeeze(x)), x)
    if len(shape) == 4:
        assert torch.equal(squeeze(x), torch.nn.functional.pixel_unshuffle(x, 2))


def test_a_network_defines_a_density():
    text = """state Y, Z
param K, L : conv(3)
map s = conv(3) -> tanh
Y' = tanh(K Z)
Z' = L tanh(Y)
scheme own {
    for Y' = F(Z), Z' = G(Y)
    Y[n+1] = exp(s(Z[n])) * Y[n] + h F(Z[n])
    Z[n+1] = Z[n] + h G(Y[n+1])
}
discretise own(h = 0.5)
net = input(1, 4, 4) -> squeeze(2) -> flow(2) -> squeeze(2) -> flow(1)
"""
    torch.manual_seed(0)
    network = odenet.loads(text).network().double()
    x = torch.randn(2, 1, 4, 4, dtype=torch.double)
    actual = log_density(network, x)
    for i in range(2):
        z = network(x[i : i + 1]).flatten()
        _, log_det = torch.linalg.slogdet(jacobian(lambda v: network(v.view(1, 1, 4, 4)).flatten(),
                                                   x[i].flatten()))  # fmt: skip
        normal_log_density = -0.5 * sum(v**2 + math.log(2 * math.pi) for v in z.tolist())
        assert abs(actual[i] - (normal_log_density + log_det)) < 1e-10
    z = torch.randn(2, 16, 1, 1, dtype=torch.double)
    assert torch.allclose(network(inverse(network, z)), z, atol=1e-10)
    with pytest.raises(ValueError, match="ReLU has no log-determinant"):
        log_density([torch.nn.ReLU()], x)
