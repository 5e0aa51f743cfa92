"""The networks that every contender computes, as plain torch modules.

Each contender is given the same modules with the same weights, so that what differs is only how
the backward pass gets its activations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import transformer

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
    """factor * K^T relu(K x + b), half a Hamiltonian step (Chang et al. 2018, AAAI, Eq. 7)."""

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
    """Of the input, and how many steps.

    Attributes:
        batch: samples.
        channels: of the whole state's two halves together, or of a momentum network's input.
        side: height and width of a picture; the length of a sequence of tokens.
        steps: N.
    """

    batch: int
    channels: int
    side: int
    steps: int


@dataclass(frozen=True)
class Network:
    """One of the networks.

    Attributes:
        name: in tables.
        title: one line for a reader.
        spec: the same network for odenet; without one, it is given the modules.
        full: batch, channels and side at full size.
        depths: numbers of steps at full size.
        counted: an operation, of which
        evaluated: are called in one evaluation of all right-hand sides of a step.
    """

    name: str
    title: str
    spec: str | None
    full: tuple[int, int, int]
    depths: tuple[int, ...]
    counted: Callable
    evaluated: int

    @property
    def sequence(self) -> bool:
        """Whether the input is a sequence of tokens, whose channels come last."""
        return self.name == "transformer"

    @property
    def axis(self) -> int:
        """The axis of the channels."""
        return -1 if self.sequence else 1

    def shape(self, size: Size) -> tuple[int, ...]:
        """Of the input."""
        if self.sequence:
            return size.batch, size.side, size.channels
        return size.batch, size.channels, size.side, size.side

    def build(self, size: Size) -> nn.ModuleList:
        """The steps, one list of modules each, with weights that depend on nothing else."""
        torch.manual_seed(0)
        if self.sequence:
            return transformer.blocks(size.channels // 2, size.steps)
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
        full=(32, 64, 32),
        depths=(4, 16, 64),
        counted=torch.ops.aten.convolution.default,
        evaluated=4,
    ),
    "momentum": Network(
        "momentum",
        "Momentum block: v = 0.9 v + 0.1 f(x), x += v, f = conv-bn-relu-conv-bn, 3×3",
        MOMENTUM,
        full=(32, 32, 32),
        depths=(4, 16, 64),
        counted=torch.ops.aten.convolution.default,
        evaluated=2,
    ),
    "transformer": Network(
        "transformer",
        "Transformer block: Y += attention(Z), Z += MLP(Y), causal, normalised before",
        None,
        full=(4, 2 * 384, 256),
        depths=(4, 12),
        counted=torch.ops.aten.native_layer_norm.default,
        evaluated=2,
    ),
}
