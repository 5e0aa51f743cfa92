"""The oracles of conversion: the papers' iterations over residual blocks, on plain autograd.

Each iteration takes blocks that compute x + f(x) and the initial x, and gives the last x.
`assert_all_close` compares with them.
"""

import torch
from torch import nn


def momentum(blocks, x, gamma=0.9, v=None):
    """Sander et al. 2021, Eq. 2, with f(x) = block(x) - x and the initial velocity v."""
    v = torch.zeros_like(x) if v is None else v
    for block in blocks:
        v = gamma * v + (1 - gamma) * (block(x) - x)
        x = x + v
    return x


def midpoint(blocks, x, h=1.0):
    """Chang et al. 2018 (AAAI), Eq. 15; the value before x comes from an Euler step backwards."""
    previous = x - h * (blocks[0](x) - x)
    for block in blocks:
        previous, x = x, previous + 2 * h * (block(x) - x)
    return x


def leapfrog(blocks, x, h=1.0):
    """Chang et al. 2018 (AAAI), Eq. 17, with initial velocity zero."""
    previous = x
    for block in blocks:
        previous, x = x, 2 * x - previous + h**2 * (block(x) - x)
    return x


def resnet(model, x, iterate=momentum, **constants):
    """A ResNet of torchvision, with an iteration over the blocks that keep the shape."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    for blocks in (model.layer1, model.layer2, model.layer3, model.layer4):
        same_shape = [block for block in blocks if block.downsample is None]
        for block in blocks:
            x = x if block.downsample is None else block(x)
        x = iterate(same_shape, x, **constants) if same_shape else x
    return model.fc(torch.flatten(model.avgpool(x), 1))


class Block(nn.Module):
    """f(x) of a small pre-activation block, without the skip connection."""

    def __init__(self, channels, norm=True):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.tanh(self.norm(x)))


def assert_all_close(actual, expected):
    """Compares tensors pairwise; None, the gradient of an unused parameter, with None."""
    for a, b in zip(actual, expected, strict=True):
        if a is None or b is None:
            assert a is None and b is None
        else:
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8 * float(b.abs().max() + 1e-12))
