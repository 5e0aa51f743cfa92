"""The ResNet-101 of Sander et al. 2021 with momentum, against the blocks of torchvision."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

import odenet
from odenet.model.typed.network_size import network_size

SPEC = Path(__file__).parents[2] / "specs" / "resnet101.ode"


@pytest.fixture(scope="module")
def original():
    """torchvision's network for ten classes, with a stem for small images."""
    torch.manual_seed(0)
    model = models.resnet101(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    for name, value in model.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return model.double().eval()


def spec_network(original, gamma):
    """The network of the spec with torchvision's weights, which are in the same order."""
    network = odenet.load(SPEC, set={"γ": gamma}).network().double().eval()
    values = original.state_dict().values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    return network


def momentum_output(original, x, gamma):
    """Sander et al. 2021, Eq. 2, with f(x) = block(x) - x.

    Blocks that change the shape are evaluated as they are.
    """
    x = original.relu(original.bn1(original.conv1(x)))
    for layer in (original.layer1, original.layer2, original.layer3, original.layer4):
        x = layer[0](x)
        v = torch.zeros_like(x)
        for block in layer[1:]:
            v = gamma * v + (1 - gamma) * (block(x) - x)
            x = x + v
    return original.fc(x.mean((2, 3)))


def test_the_spec_has_as_many_parameters_as_torchvisions_network(original):
    assert sum(p.numel() for p in original.parameters()) == 42_512_970
    assert network_size(odenet.load(SPEC).model).parameters == 42_512_970


@pytest.mark.parametrize("gamma", [0, 0.9])
def test_outputs_are_those_of_torchvisions_blocks(original, gamma):
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = momentum_output(original, x, gamma)
        torch.testing.assert_close(spec_network(original, gamma)(x), expected, rtol=1e-8, atol=1e-8)
        if gamma == 0:
            torch.testing.assert_close(expected, original(x), rtol=1e-8, atol=1e-8)
