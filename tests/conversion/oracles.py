"""The papers' iterations around residual blocks, by hand, on plain autograd."""

import torch
from torch import nn


def momentum(blocks, x, gamma=0.9, v=None):
    """Sander et al. 2021, Eq. 2, with f(x) = block(x) - x."""
    v = torch.zeros_like(x) if v is None else v
    for block in blocks:
        v = gamma * v + (1 - gamma) * (block(x) - x)
        x = x + v
    return x


def midpoint(blocks, x, h=1.0):
    """Chang et al. 2018 (AAAI), Eq. 15, from the value that one Euler step back gives."""
    previous = x - h * (blocks[0](x) - x)
    for block in blocks:
        previous, x = x, previous + 2 * h * (block(x) - x)
    return x


def leapfrog(blocks, x, h=1.0):
    """Chang et al. 2018 (AAAI), Eq. 17, from rest."""
    previous = x
    for block in blocks:
        previous, x = x, 2 * x - previous + h**2 * (block(x) - x)
    return x


def resnet(model, x, stage=momentum, **constants):
    """A ResNet of torchvision with its stages' plain blocks replaced by an iteration."""
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    for blocks in (model.layer1, model.layer2, model.layer3, model.layer4):
        plain = [block for block in blocks if block.downsample is None]
        for block in blocks:
            x = x if block.downsample is None else block(x)
        x = stage(plain, x, **constants) if plain else x
    return model.fc(torch.flatten(model.avgpool(x), 1))


class Block(nn.Module):
    """A small pre-activation block, f(x) alone."""

    def __init__(self, channels, norm=True):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv(torch.tanh(self.norm(x)))
