"""Log-determinants of flows, and their gradients, against Jacobians by plain autograd."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.functional import jacobian

import odenet
from odenet.runtime import Squeeze
from odenet.runtime.density import inverse, log_density

EQUATIONS = {
    1: "state Y, Z\nparam K, L : dense\nY' = tanh(K Z)\nZ' = L tanh(Y)",
    2: "state A, B, C, D\nparam K, L : dense\nA' = tanh(K C)\nB' = K tanh(D)\n"
    "C' = L tanh(A)\nD' = L tanh(B)",
}
STEPS = {
    "affine": "Y[n+1] = exp({s}) * Y[n] + h F(Z[n])\nZ[n+1] = exp({t}) * Z[n] + h G(Y[n+1])",
    "outside": "Y[n+1] = exp({s}) * (Y[n] + h F(Z[n]))\nZ[n+1] = Z[n] + h G(Y[n+1])",
    "scaled": "Y[n+1] = 3/2 Y[n] + h F(Z[n])\nZ[n+1] = -1/2 Z[n] + h G(Y[n+1])",
    "both": "Y[n+1] = exp({s}) * 2 Y[n] + h F(Z[n])\nZ[n+1] = Z[n] + t(Y[n+1]) + h G(Y[n+1])",
    "stages": "A1 = exp({s}) * Y[n]\nB1 = exp(-t(A1)) * Z[n] + h G(A1)\n"
    "Y[n+1] = A1 + h F(B1)\nZ[n+1] = exp(s(Y[n+1])) * B1",
}
INSIDE = st.sampled_from(
    [("s(Z[n])", "t(Y[n+1])"), ("h s(Z[n]) - 1/2 t(Z[n])", "s(Y[n+1] + h G(Y[n+1]))")]
)


def flow_of(name, inside, groups, steps, seed):
    """A flow in float64 whose steps are those of a scheme above."""
    lines = STEPS[name].format(s=inside[0], t=inside[1])
    torch.manual_seed(seed)
    text = f"""{EQUATIONS[groups]}
map s = dense -> tanh -> dense
shared map t = dense -> tanh
scheme own {{
    for Y' = F(Z), Z' = G(Y)
    {lines}
}}
discretise own(h = 0.3)
"""
    for unused in ("s", "t"):
        if f"{unused}(" not in lines:
            text = "\n".join(x for x in text.splitlines() if f"map {unused} " not in x)
    program = odenet.loads(text + "\nnet = input(4) -> flow(2)\n")
    return program.flow(4, steps, space=0).double()


@settings(max_examples=12)
@given(st.sampled_from(list(STEPS)), INSIDE, st.sampled_from([1, 2]), st.integers(1, 4),
       st.integers(0, 99))  # fmt: skip
def test_log_determinants_are_those_of_the_jacobian(name, inside, groups, steps, seed):
    flow = flow_of(name, inside, groups, steps, seed)
    u = torch.randn(3, 4, dtype=torch.double)
    out, log_det = flow.forward_with_log_det(u)
    assert torch.equal(out, flow(u))
    for i in range(3):
        _, expected = torch.linalg.slogdet(jacobian(lambda x: flow(x[None])[0], u[i]))
        assert abs(log_det[i] - expected) < 1e-10
    assert (flow.inverse(out) - u).abs().max() < 1e-10


@settings(max_examples=6)
@given(st.sampled_from(["affine", "stages", "both"]), INSIDE, st.sampled_from([1, 2]),
       st.integers(0, 99))  # fmt: skip
def test_gradients_are_those_of_the_jacobian_by_plain_autograd(name, inside, groups, seed):
    flow = flow_of(name, inside, groups, 3, seed)
    u = torch.randn(2, 4, dtype=torch.double, requires_grad=True)

    def by_hand():
        z = flow(u)
        rows = [jacobian(lambda x: flow(x[None])[0], x, create_graph=True) for x in u]
        log_det = torch.stack([torch.linalg.slogdet(row)[1] for row in rows])
        return (z.square().sum(1) / 2 - log_det).square().sum()

    flow.memory = "stored"
    wanted = torch.autograd.grad(by_hand(), [u, *flow.parameters()])
    for memory in ("reversible", "stored", "checkpoint", 1, 2000):
        flow.memory = memory
        z, log_det = flow.forward_with_log_det(u)
        loss = (z.square().sum(1) / 2 - log_det).square().sum()
        found = torch.autograd.grad(loss, [u, *flow.parameters()])
        for one, other in zip(found, wanted, strict=True):
            assert (one - other).abs().max() <= 1e-9 * max(1, other.abs().max())


def test_the_gradient_of_a_log_determinant_alone():
    flow = flow_of("affine", ("s(Z[n])", "t(Y[n+1])"), 1, 4, 0)
    u = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    found = {}
    for memory in ("reversible", "stored"):
        flow.memory = memory
        log_det = flow.forward_with_log_det(u)[1]
        found[memory] = torch.autograd.grad(log_det.sum(), [u, *flow.parameters()],
                                            allow_unused=True)  # fmt: skip
    for one, other in zip(*found.values(), strict=True):
        assert other is None or torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def held(flow, u):
    """The numbers of samples that a graph holds."""
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel() if tensor.shape[:1] == u.shape[:1] else 0)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        z, log_det = flow.forward_with_log_det(u)
        (z.square().sum() - log_det.sum()).backward()
    return sum(sizes)


def test_what_is_held_does_not_grow_with_the_depth():
    u = torch.randn(97, 4, dtype=torch.double)
    few, many = (flow_of("affine", ("s(Z[n])", "t(Y[n+1])"), 1, n, 0) for n in (2, 12))
    assert held(few, u) == held(many, u)
    many.memory = "stored"
    assert held(many, u) > 4 * held(few, u)


def test_log_determinants_are_single_under_autocast():
    flow = flow_of("affine", ("s(Z[n])", "t(Y[n+1])"), 1, 4, 0).float()
    u = torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, rough = flow.forward_with_log_det(u)
    assert rough.dtype == torch.float32
    assert torch.allclose(rough, flow.forward_with_log_det(u)[1], atol=0.1)


def test_exact_arithmetic_refuses_exponentials_of_fields():
    flow = flow_of("affine", ("s(Z[n])", "t(Y[n+1])"), 1, 2, 0)
    with pytest.raises(ValueError, match="exponentials of fields"):
        flow.exact = True


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_steps_give_the_same_log_determinant_and_gradients():
    torch.compiler.reset()
    flow = flow_of("stages", ("s(Z[n])", "t(Y[n+1])"), 1, 5, 0)
    u = torch.randn(3, 4, dtype=torch.double, requires_grad=True)
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def found(measured):
        z, log_det = flow.forward_with_log_det(u) if measured else (flow(u), torch.zeros(3))
        loss = (z.square().sum(1) / 2 - log_det).square().sum()
        wanted = [u, *flow.parameters()]
        return z, log_det, *torch.autograd.grad(loss, wanted, allow_unused=not measured)

    expected = {measured: found(measured) for measured in (True, False)}
    flow.compile(backend=counted)
    for measured, plain in expected.items():
        for _ in range(2):
            for one, other in zip(found(measured), plain, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    assert len(graphs) == 4  # one forward and one back, with and without the log-determinant
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("state Y\nparam K : dense\nY' = tanh(K Y)\ndiscretise euler(h = 1)", "also appears"),
        ("state Y\nparam K : dense\nY' = tanh(K Y)\ndiscretise midpoint(h = 1)", "not the elements"),
        ("state Y, Z\nparam K : dense\nY' = tanh(K Z)\nZ' = tanh(Y)\noutput concat(Y, Y)\n"
         "discretise verlet(h = 1)", "not the elements"),
    ],
)  # fmt: skip
def test_a_flow_that_is_not_a_map_of_its_input_has_none(text, said):
    flow = odenet.loads(text + "\nnet = input(4) -> flow(2)\n").flow(4, 2, space=0)
    with pytest.raises(ValueError, match=said):
        flow.forward_with_log_det(torch.randn(2, 4))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 6), (2, 1, 4, 2, 6)])
def test_squeeze_loses_nothing(shape):
    x, squeeze = torch.randn(shape), Squeeze(2)
    assert torch.equal(squeeze.inverse(squeeze(x)), x)
    if len(shape) == 4:
        assert torch.equal(squeeze(x), torch.nn.functional.pixel_unshuffle(x, 2))


def test_a_network_is_a_density():
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
    found = log_density(network, x)
    for i in range(2):
        z = network(x[i : i + 1]).flatten()
        _, log_det = torch.linalg.slogdet(jacobian(lambda v: network(v.view(1, 1, 4, 4)).flatten(),
                                                   x[i].flatten()))  # fmt: skip
        normal = -0.5 * sum(v**2 + math.log(2 * math.pi) for v in z.tolist())
        assert abs(found[i] - (normal + log_det)) < 1e-10
    z = torch.randn(2, 16, 1, 1, dtype=torch.double)
    assert torch.allclose(network(inverse(network, z)), z, atol=1e-10)
    with pytest.raises(ValueError, match="ReLU has no log-determinant"):
        log_density([torch.nn.ReLU()], x)
