"""How each contender trains the networks: an adapter per library.

An adapter takes the steps of `bench.networks` and gives a module from input to output. A library
that is not installed raises ImportError; one that cannot express a network raises Unable.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import FunctionType

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bench.by_hand import ByHand
from bench.contender import Adapter, Contender, Unable, of_steps
from bench.networks import GAMMA, Network, Size
from bench.own import own, own_compiled, own_half

BUDGET = 0.5  # of what plain autograd stores, for torch's own partitioner


class Plain(nn.Module):
    """The network as anyone would write it."""

    def __init__(self, network: Network, steps: nn.ModuleList, run: Callable = lambda f, *x: f(*x)):
        super().__init__()
        self.split = network.name != "momentum"
        kind = CouplingStep if self.split else MomentumStep
        self.steps = nn.ModuleList(kind(*row) for row in steps)
        self.axis = network.axis
        self.run = run

    def forward(self, u: Tensor) -> Tensor:
        """All steps."""
        state = tuple(u.chunk(2, self.axis)) if self.split else (u, torch.zeros_like(u))
        for step in self.steps:
            state = self.run(step, *state)
        return torch.cat(state, self.axis) if self.split else state[0]


class CouplingStep(nn.Module):
    """One step on (Y, Z)."""

    def __init__(self, f: nn.Module, g: nn.Module):
        super().__init__()
        self.f, self.g = f, g

    def forward(self, Y: Tensor, Z: Tensor) -> tuple[Tensor, Tensor]:
        """One step."""
        Y = Y + self.f(Z)
        return Y, Z + self.g(Y)


class MomentumStep(nn.Module):
    """One step on (x, v)."""

    def __init__(self, f: nn.Module):
        super().__init__()
        self.f = f

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """One step."""
        v = GAMMA * v + (1 - GAMMA) * self.f(x)
        return x + v, v


def plain(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """Autograd, which stores every activation."""
    return of_steps(Plain(network, steps), steps)


def plain_compiled(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """The same with each step compiled; one compilation serves all."""
    module = Plain(network, steps)
    for step in module.steps:
        step.compile()
    return of_steps(module, steps)


def checkpointed(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """torch.utils.checkpoint around every step."""

    def run(step: nn.Module, *state: Tensor) -> tuple[Tensor, ...]:
        return checkpoint(step, *state, use_reentrant=False, preserve_rng_state=False)

    return of_steps(Plain(network, steps, run), steps)


def budgeted(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """Compiled steps under torch's activation_memory_budget, which store a share of what they need.

    Its steps have a code object of their own: dynamo would take those of the step without a budget.
    """
    module = Plain(network, steps)
    forward = type(module.steps[0]).forward
    again = FunctionType(forward.__code__.replace(), forward.__globals__, "forward")
    kind = type("Budgeted", (type(module.steps[0]),), {"forward": again})
    for step in module.steps:
        step.__class__ = kind
        step.compile()
    return of_steps(Budgeted(module), steps)


class Budgeted(nn.Module):
    """A module that is compiled under a budget for its activations."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, u: Tensor) -> Tensor:
        """As the module's."""
        from torch._functorch import config

        with config.patch(activation_memory_budget=BUDGET):
            return self.module(u)


def by_hand(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """A reversible chain written for these couplings alone."""
    chain = ByHand(_couplings(network, steps), network.axis)
    return of_steps(Paired(network, chain), steps)


def channels_last(adapter: Adapter) -> Adapter:
    """The same with the channels of maps innermost, as odenet has them on a CPU by itself."""

    def adapted(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
        if network.sequence:
            raise Unable("has no maps")
        contender = adapter(network, steps.to(memory_format=torch.channels_last), size)
        return Contender(Reordered(contender.module), contender.gradients)

    return adapted


class Reordered(nn.Module):
    """A module of maps, given those with the channels innermost."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, u: Tensor) -> Tensor:
        """As the module's."""
        return self.module(u.contiguous(memory_format=torch.channels_last)).contiguous()


def memcnn(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """memcnn: an InvertibleModuleWrapper around every additive coupling."""
    with warnings.catch_warnings():  # of names that torch has moved
        warnings.simplefilter("ignore")
        from memcnn import AdditiveCoupling, InvertibleModuleWrapper
    if network.sequence:
        raise Unable("splits channels of maps only")
    pairs = [AdditiveCoupling(f, g) for f, g in _couplings(network, steps)]
    chain = nn.Sequential(*(InvertibleModuleWrapper(pair) for pair in pairs))
    # It frees the memory of its input, which the caller still needs.
    return of_steps(Paired(network, chain, torch.clone), steps)


def revlib(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """revlib: a ReversibleSequential in its default mode."""
    from revlib import ReversibleSequential

    halves = [half for pair in _couplings(network, steps) for half in pair]
    chain = ReversibleSequential(*halves, split_dim=network.axis)
    return of_steps(Paired(network, chain), steps)


def revtorch(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """RevTorch: a ReversibleSequence of blocks."""
    from revtorch import ReversibleBlock, ReversibleSequence

    axis = network.axis
    blocks = [ReversibleBlock(f, g, axis) for f, g in _couplings(network, steps)]
    return of_steps(Paired(network, ReversibleSequence(nn.ModuleList(blocks))), steps)


def momentumnet(network: Network, steps: nn.ModuleList, size: Size) -> Contender:
    """momentumnet: its MomentumNet without back-propagation."""
    if network.name != "momentum":
        raise Unable("has momentum networks only")
    from momentumnet import MomentumNet

    blocks = [block for (block,) in steps]
    return of_steps(MomentumNet(blocks, gamma=GAMMA, use_backprop=False), steps)


class Scaled(nn.Module):
    """A module's output times a factor."""

    def __init__(self, module: nn.Module, factor: float):
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return self.factor * self.module(x)


class Paired(nn.Module):
    """A chain of additive couplings on two halves of the channels, from input to output.

    A momentum network starts with the speed 0 beside its input, and hands on the other half.
    """

    def __init__(self, network: Network, chain: nn.Module, prepare: Callable = lambda u: u):
        super().__init__()
        self.chain, self.momentum, self.prepare = chain, network.name == "momentum", prepare

    def forward(self, u: Tensor) -> Tensor:
        """All steps."""
        if not self.momentum:
            return self.chain(self.prepare(u))
        return self.chain(torch.cat((torch.zeros_like(u), u), 1)).chunk(2, 1)[1]


def _couplings(network: Network, steps: nn.ModuleList) -> list[tuple[nn.Module, nn.Module]]:
    """Each step as y1 = x1 + f(x2), y2 = x2 + g(y1), which is all that the libraries have.

    For momentum the first half is w = v / γ^n: then w += (1 - γ) γ^-n f(x) and x += γ^n w.
    """
    if network.name != "momentum":
        return [tuple(row) for row in steps]
    powers = [GAMMA**n for n in range(1, len(steps) + 1)]
    return [
        (Scaled(block, (1 - GAMMA) / power), Scaled(nn.Identity(), power))
        for (block,), power in zip(steps, powers, strict=True)
    ]


BASELINE = "plain autograd"
CONTENDERS: dict[str, Adapter] = {
    BASELINE: plain,
    "torch.utils.checkpoint": checkpointed,
    "by hand": by_hand,
    "momentumnet": momentumnet,
    "memcnn": memcnn,
    "revlib": revlib,
    "RevTorch": revtorch,
    "odenet": own,
    "odenet, half the memory": own_half,
    "plain autograd, channels-last": channels_last(plain),
    "revlib, channels-last": channels_last(revlib),
    "RevTorch, channels-last": channels_last(revtorch),
    "plain autograd, compiled": plain_compiled,
    "activation_memory_budget, compiled": budgeted,
    "odenet, compiled": own_compiled,
}
