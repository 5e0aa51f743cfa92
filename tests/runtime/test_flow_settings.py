"""Settings of a flow (axes, memory, arithmetic), refinement, and use in traced and shared models."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.resnet import BasicBlock, ResNet

import odenet
from odenet.conversion import convert
from odenet.runtime.budget import share_budget
from odenet.testing import assert_gradients
from tests.runtime.handwritten import EulerFlow, HamiltonianFlow

MAP_SPEC = (
    "state x\nmap f = conv(3) -> bn -> relu -> conv(3)\nx' = f(x)\ndiscretise momentum(γ = 0.9)\n"
)
DENSE_SPEC = (
    "state x\nparam W : dense\nparam b : bias\nx' = tanh(W x + b)\ndiscretise momentum(γ = 0.9)\n"
)
CONV_SPEC = "state x\nparam K : conv(3)\nx' = tanh(K x)\ndiscretise momentum(γ = 0.9)\n"


@pytest.mark.parametrize("space", [1, 2, 3])
def test_a_map_has_the_axes_that_are_asked_for(space):
    torch.manual_seed(0)
    flow = odenet.loads(MAP_SPEC).flow(4, 3, space=space).double()
    x = torch.randn(3, 4, *(5,) * space, dtype=torch.float64)
    assert flow(x).shape == x.shape
    kinds = {type(m).__name__ for m in flow.f[0]}
    assert kinds == {f"Conv{space}d", f"BatchNorm{space}d", "ReLU"}
    with pytest.raises(
        ValueError, match=rf"takes \(batch, 4.*but got \(4, {', '.join('5' * space)}"
    ):
        flow(x[0])  # one sample is not a batch
    assert_gradients(flow, x, tolerance=1e-7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MAP_SPEC, "with space=0, conv needs an image"),
        (CONV_SPEC, "`K` is a convolution, but space=0"),
    ],
)
def test_convolutions_of_vectors_are_refused(text, message):
    with pytest.raises(odenet.SpecError, match=message):
        odenet.loads(text).flow(4, 3, space=0)


def test_vectors_are_taken_with_space_0_and_the_message_says_so():
    program = odenet.loads(DENSE_SPEC)
    with pytest.raises(ValueError, match=r"for vectors make it with program.flow\(4, 3, space=0\)"):
        program.flow(4, 3)(torch.randn(2, 4))
    flow = program.flow(4, 3, space=0).double()
    assert_gradients(flow, torch.randn(2, 4).double(), tolerance=1e-9)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 MiB", 3 * 2**19), ("800k", 800_000), ("0", 0)]
)
def test_a_budget_may_be_given_as_text(text, size):
    flow = HamiltonianFlow(4, 3)
    flow.memory = text
    assert flow.memory == size


@pytest.mark.parametrize("memory", ["2 parsecs", -1, True, 1.5, "GB", None])
def test_an_invalid_budget_is_refused(memory):
    with pytest.raises(ValueError, match="a number of bytes, as in"):
        HamiltonianFlow(4, 3).memory = memory


def output_and_saved_bytes(network, u):
    """The output, and the bytes that autograd saves apart from the weights."""
    sizes = {}
    weight_pointers = {p.data_ptr() for p in network.parameters()}

    def pack(tensor):
        if tensor.data_ptr() not in weight_pointers:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = (tensor, storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = network(u)
    return out, sum(size for _, size in sizes.values())


def test_flows_share_a_budget_in_proportion_to_their_needs():
    torch.manual_seed(0)
    channels, step_counts = (4, 8, 16), (2, 6, 4)
    flows = [HamiltonianFlow(c, n) for c, n in zip(channels, step_counts, strict=True)]
    widen = [nn.Conv2d(a, b, 1) for a, b in pairwise(channels)]
    network = nn.Sequential(flows[0], widen[0], flows[1], widen[1], flows[2])
    u = torch.randn(2, 4, 8, 8)
    _, largest = output_and_saved_bytes(set_shared_budget(copy.deepcopy(network), "1GB"), u)
    _, smallest = output_and_saved_bytes(set_shared_budget(copy.deepcopy(network), 0), u)
    budget = (largest - smallest) // 2
    set_shared_budget(network, budget)
    first, _ = output_and_saved_bytes(network, u)
    out, saved = output_and_saved_bytes(network, u)
    assert smallest + 0.5 * budget < saved <= smallest + 1.1 * budget
    assert torch.equal(first, out)
    copied = copy.deepcopy(network)
    assert output_and_saved_bytes(copied, u)[1] == saved


def set_shared_budget(network, budget):
    share_budget(network, budget)
    network(torch.randn(2, 4, 8, 8))  # the first call measures what storing each flow's steps takes
    return network


def test_exact_arithmetic_without_an_inverse_is_refused():
    with pytest.raises(ValueError, match="exact arithmetic undoes steps, and EulerFlow cannot"):
        EulerFlow(4, 3).exact = True
    with pytest.raises(ValueError, match="cannot be exact: momentum has an inverse only where"):
        odenet.loads(CONV_SPEC.replace("0.9)", "0.9) exact")).flow(4, 3, gamma=0)


def test_refining_halves_what_follows_from_the_step_size():
    text = """
    state x
    param K : conv(3)
    x' = tanh(K x)
    discretise mine(h = 0.5)
    scheme mine {
        for Y' = F(Y)
        let e = h / 2
        Y[n+1] = Y[n] + 2 e F(Y[n])
    }
    """
    flow = odenet.loads(text).flow(4, 2).double()
    refined, expected = flow.refine(), odenet.loads(text).flow(4, 4, h=0.25).double()
    expected.K.data = flow.K.repeat_interleave(2, dim=0).detach()
    x = torch.randn(1, 4, 5, 5).double()
    torch.testing.assert_close(refined(x), expected(x), rtol=0, atol=0)
    assert not torch.allclose(refined(x), flow(x))
    assert (flow.h, refined.h) == (0.5, 0.25)


class Tanh(nn.Module):
    """A parametrization of a stack that computes each slice from the same slice."""

    def forward(self, raw):
        return raw.tanh()


class MixedSteps(nn.Module):
    """A parametrization of a stack that computes each slice from all slices."""

    def forward(self, raw):
        return raw - raw.mean(0) * torch.arange(len(raw)).view(-1, 1, 1, 1, 1)


def test_a_parametrised_flow_is_refined_where_each_step_is_computed_alone():
    torch.manual_seed(0)
    flow = HamiltonianFlow(4, 2).double()
    expected = copy.deepcopy(flow)
    with torch.no_grad():
        expected.K1.copy_(expected.K1.tanh())
    parametrize.register_parametrization(flow, "K1", Tanh())
    u = torch.randn(2, 4, 5, 5).double()
    torch.testing.assert_close(flow.refine()(u), expected.refine()(u))
    assert_gradients(flow.refine(), u, tolerance=1e-9)
    mixing_steps = HamiltonianFlow(4, 2)
    parametrize.register_parametrization(mixing_steps, "K1", MixedSteps())
    with pytest.raises(ValueError, match="the parametrization of K1 does not compute each step"):
        mixing_steps.refine()


def test_an_adaptive_flow_is_not_exported_and_says_why():
    text = CONV_SPEC.replace("momentum(γ = 0.9)", "dopri5(rtol = 1e-2, T = 1)")
    flow = odenet.loads(text).flow(4, 1).eval()
    with pytest.raises(NotImplementedError, match="cannot be exported: how many steps its solver"):
        torch.export.export(flow, (torch.randn(2, 4, 5, 5),))


def test_flows_and_stages_are_nodes_of_traced_graphs():
    torch.manual_seed(0)
    model = convert(ResNet(BasicBlock, [2, 1, 1, 1], num_classes=3)).eval()
    x = torch.randn(1, 3, 32, 32)
    features = create_feature_extractor(model, ["layer1", "layer2"])
    outputs = features(x)
    stem_output = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    torch.testing.assert_close(outputs["layer1"], model.layer1(stem_output))
    outputs["layer2"].sum().backward()
    assert all(p.grad is not None for p in model.layer1.parameters())
    assert "layer1.1.conv1.weight" in features.state_dict()
    network = nn.Sequential(nn.Conv2d(3, 4, 1), HamiltonianFlow(4, 2), nn.ReLU())
    u = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(u), network(u))
    with pytest.raises(TypeError, match="takes a tensor, not a ndarray"):
        HamiltonianFlow(4, 2)(u.numpy())


@pytest.mark.parametrize("make_flow", [lambda: HamiltonianFlow(4, 2), lambda: EulerFlow(4, 2)])
def test_per_sample_gradients_of_flows_of_images_are_those_of_each_sample(make_flow):
    torch.manual_seed(0)
    flow = make_flow()
    flow.memory = "stored"
    u, weights = torch.randn(3, 4, 6, 6), dict(flow.named_parameters())

    def loss(weights, sample):
        return torch.func.functional_call(flow, weights, (sample[None],)).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, u)
    for i, sample in enumerate(u):
        expected = torch.autograd.grad(loss(weights, sample), list(weights.values()))
        for name, gradient in zip(weights, expected, strict=True):
            torch.testing.assert_close(per_sample[name][i], gradient, rtol=1e-4, atol=1e-5)
    jacobian = torch.func.jacrev(lambda sample: flow(sample[None]).sum((0, 2, 3)))(u[0])
    assert jacobian.shape == (4, 4, 6, 6)
