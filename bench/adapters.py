"""Adapters: how plain autograd and each library train the networks.

An adapter takes a network, the modules of its steps and a size, and returns an `Implementation`. It
raises ImportError if its library is not installed, and NotExpressible if the library cannot express
the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import FunctionType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.handwritten_chain import HandwrittenChain
from bench.implementation import Adapter, Implementation, NotExpressible, implementation_of
from bench.networks import GAMMA, Network, Size
from bench.odenet_adapters import odenet_compiled, odenet_half_memory, odenet_reversible

BUDGET = 0.5  # torch's activation_memory_budget, a share of what plain autograd stores


class PlainNetwork(nn.Module):
    """The network as plain torch code.

    Args:
        network: which one.
        steps: the modules of each of its steps.
        call_step: calls a step on a state.
    """

    def __init__(
        self,
        network: Network,
        steps: nn.ModuleList,
        call_step: Callable = lambda step, *state: step(*state),
    ):
        super().__init__()
        # Whether the input holds both states; else it is the first, and the second begins as 0.
        self.is_split = network.name != "momentum"
        step_class = CouplingStep if self.is_split else MomentumStep
        self.steps = nn.ModuleList(step_class(*modules) for modules in steps)
        self.axis = network.axis
        self.call_step = call_step

    def forward(self, u: Tensor) -> Tensor:
        """The output after all steps."""
        state = tuple(u.chunk(2, self.axis)) if self.is_split else (u, torch.zeros_like(u))
        for step in self.steps:
            state = self.call_step(step, *state)
        return torch.cat(state, self.axis) if self.is_split else state[0]


class CouplingStep(nn.Module):
    """A step Y += f(Z), Z += g(Y)."""

    def __init__(self, f: nn.Module, g: nn.Module):
        super().__init__()
        self.f, self.g = f, g

    def forward(self, Y: Tensor, Z: Tensor) -> tuple[Tensor, Tensor]:
        """The state after the step."""
        Y = Y + self.f(Z)
        return Y, Z + self.g(Y)


class MomentumStep(nn.Module):
    """A step v = γ v + (1 - γ) f(x), x += v."""

    def __init__(self, f: nn.Module):
        super().__init__()
        self.f = f

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The state after the step."""
        v = GAMMA * v + (1 - GAMMA) * self.f(x)
        return x + v, v


def plain(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """Plain autograd, which stores every activation."""
    return implementation_of(PlainNetwork(network, steps), steps)


def plain_compiled(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """Plain autograd with each step compiled; all steps share one compilation."""
    module = PlainNetwork(network, steps)
    for step in module.steps:
        step.compile()
    return implementation_of(module, steps)


def checkpointed(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """torch.utils.checkpoint around every step."""

    def call_step(step: nn.Module, *state: Tensor) -> tuple[Tensor, ...]:
        return checkpoint(step, *state, use_reentrant=False, preserve_rng_state=False)

    return implementation_of(PlainNetwork(network, steps, call_step), steps)


def budgeted(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """Compiled steps under torch's activation_memory_budget, which store a share of what they need.

    They get a copy of the code object of `forward`: dynamo keeps what it compiles by code object,
    and would use what `plain_compiled` has compiled without a budget.
    """
    module = PlainNetwork(network, steps)
    forward = type(module.steps[0]).forward
    forward_copy = FunctionType(forward.__code__.replace(), forward.__globals__, "forward")
    step_class = type("BudgetedStep", (type(module.steps[0]),), {"forward": forward_copy})
    for step in module.steps:
        step.__class__ = step_class
        step.compile()
    return implementation_of(BudgetedModule(module), steps)


class BudgetedModule(nn.Module):
    """Calls a module under torch's activation_memory_budget, which counts when it is compiled."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, u: Tensor) -> Tensor:
        """The output of the module."""
        from torch._functorch import config

        with config.patch(activation_memory_budget=BUDGET):
            return self.module(u)


def handwritten(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """The reversible chain of `bench.handwritten_chain`."""
    chain = HandwrittenChain(_couplings(network, steps), network.axis)
    return implementation_of(CouplingNetwork(network, chain), steps)


def channels_last(adapter: Adapter) -> Adapter:
    """An adapter that also stores feature maps channels-last, as odenet does on a CPU."""

    def adapt(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
        if network.is_sequence_model:
            raise NotExpressible("has no feature maps")
        implementation = adapter(network, steps.to(memory_format=torch.channels_last), size)
        return Implementation(ChannelsLast(implementation.module), implementation.gradients)

    return adapt


class ChannelsLast(nn.Module):
    """Calls a module on feature maps in the channels-last memory format."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, u: Tensor) -> Tensor:
        """The output of the module, in the default memory format."""
        return self.module(u.contiguous(memory_format=torch.channels_last)).contiguous()


def memcnn(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """memcnn: an InvertibleModuleWrapper around every additive coupling."""
    with warnings.catch_warnings():  # memcnn imports names that torch has moved
        warnings.simplefilter("ignore")
        from memcnn import AdditiveCoupling, InvertibleModuleWrapper
    if network.is_sequence_model:
        raise NotExpressible("splits channels of feature maps only")
    pairs = [AdditiveCoupling(f, g) for f, g in _couplings(network, steps)]
    chain = nn.Sequential(*(InvertibleModuleWrapper(pair) for pair in pairs))
    # memcnn frees the memory of its input, which the caller still needs: hence the copy.
    return implementation_of(CouplingNetwork(network, chain, torch.clone), steps)


def revlib(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """revlib: a ReversibleSequential in its default mode."""
    from revlib import ReversibleSequential

    functions = [module for pair in _couplings(network, steps) for module in pair]  # f, g, f, g, …
    chain = ReversibleSequential(*functions, split_dim=network.axis)
    return implementation_of(CouplingNetwork(network, chain), steps)


def revtorch(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """RevTorch: a ReversibleSequence of blocks."""
    from revtorch import ReversibleBlock, ReversibleSequence

    axis = network.axis
    blocks = [ReversibleBlock(f, g, axis) for f, g in _couplings(network, steps)]
    return implementation_of(
        CouplingNetwork(network, ReversibleSequence(nn.ModuleList(blocks))), steps
    )


def momentumnet(network: Network, steps: nn.ModuleList, size: Size) -> Implementation:
    """momentumnet: its MomentumNet without back-propagation."""
    if network.name != "momentum":
        raise NotExpressible("has momentum networks only")
    from momentumnet import MomentumNet

    blocks = [block for (block,) in steps]
    return implementation_of(MomentumNet(blocks, gamma=GAMMA, use_backprop=False), steps)


class Scaled(nn.Module):
    """Multiplies the output of a module by a factor."""

    def __init__(self, module: nn.Module, factor: float):
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, x: Tensor) -> Tensor:
        """Factor * module(x)."""
        return self.factor * self.module(x)


class CouplingNetwork(nn.Module):
    """A network by a chain of additive couplings on the two halves of its input.

    In a momentum network the first half is the velocity, which begins as 0, and the second one
    begins as the input and ends as the output.

    Args:
        network: which one.
        chain: the couplings of `_couplings`, as one module of the library.
        prepare: applied to the input, unless `torch.cat` copies it anyway.
    """

    def __init__(self, network: Network, chain: nn.Module, prepare: Callable = lambda u: u):
        super().__init__()
        self.chain, self.is_momentum, self.prepare = chain, network.name == "momentum", prepare

    def forward(self, u: Tensor) -> Tensor:
        """The output after all steps."""
        if not self.is_momentum:
            return self.chain(self.prepare(u))
        return self.chain(torch.cat((torch.zeros_like(u), u), 1)).chunk(2, 1)[1]


def _couplings(network: Network, steps: nn.ModuleList) -> list[tuple[nn.Module, nn.Module]]:
    """The pairs (f, g) that express each step as y1 = x1 + f(x2), y2 = x2 + g(y1).

    The libraries have additive couplings only. A step of momentum is one if the first half of the
    state is the scaled velocity w = v / γ^n: w += (1 - γ) γ^-n f(x), x += γ^n w.
    """
    if network.name != "momentum":
        return [tuple(modules) for modules in steps]
    powers = [GAMMA**n for n in range(1, len(steps) + 1)]
    return [
        (Scaled(block, (1 - GAMMA) / power), Scaled(nn.Identity(), power))
        for (block,), power in zip(steps, powers, strict=True)
    ]


BASELINE = "plain autograd"
ADAPTERS: dict[str, Adapter] = {  # by the names of the implementations in the tables
    BASELINE: plain,
    "torch.utils.checkpoint": checkpointed,
    "by hand": handwritten,  # a reversible chain without a library
    "momentumnet": momentumnet,
    "memcnn": memcnn,
    "revlib": revlib,
    "RevTorch": revtorch,
    "odenet": odenet_reversible,
    "odenet, half the memory": odenet_half_memory,
    "plain autograd, channels-last": channels_last(plain),
    "revlib, channels-last": channels_last(revlib),
    "RevTorch, channels-last": channels_last(revtorch),
    "plain autograd, compiled": plain_compiled,
    "activation_memory_budget, compiled": budgeted,
    "odenet, compiled": odenet_compiled,
}
