"""The networks that are compared, as plain torch modules.

Every implementation is given the same modules with the same weights. They differ only in how the
backward pass gets its activations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench import transformer

STEP_SIZE = 0.1  # h of the Hamiltonian network
GAMMA = 0.9  # γ of the momentum network

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


class HalfStep(nn.Module):
    """factor * K^T relu(K x + b), half a Hamiltonian step (Chang et al. 2018, AAAI, Eq. 7).

    Args:
        channels: number of channels of x, which is one half of the state.
        factor: h, or -h in the second half of a step.
    """

    def __init__(self, channels: int, factor: float):
        super().__init__()
        self.factor = factor
        self.K = nn.Parameter(torch.randn(channels, channels, 3, 3) / (3 * channels**0.5))
        self.b = nn.Parameter(0.1 * torch.randn(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The increment of the other half of the state."""
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
    """The size of the input and the number of steps.

    Attributes:
        batch: number of samples.
        channels: number of channels of the input; a network with two states splits them in halves.
        side: height and width of a picture; the length of a sequence of tokens.
        steps: N, the depth.
    """

    batch: int
    channels: int
    side: int
    steps: int


@dataclass(frozen=True)
class Network:
    """One of the networks.

    Attributes:
        name: its key in NETWORKS.
        title: the title of its table in RESULTS.md.
        spec: the network in odenet's language; None where odenet is given the modules.
        default_size: batch, channels and side.
        default_depths: numbers of steps.
        counted_operation: an operation whose calls show how often right-hand sides are evaluated.
        operations_per_step: its calls when each right-hand side of a step is evaluated once.
    """

    name: str
    title: str
    spec: str | None
    default_size: tuple[int, int, int]
    default_depths: tuple[int, ...]
    counted_operation: Callable
    operations_per_step: int

    @property
    def is_sequence_model(self) -> bool:
        """Whether the input is a sequence of tokens, whose channels come last."""
        return self.name == "transformer"

    @property
    def axis(self) -> int:
        """The axis of the channels in the input."""
        return -1 if self.is_sequence_model else 1

    def shape(self, size: Size) -> tuple[int, ...]:
        """The shape of the input."""
        if self.is_sequence_model:
            return size.batch, size.side, size.channels
        return size.batch, size.channels, size.side, size.side

    def build(self, size: Size) -> nn.ModuleList:
        """For each step a list of its modules: one for momentum, else two; weights are seeded."""
        torch.manual_seed(0)
        if self.is_sequence_model:
            return transformer.blocks(size.channels // 2, size.steps)
        if self.name == "hamiltonian":
            c = size.channels // 2
            halves = [(HalfStep(c, STEP_SIZE), HalfStep(c, -STEP_SIZE)) for _ in range(size.steps)]
            return nn.ModuleList(nn.ModuleList(pair) for pair in halves)
        blocks = [residual_block(size.channels) for _ in range(size.steps)]
        return nn.ModuleList(nn.ModuleList([block]) for block in blocks)


NETWORKS = {
    "hamiltonian": Network(
        "hamiltonian",
        "Hamiltonian block: Y += h K1ᵀ relu(K1 Z + b1), Z -= h K2ᵀ relu(K2 Y + b2), 3×3",
        HAMILTONIAN,
        default_size=(32, 64, 32),
        default_depths=(4, 16, 64),
        counted_operation=torch.ops.aten.convolution.default,
        operations_per_step=4,
    ),
    "momentum": Network(
        "momentum",
        "Momentum block: v = 0.9 v + 0.1 f(x), x += v, f = conv-bn-relu-conv-bn, 3×3",
        MOMENTUM,
        default_size=(32, 32, 32),
        default_depths=(4, 16, 64),
        counted_operation=torch.ops.aten.convolution.default,
        operations_per_step=2,
    ),
    "transformer": Network(
        "transformer",
        "Transformer block: Y += attention(Z), Z += MLP(Y), causal, normalised before",
        None,
        default_size=(4, 2 * 384, 256),  # both halves of the state have 384 channels
        default_depths=(4, 12),
        counted_operation=torch.ops.aten.native_layer_norm.default,
        operations_per_step=2,
    ),
}
