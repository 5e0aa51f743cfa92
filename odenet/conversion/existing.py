"""The layer `existing` of a specification: a converted network of torchvision or timm."""

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
from odenet.runtime.learned.constants import LearnedConstant, RampedConstant


def existing(
    name: str, outputs: int, scheme: str, text: str = "", exact: bool = False
) -> ExistingNetwork:
    """A network with random weights, whose residual blocks are steps of a scheme.

    Args:
        name: the network's name in torchvision or timm.
        outputs: outputs of its last layer.
        scheme: the scheme with its constants, as after `discretise`.
        text: the source text of the scheme, where the library does not have it.
        exact: whether steps are taken in fixed-point arithmetic.

    Raises:
        ValueError: if the network is not known, or cannot be converted in this way.
    """
    model = _build(name, outputs)
    spec = f"state x\nmap f = identity\nx' = f(x)\ndiscretise {scheme}\n{text}\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training reports how exact the inverse steps are
        converted = convert(model, spec, blocks=_plan(name), exact=exact)
    return ExistingNetwork(name, converted)


def _build(name: str, outputs: int) -> nn.Module:
    """Build a network, also under a ``FakeTensorMode``, where some of timm's cannot be built."""
    try:
        return build(name, weights=None, outputs=outputs)
    except ZooError:
        with unset_fake_temporarily() as faking:
            if faking is None:
                raise
            model = build(name, weights=None, outputs=outputs)
        return fake_copy(model)


@cache
def _plan(name: str) -> Plan:
    """The blocks that become steps, found by a run on real tensors even in a ``FakeTensorMode``."""
    with unset_fake_temporarily(), torch.random.fork_rng(devices=[]):
        return find_blocks(build(name, weights=None))


class ExistingNetwork(nn.Module):
    """A converted network, which can load the weights of the original.

    Args:
        name: the name of the original.
        model: the converted network.
    """

    def __init__(self, name: str, model: nn.Module):
        super().__init__()
        self.name = name
        self.model = model
        for flow in model.modules():  # here the state_dict has to include the state of ramps
            for attribute in flow.varying if isinstance(flow, ModuleFlow) else ():
                if isinstance(constant := getattr(flow, attribute), RampedConstant):
                    setattr(flow, attribute, RampedConstant(constant.ramp, constant.name))

    def forward(self, x: Tensor) -> Tensor:
        """The class scores of images (batch, channels, height, width)."""
        scores = self.model(x)
        if not isinstance(scores, Tensor):
            raise TypeError(
                f"{self.name} gives a {type(scores).__name__}, and training takes one tensor, the "
                "scores of classes"
            )
        return scores

    @torch.no_grad()
    def load_weights(self, weights: str) -> list[str]:
        """Load weights of the original.

        Args:
            weights: "default" for the library's best, or a file with a state_dict.

        Returns:
            The names of weights that are not loaded: those of a last layer of another width.

        Raises:
            ZooError: if there are no such weights, or other shapes than the last layer's differ.
        """
        loaded, state = stored_weights(self.name, weights), self.model.state_dict()
        classes, modules = (RampedConstant, LearnedConstant), self.model.named_modules()
        constants = [path for path, module in modules if isinstance(module, classes)]
        expected = {n: t for n, t in state.items() if n.rpartition(".")[0] not in constants}
        resized = [n for n in expected if n in loaded and expected[n].shape != loaded[n].shape]
        mismatched = [n for n in resized if expected[n].shape[1:] != loaded[n].shape[1:]]
        if why := difference(expected, loaded, mismatched):
            raise ZooError(f"{weights} does not hold weights of {self.name}: {why}")
        fitting = {n: t for n, t in loaded.items() if n not in resized}
        self.model.load_state_dict({**state, **fitting})
        return resized
