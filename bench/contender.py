"""What an adapter makes of a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bench.networks import Network, Size


class Unable(Exception):
    """The library has no way to write this network."""


@dataclass(frozen=True)
class Contender:
    """A network as one library trains it.

    Attributes:
        module: input -> output.
        gradients: those of the weights after a backward pass, in the order of the steps' own.
    """

    module: nn.Module
    gradients: Callable[[], list[Tensor]]


Adapter = Callable[[Network, nn.ModuleList, Size], Contender]


def of_steps(module: nn.Module, steps: nn.ModuleList) -> Contender:
    """A module whose weights are those of the steps."""
    return Contender(module, lambda: [p.grad for p in steps.parameters()])
