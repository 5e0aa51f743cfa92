"""What is compared: implementations of one network by several libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bench.networks import Network, Size


class NotExpressible(Exception):
    """A library cannot express a network; the message says why."""


@dataclass(frozen=True)
class Implementation:
    """A network as one library trains it.

    Attributes:
        module: maps the input to the output.
        gradients: returns the gradients of the weights after a backward pass, in the order in which
            `Network.build` makes the weights.
    """

    module: nn.Module
    gradients: Callable[[], list[Tensor]]


Adapter = Callable[[Network, nn.ModuleList, Size], Implementation]  # of the steps that it is given


def implementation_of(module: nn.Module, steps: nn.ModuleList) -> Implementation:
    """The implementation by a module that uses the weights of the steps themselves."""
    return Implementation(module, lambda: [p.grad for p in steps.parameters()])
