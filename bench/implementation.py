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


# Takes a network, the modules of each of its steps (`Network.build`), whose weights it uses or
# copies, and the size of the input.
Adapter = Callable[[Network, nn.ModuleList, Size], Implementation]


def implementation_of(module: nn.Module, steps: nn.ModuleList) -> Implementation:
    """The implementation by a module that uses the steps' own weights, not copies of them."""
    return Implementation(module, lambda: [p.grad for p in steps.parameters()])
