"""A training step of any network, walked through without values, in several ways."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from odenet.conversion.examples import Example
from odenet.conversion.stages import ResidualStage
from odenet.footprint.step import MemoryLedger
from odenet.runtime.in_backward import OptimizerInBackward

Loss = Callable[[Any], Tensor]
Change = Callable[[nn.Module], None]


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

    def peaks(self, model: nn.Module, change: Change | None = None) -> tuple[int, int]:
        """The most bytes beyond weights, without and with an optimizer in the backward pass.

        Args:
            model: a copy of it is walked through, in training mode.
            change: made to that copy.

        Raises:
            ValueError: if the model does not run on the batch.
        """
        mode = FakeTensorMode(allow_non_fake_inputs=True)
        quiet = warnings.catch_warnings()
        with quiet, torch.random.fork_rng(devices=[]), mode:
            warnings.simplefilter("ignore")
            twin = _without_values(model, mode).train()
            if change is not None:
                change(twin)
            args, kwargs = pytree.tree_map_only(
                Tensor, partial(_fake, mode), (self._example.args, self._example.kwargs)
            )
            known = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            plain = self._peak(twin, args, kwargs, known)
            learned = [p for p in twin.parameters() if p.requires_grad]
            OptimizerInBackward(twin, torch.optim.SGD(learned, lr=0.1))
            return plain, self._peak(twin, args, kwargs, known)

    def _peak(self, twin: nn.Module, args: Any, kwargs: Any, known: list[Tensor]) -> int:
        ledger = MemoryLedger(twin, known)
        with ledger:
            try:
                given = twin(*args, **kwargs)
            except Exception as error:  # of any kind: the code is not ours
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                name = type(twin).__name__
                raise ValueError(f"{name} does not run on the example: {reason}") from error
            self._loss(given).backward()
        for parameter in twin.parameters():
            parameter.grad = None
        return ledger.highest


def checkpointed(model: nn.Module, paths: Iterable[str]) -> None:
    """Has modules store their input only, and run again in the backward pass."""
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


def _without_values(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """A copy whose weights and buffers have sizes alone."""
    known: dict[int, Any] = {}
    for parameter in model.parameters():
        fake = _fake(mode, parameter)
        known[id(parameter)] = nn.Parameter(fake, parameter.requires_grad)
    for buffer in model.buffers():
        known[id(buffer)] = _fake(mode, buffer)
    return copy.deepcopy(model, known)


def _fake(mode: FakeTensorMode, tensor: Tensor) -> Tensor:
    if isinstance(tensor, FakeTensor):
        return tensor
    device = "cpu" if tensor.is_meta else tensor.device
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


def _own_loss(given: Any) -> Tensor:
    own = getattr(given, "loss", None)
    if isinstance(own, Tensor):
        return own
    leaves = pytree.tree_leaves(given)
    numbers = [x for x in leaves if isinstance(x, Tensor) and x.requires_grad]
    if not numbers:
        raise ValueError("the model gives nothing that its weights have a gradient of")
    return torch.stack([x.float().square().mean() for x in numbers]).sum()
