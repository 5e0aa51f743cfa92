"""Residual networks of torchvision as reversible ones, against the iterations written by hand."""

import copy
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torchvision.models import densenet121, mobilenet_v2
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vision_transformer import VisionTransformer

from odenet.conversion import convert
from odenet.runtime import Flow
from tests.conversion.oracles import leapfrog, midpoint, resnet

RESNETS = {
    "basic": lambda: ResNet(BasicBlock, [2, 3, 1, 1], num_classes=5),
    "bottleneck": lambda: ResNet(Bottleneck, [2, 2, 2, 1], num_classes=5),
    "wide": lambda: ResNet(Bottleneck, [2, 2, 1, 1], num_classes=5, width_per_group=128),
    "resnext": lambda: ResNet(Bottleneck, [2, 2, 1, 1], 5, groups=4, width_per_group=16),
}


@pytest.fixture(params=RESNETS)
def network(request):
    """A small ResNet in float64, whose norms have random scales."""
    torch.manual_seed(0)
    model = RESNETS[request.param]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.2, 0.6)
    return model.double()


@pytest.fixture
def pictures():
    torch.manual_seed(1)
    return torch.randn(3, 3, 32, 32).double()


def flows_of(model):
    return [module for module in model.modules() if isinstance(module, Flow)]


def gradients(model, loss):
    return torch.autograd.grad(loss, list(model.parameters()))


def assert_same_gradients(actual, expected, rtol=1e-8):
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol * float(b.abs().max() + 1e-12))


IGNORE_IRREVERSIBLE_WARNING = pytest.mark.filterwarnings(
    "ignore:the converted model is not reversible"
)


@contextmanager
def saved_bytes():
    """A list of the bytes of each tensor that autograd saves, 0 for weights."""
    sizes = []

    def pack(tensor):
        sizes.append(0 if isinstance(tensor, nn.Parameter) else tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


@IGNORE_IRREVERSIBLE_WARNING
@pytest.mark.parametrize("training", [False, True])
def test_gamma_zero_gives_the_outputs_of_the_original(network, pictures, training):
    network.train(training)
    expected = copy.deepcopy(network)(pictures)
    torch.testing.assert_close(
        convert(network, gamma=0)(pictures), expected, rtol=1e-10, atol=1e-12
    )


def test_a_converted_network_is_the_momentum_iteration_over_the_same_blocks(network, pictures):
    expected = resnet(copy.deepcopy(network), pictures, gamma=0.8)
    torch.testing.assert_close(convert(network, gamma=0.8)(pictures), expected)


@pytest.mark.parametrize(("scheme", "iterate"), [("midpoint", midpoint), ("leapfrog", leapfrog)])
def test_conversions_by_two_step_schemes_are_the_iterations_by_hand(scheme, iterate, pictures):
    torch.manual_seed(0)
    network = RESNETS["basic"]().double().eval()
    expected = resnet(network, pictures, iterate, h=0.25)
    torch.testing.assert_close(convert(network, scheme, h=0.25)(pictures), expected)


def test_gradients_without_stored_activations_are_those_of_plain_autograd(network, pictures):
    by_hand = copy.deepcopy(network)
    expected = gradients(by_hand, resnet(by_hand, pictures).square().sum())
    converted = convert(network)
    assert all(flow.memory == "reversible" for flow in flows_of(converted))
    assert_same_gradients(gradients(converted, converted(pictures).square().sum()), expected)


def test_batch_statistics_are_updated_once_as_in_the_original(network, pictures):
    by_hand = copy.deepcopy(network)
    resnet(by_hand, pictures).sum().backward()
    converted = convert(network)
    converted(pictures).sum().backward()
    for (name, a), b in zip(converted.named_buffers(), by_hand.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_with_checkpoint_blocks_that_change_the_shape_are_recomputed(network, pictures):
    network.train()
    plain, checkpointed = convert(copy.deepcopy(network)), convert(network, checkpoint=True)
    expected = gradients(plain, plain(pictures).square().sum())
    with saved_bytes() as checkpointed_bytes:
        loss = checkpointed(pictures).square().sum()
    assert_same_gradients(gradients(checkpointed, loss), expected)
    for (name, a), b in zip(checkpointed.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(a, b), name
    with saved_bytes() as plain_bytes:
        plain(pictures)
    assert sum(checkpointed_bytes) < 0.9 * sum(plain_bytes)


def test_states_are_rebuilt_without_drift_in_bfloat16_with_exact_arithmetic(pictures):
    torch.manual_seed(0)
    converted = convert(RESNETS["basic"]())
    for flow in flows_of(converted):
        flow.exact = True
    with torch.autocast("cpu", torch.bfloat16):
        loss = converted(pictures.float()).float().square().sum()
    loss.backward()
    assert all(flow.drift == 0 for flow in flows_of(converted))


def test_names_and_order_of_parameters_are_those_of_the_original(network):
    original = copy.deepcopy(network)
    converted = convert(network)
    assert list(converted.state_dict()) == list(original.state_dict())
    names = [name for name, _ in original.named_parameters()]
    assert [name for name, _ in converted.named_parameters()] == names
    assert len(converted.layer1) == len(original.layer1)
    for a, b in zip(converted.layer1, original.layer1, strict=True):
        assert isinstance(a, type(b)) and type(a).__name__ == type(b).__name__


def test_the_state_dict_goes_both_ways_without_loss(network):
    converted = convert(copy.deepcopy(network))
    for parameter in converted.parameters():
        parameter.data.uniform_()
    network.load_state_dict(converted.state_dict())
    for a, b in zip(network.state_dict().values(), converted.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    if isinstance(network.layer1[0], BasicBlock):
        reloaded = convert(RESNETS["basic"]()).double()
        reloaded.load_state_dict(network.state_dict())
        assert torch.equal(reloaded.layer2[1].conv1.weight, converted.layer2[1].conv1.weight)


def test_parameters_are_shared_with_the_original_which_still_works(network, pictures):
    network.eval()
    expected = network(pictures)
    converted = convert(network)
    assert all(a is b for a, b in zip(converted.parameters(), network.parameters(), strict=True))
    assert torch.equal(network(pictures), expected)


def test_modes_hooks_and_frozen_parameters_survive_conversion(pictures):
    model = RESNETS["basic"]().double().eval()
    model.layer2.requires_grad_(False)
    called = []
    model.layer1[1].register_forward_hook(lambda *_: called.append("block"))
    model.layer1.register_forward_hook(lambda *_: called.append("stage"))
    model.register_forward_hook(lambda *_: called.append("model"))
    converted = convert(model)
    assert not any(module.training for module in converted.modules())
    with torch.no_grad():
        converted(pictures)
    assert called == ["block", "stage", "model"]
    with pytest.warns(UserWarning, match="a forward hook on BasicBlock is called in both passes"):
        converted.train()(pictures).sum().backward()
    assert all(module.training for module in converted.modules())
    assert all(p.grad is None for p in converted.layer2.parameters())
    assert all(p.grad is not None for p in converted.layer1.parameters())


def test_a_copy_of_a_converted_network_has_its_own_blocks(pictures):
    converted = convert(RESNETS["basic"]().double())
    copied = copy.deepcopy(converted)
    copied(pictures).sum().backward()
    assert all(p.grad is None for p in converted.parameters())
    assert all(p.grad is not None for p in copied.parameters())
    assert copied.layer2.flows[0].f[0] is copied.layer2[1]


def test_a_converted_network_trains_in_half_precision():
    converted = convert(RESNETS["basic"]()).bfloat16()
    out = converted(torch.randn(2, 3, 32, 32, dtype=torch.bfloat16))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in converted.parameters())


@pytest.mark.parametrize("v0", ["f", "learned"])
def test_the_initial_speed_can_be_f_or_learned(v0, pictures):
    torch.manual_seed(0)
    model = RESNETS["basic"]().double().eval()
    converted = convert(model, v0=v0)
    x = features = model.maxpool(model.relu(model.bn1(model.conv1(pictures))))
    blocks = list(model.layer1)
    v = blocks[0](x) - x
    if v0 == "learned":
        speed = converted.layer1.flows[0].speed[0].value
        speed.data.normal_()
        v = speed.expand_as(x)
    for block in blocks:
        v = 0.9 * v + 0.1 * (block(x) - x)
        x = x + v
    torch.testing.assert_close(converted.layer1(features), x)
    if v0 == "learned":
        converted(pictures).sum().backward()
        assert speed.grad.abs().sum() > 0


@IGNORE_IRREVERSIBLE_WARNING
@pytest.mark.parametrize(
    "make",
    [
        lambda: mobilenet_v2(num_classes=3),
        lambda: ConvNeXt([CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 1)], num_classes=3),
        lambda: VisionTransformer(
            image_size=32, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
        ),
    ],
    ids=["mobilenet", "convnext", "vit"],
)
def test_other_residual_networks_of_torchvision_are_converted_too(make):
    model = make().double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(convert(model, gamma=0)(x), model(x))
    converted = convert(model)
    expected = gradients(converted, converted(x).square().sum())
    for flow in flows_of(converted):
        flow.memory = "stored"
    assert_same_gradients(gradients(converted, converted(x).square().sum()), expected)


@IGNORE_IRREVERSIBLE_WARNING
def test_a_transformer_encoder_is_converted_with_its_masks():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(16), enable_nested_tensor=False).double()
    x = torch.randn(2, 5, 16, dtype=torch.float64)
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    padding = torch.tensor([[0.0] * 5, [0.0] * 3 + [-1e9] * 2]).double()
    masks = {"mask": mask, "src_key_padding_mask": padding}
    torch.testing.assert_close(convert(encoder, gamma=0)(x, **masks), encoder(x, **masks))
    converted = convert(encoder)
    loss = converted(x, **masks).square().sum()
    converted(x)  # another call in between, without masks
    expected = gradients(converted, loss)
    converted.flow.memory = "stored"
    assert_same_gradients(gradients(converted, converted(x, **masks).square().sum()), expected)


def test_a_network_without_known_blocks_is_refused():
    with pytest.raises(ValueError, match=r"DenseNet has no residual blocks.*odenet\.reversible"):
        convert(densenet121())


def test_a_scheme_that_needs_two_maps_is_refused():
    with pytest.raises(ValueError, match="verlet takes no blocks"):
        convert(RESNETS["basic"](), "verlet")


@pytest.mark.parametrize("scheme", ["euler", "heun", "rk4"])
def test_a_scheme_without_an_inverse_is_warned_of(scheme):
    with pytest.warns(UserWarning, match="not reversible, and stores activations"):
        convert(RESNETS["basic"](), scheme)


def test_gamma_zero_is_warned_of():
    with pytest.warns(UserWarning, match="momentum has an inverse only where γ ≠ 0"):
        convert(RESNETS["basic"](), gamma=0)


def test_each_flow_has_an_initial_speed_of_its_own_width():
    def speed(block):
        channels = block.conv1.in_channels
        return nn.Conv2d(channels, channels, 1).double()

    model = RESNETS["basic"]().double().eval()
    converted = convert(model, v0=speed)
    layer, x = converted.layer2, torch.randn(2, 64, 6, 6).double()
    x = y = model.layer2[0](x)
    v = layer.flows[0].speed[0](x)
    for block in list(model.layer2)[1:]:
        v = 0.9 * v + 0.1 * (block(y) - y)
        y = y + v
    torch.testing.assert_close(layer.flows[0](x), y)
    with pytest.raises(ValueError, match="v0 is one module for 2 flows, whose channels differ"):
        convert(model, v0=nn.Conv2d(64, 64, 1))
