"""The two networks that every contender computes, as plain torch modules.

Each contender is given the same modules with the same weights, so that what differs is only how
the backward pass gets its activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEP_SIZE = 0.1
GAMMA = 0.9

HAMILTONIAN = f"""
state Y, Z
param K1, K2 : conv(3)
param b1, b2 : bias
let   σ = relu
Y' =  K1^T σ(K1 Z + b1)
Z' = -K2^T σ(K2 Y + b2)
discretise verlet(h = {STEP_SIZE})
"""
MOMENTUM = f"""
state x
map   f = conv(3) -> bn -> relu -> conv(3) -> bn
x' = f(x)
discretise momentum(γ = {GAMMA})
"""


class Half(nn.Module):
    """factor * K^T relu(K x + b), one half of a Hamiltonian step (Chang et al. 2018, Eq. 7)."""

    def __init__(self, channels: int, factor: float):
        super().__init__()
        self.factor = factor
        self.K = nn.Parameter(torch.randn(channels, channels, 3, 3) / (3 * channels**0.5))
        self.b = nn.Parameter(0.1 * torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The increment of the other half."""
        z = torch.relu(F.conv2d(x, self.K, self.b, padding=1))
        return self.factor * F.conv_transpose2d(z, self.K, padding=1)


def residual_block(channels: int) -> nn.Sequential:
    """The block conv-bn-relu-conv-bn of a Momentum network (Sander et al. 2021)."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )


class Size(NamedTuple):
    """Of the input, and how many steps."""

    batch: int
    channels: int
    side: int
    steps: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the input."""
        return self.batch, self.channels, self.side, self.side


@dataclass(frozen=True)
class Network:
    """One of the two networks.

    Attributes:
        name: in tables.
        title: one line for a reader.
        spec: the same network for odenet.
        channels: of the input at full size.
        evaluated: convolutions in one evaluation of all right-hand sides of a step.
    """

    name: str
    title: str
    spec: str
    channels: int
    evaluated: int

    def build(self, size: Size) -> nn.ModuleList:
        """The steps, one list of modules each, with weights that depend on nothing else."""
        torch.manual_seed(0)
        if self.name == "hamiltonian":
            c = size.channels // 2
            halves = [(Half(c, STEP_SIZE), Half(c, -STEP_SIZE)) for _ in range(size.steps)]
            return nn.ModuleList(nn.ModuleList(pair) for pair in halves)
        blocks = [residual_block(size.channels) for _ in range(size.steps)]
        return nn.ModuleList(nn.ModuleList([block]) for block in blocks)


NETWORKS = {
    "hamiltonian": Network(
        "hamiltonian",
        "Hamiltonian block: Y += h K1ᵀ relu(K1 Z + b1), Z -= h K2ᵀ relu(K2 Y + b2), 3×3",
        HAMILTONIAN,
        channels=64,
        evaluated=4,
    ),
    "momentum": Network(
        "momentum",
        "Momentum block: v = 0.9 v + 0.1 f(x), x += v, f = conv-bn-relu-conv-bn, 3×3",
        MOMENTUM,
        channels=32,
        evaluated=2,
    ),
}
