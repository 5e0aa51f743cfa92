"""Simulates training steps of any network on fake tensors, to find how much memory they need."""

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
from odenet.footprint.ledger import MemoryLedger, fake_tensors
from odenet.runtime.optimizer_in_backward import OptimizerInBackward

Loss = Callable[[Any], Tensor]
Change = Callable[[nn.Module], None]  # changes a model in place


@dataclass(frozen=True)
class MemoryDemand:
    """The memory that a step needs in addition to the weights, in bytes.

    Attributes:
        highest: the most that is held at once, without the workspaces of kernels.
        held_at_kernels: the most that is held when a kernel with a workspace is called, by its
            `kernel_call`.
    """

    highest: int
    held_at_kernels: Mapping[str, int]

    def peak(self, workspaces: Mapping[str, int]) -> int:
        """The most that is held at once, with the workspaces of kernels, by their calls."""
        at_kernels = (held + workspaces.get(call, 0) for call, held in self.held_at_kernels.items())
        return max([self.highest, *at_kernels])


class StepSimulator:
    """Simulates training steps of models on one batch.

    Args:
        example: the batch.
        loss: the loss as a function of a model's output; None for the output's ``loss``, or else
            the mean square of its tensors.

    Attributes:
        samples: the number of samples of the batch; None if it has no tensors.
    """

    def __init__(self, example: Example, loss: Loss | None = None):
        self._example = example
        self._loss = loss or _default_loss
        leaves = pytree.tree_leaves((example.args, example.kwargs))
        self.samples = next((len(x) for x in leaves if isinstance(x, Tensor) and x.ndim), None)

    def demands(
        self, model: nn.Module, change: Change | None = None
    ) -> tuple[MemoryDemand, MemoryDemand]:
        """What a step needs, without and with an optimizer in the backward pass.

        Args:
            model: the model; a copy of it runs in training mode.
            change: applied to the copy, such as checkpointing.

        Raises:
            ValueError: if the model does not run on the batch.
        """
        no_warnings = warnings.catch_warnings()
        fakes = fake_tensors(allow_non_fake_inputs=True)
        with no_warnings, torch.random.fork_rng(devices=[]), fakes:
            warnings.simplefilter("ignore")
            model_copy = fake_copy(model).train()
            if change is not None:
                change(model_copy)
            arguments = self._example.args, self._example.kwargs
            args, kwargs = pytree.tree_map_only(Tensor, fake_tensor, arguments)
            inputs = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            plain = self._demand(model_copy, args, kwargs, inputs)
            parameters = [p for p in model_copy.parameters() if p.requires_grad]
            # It changes what the backward pass does; SGD has no state, and any rate would do.
            OptimizerInBackward(model_copy, torch.optim.SGD(parameters, lr=0.1))
            return plain, self._demand(model_copy, args, kwargs, inputs)

    def _demand(
        self, model: nn.Module, args: Any, kwargs: Any, inputs: list[Tensor]
    ) -> MemoryDemand:
        """What one step of a model on fake tensors needs; its inputs are not counted."""
        ledger, name = MemoryLedger(model, inputs), type(model).__name__
        with ledger:
            try:
                output = model(*args, **kwargs)
            except Exception as error:  # of any type: the model is foreign code
                raise ValueError(f"{name} does not run on the example: {_reason(error)}") from error
            loss = self._loss(output)
            try:
                loss.backward()
            except Exception as error:
                raise ValueError(f"{name} has no backward pass here: {_reason(error)}") from error
        for parameter in model.parameters():
            parameter.grad = None
        return MemoryDemand(ledger.highest, ledger.held_at_kernels)


def _reason(error: Exception) -> str:
    """An error of a simulated step in one line."""
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        return (
            f"the result of {error.func} depends on values, such as how many entries of a mask are "
            "set, and the prediction knows sizes alone"
        )
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def checkpoint_modules(model: nn.Module, paths: Iterable[str]) -> None:
    """Puts a checkpoint around modules: they store their input, and run again going backward.

    Caches of keys and values, to which a second run would append, are turned off, as the library
    transformers does under checkpointing.

    Args:
        model: the model, which is changed in place.
        paths: the paths of the modules.
    """
    for module in model.modules():
        config: Any = module.__dict__.get("config")
        if getattr(config, "use_cache", False):
            config.use_cache = False
    for path in paths:
        module = model.get_submodule(path)
        forward = partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=False)
        module.forward = forward


def checkpoint_rest(model: nn.Module) -> None:
    """Puts a checkpoint around the blocks of a converted model that are not in a flow."""
    for module in model.modules():
        if isinstance(module, ResidualStage):
            module.checkpoint = True


def _default_loss(output: Any) -> Tensor:
    """The ``loss`` of a model's output, or the mean square of its tensors."""
    loss = getattr(output, "loss", None)
    if isinstance(loss, Tensor):
        return loss
    tensors = [x for x in pytree.tree_leaves(output) if isinstance(x, Tensor) and x.requires_grad]
    if not tensors:
        raise ValueError("no output of the model depends on its weights in a differentiable way")
    return torch.stack([x.float().square().mean() for x in tensors]).sum()
