"""A training step of any network, walked through without values, in several ways."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from odenet.conversion.examples import Example
from odenet.conversion.fake_models import fake_copy, fake_tensor
from odenet.conversion.stages import ResidualStage
from odenet.footprint.ledger import MemoryLedger, valueless
from odenet.runtime.optimizer_in_backward import OptimizerInBackward

Loss = Callable[[Any], Tensor]
Change = Callable[[nn.Module], None]


@dataclass(frozen=True)
class Demand:
    """What a step holds beyond the weights, in bytes.

    Attributes:
        highest: the most at once, but for what kernels hold while they run.
        at_kernels: the most at once while one runs whose own memory is measured, by its call.
    """

    highest: int
    at_kernels: Mapping[str, int]

    def peak(self, within: Mapping[str, int]) -> int:
        """The most at once, with what kernels hold while they run, by their calls."""
        while_running = (held + within.get(call, 0) for call, held in self.at_kernels.items())
        return max([self.highest, *while_running])


class Walk:
    """Walks through training steps on one batch.

    Args:
        example: the batch.
        loss: of what a model gives; None for its ``loss``, or the mean square of its tensors.
    """

    def __init__(self, example: Example, loss: Loss | None = None):
        self._example = example
        self._loss = loss or _own_loss
        leaves = pytree.tree_leaves((example.args, example.kwargs))
        self.samples = next((len(x) for x in leaves if isinstance(x, Tensor) and x.ndim), None)

    def demands(self, model: nn.Module, change: Change | None = None) -> tuple[Demand, Demand]:
        """What a step needs, without and with an optimizer in the backward pass.

        Args:
            model: a copy of it is walked through, in training mode.
            change: made to that copy.

        Raises:
            ValueError: if the model does not run on the batch.
        """
        quiet = warnings.catch_warnings()
        everything = valueless(allow_non_fake_inputs=True)
        with quiet, torch.random.fork_rng(devices=[]), everything:
            warnings.simplefilter("ignore")
            twin = fake_copy(model).train()
            if change is not None:
                change(twin)
            args, kwargs = pytree.tree_map_only(
                Tensor, fake_tensor, (self._example.args, self._example.kwargs)
            )
            known = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            plain = self._demand(twin, args, kwargs, known)
            learned = [p for p in twin.parameters() if p.requires_grad]
            OptimizerInBackward(twin, torch.optim.SGD(learned, lr=0.1))
            return plain, self._demand(twin, args, kwargs, known)

    def _demand(self, twin: nn.Module, args: Any, kwargs: Any, known: list[Tensor]) -> Demand:
        ledger, name = MemoryLedger(twin, known), type(twin).__name__
        with ledger:
            try:
                given = twin(*args, **kwargs)
            except Exception as error:  # of any kind: the code is not ours
                raise ValueError(f"{name} does not run on the example: {_said(error)}") from error
            loss = self._loss(given)
            try:
                loss.backward()
            except Exception as error:
                raise ValueError(f"{name} has no backward pass here: {_said(error)}") from error
        for parameter in twin.parameters():
            parameter.grad = None
        return Demand(ledger.highest, ledger.at_kernels)


def _said(error: Exception) -> str:
    """Why a walk went no further."""
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        return (
            f"{error.func} gives what depends on values, such as how many entries a mask has, and "
            "the prediction has sizes alone"
        )
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def checkpointed(model: nn.Module, paths: Iterable[str]) -> None:
    """Has modules store their input only, and run again in the backward pass.

    A cache of keys and values, which a second run would fill further, is turned off, as by the
    switches of transformers.
    """
    for module in model.modules():
        config: Any = module.__dict__.get("config")
        if getattr(config, "use_cache", False):
            config.use_cache = False
    for path in paths:
        module = model.get_submodule(path)
        again: Any = partial(
            checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False
        )
        module.forward = again


def rest_checkpointed(model: nn.Module) -> None:
    """Checkpoints what no flow of a converted model takes in."""
    for module in model.modules():
        if isinstance(module, ResidualStage):
            module.checkpoint = True


def _own_loss(given: Any) -> Tensor:
    own = getattr(given, "loss", None)
    if isinstance(own, Tensor):
        return own
    leaves = pytree.tree_leaves(given)
    numbers = [x for x in leaves if isinstance(x, Tensor) and x.requires_grad]
    if not numbers:
        raise ValueError("the model gives nothing that its weights have a gradient of")
    return torch.stack([x.float().square().mean() for x in numbers]).sum()
