"""Networks of torchvision and timm as the `net` of a specification."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from odenet.conversion.fake_models import fake_copy
from odenet.conversion.model import convert
from odenet.conversion.module_flow import ModuleFlow
from odenet.conversion.search import Plan, find_blocks
from odenet.conversion.zoo import ZooError, build, difference, stored_weights
from odenet.runtime.learned.constants import LearnedConstant, Moving


def existing(
    name: str, outputs: int, scheme: str, text: str = "", exact: bool = False
) -> ExistingNetwork:
    """A network with random weights, whose residual blocks are steps of a scheme.

    Args:
        name: of the network, as torchvision or timm has it.
        outputs: numbers that its last layer gives.
        scheme: as after `discretise`, with its constants.
        text: of that scheme, where the library does not have it.
        exact: whether steps are taken in fixed point.

    Raises:
        ValueError: if the network is not known, or cannot be converted in this way.
    """
    model = _built(name, outputs)
    spec = f"state x\nmap f = identity\nx' = f(x)\ndiscretise {scheme}\n{text}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training says how exactly steps are undone
        converted = convert(model, spec, blocks=_plan(name), exact=exact)
    return ExistingNetwork(name, converted)


def _built(name: str, outputs: int) -> nn.Module:
    """A network, also where tensors have no values, which some (of timm) read as they are made."""
    try:
        return build(name, None, outputs)
    except ZooError:
        with unset_fake_temporarily() as faking:
            if faking is None:
                raise
            model = build(name, None, outputs)
        return fake_copy(model)


@cache
def _plan(name: str) -> Plan:
    """Which blocks become steps; found with values, also where the network has none."""
    with unset_fake_temporarily(), torch.random.fork_rng(devices=[]):
        return find_blocks(build(name, None))


class ExistingNetwork(nn.Module):
    """A converted network that can begin with the weights of its original.

    Args:
        name: of the original.
        model: the converted one.
    """

    def __init__(self, name: str, model: nn.Module):
        super().__init__()
        self.name = name
        self.model = model
        for flow in model.modules():  # a run keeps where its ramps are
            for constant in flow.varying if isinstance(flow, ModuleFlow) else ():
                if isinstance(moving := getattr(flow, constant), Moving):
                    setattr(flow, constant, Moving(moving.ramp, moving.name))

    def forward(self, x: Tensor) -> Tensor:
        """The scores of pictures (batch, channels, height, width)."""
        given = self.model(x)
        if not isinstance(given, Tensor):
            raise TypeError(
                f"{self.name} gives a {type(given).__name__}; what is trained here gives one "
                "tensor, the scores of classes"
            )
        return given

    @torch.no_grad()
    def begin_with(self, weights: str) -> list[str]:
        """Takes the weights of the original.

        Args:
            weights: "default" for the library's best, or a file with a state_dict.

        Returns:
            The names of the weights of the last layer that stay as they are, since they are of
            another number of outputs.

        Raises:
            ZooError: if there are no such weights, or others than those of the last layer differ.
        """
        found, whole = stored_weights(self.name, weights), self.model.state_dict()
        added = [
            p for p, m in self.model.named_modules() if isinstance(m, Moving | LearnedConstant)
        ]
        own = {n: t for n, t in whole.items() if n.rpartition(".")[0] not in added}
        other = [n for n in own if n in found and own[n].shape != found[n].shape]
        wrong = [name for name in other if own[name].shape[1:] != found[name].shape[1:]]
        if why := difference(own, found, wrong):
            raise ZooError(f"{weights} does not hold weights of {self.name}: {why}")
        self.model.load_state_dict({**whole, **{n: t for n, t in found.items() if n not in other}})
        return other
