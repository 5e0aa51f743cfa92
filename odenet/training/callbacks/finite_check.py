"""Losses, gradients and weights that are not finite: found at each step, and what happens then.

The flags are gathered on the device and read one step later, so that it does not wait for them;
until they are read, a gradient that is not finite has been replaced by zero, so that the weights
are still those that it was found with.
"""

from collections import deque
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins import MixedPrecision
from rich.console import Console
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from odenet.runtime.passes.host_copy import HostCopy
from odenet.training.callbacks.averaging import averages
from odenet.training.callbacks.run_callback import require_whole_weights, warn
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import NETWORK_PREFIX, non_finite_names

ROLLBACKS = 3  # in one epoch; then what goes wrong does so whatever the batch


class CheckedStep(NamedTuple):
    """What was found in a training step."""

    number: int  # in its epoch, from 1
    inputs: Tensor
    bad: HostCopy  # whether the loss, a gradient, a weight after the step is not finite


class FiniteCheck(Callback):
    """Stops training where numbers are no longer finite, or leaves out what led there.

    Args:
        policy: "stop"; "skip" leaves such a step out, for which the device waits at each; and
            "rollback" goes back to the weights that the epoch began with, and on with the next
            batch.
        console: where to say what was left out.
    """

    def __init__(self, policy: str, console: Console):
        self.policy = policy
        self.console = console
        self._loss = torch.zeros(())
        self._bad = torch.zeros(2)
        self._steps: deque[CheckedStep] = deque()
        self._before: dict[str, Any] = {}  # the step, or the epoch
        self._count = 0  # of steps left out, or of rollbacks in the epoch

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to take weights back that no process holds whole."""
        if self.policy != "stop":
            require_whole_weights(trainer, f"--on-nan {self.policy}", "--on-nan stop")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A new epoch has not been gone back in."""
        if self.policy == "rollback":
            self._before, self._count = {}, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember what the step, or the epoch, begins with."""
        if self.policy == "skip":
            self._before = {name: b.clone() for name, b in pl_module.named_buffers()}
        if self.policy == "rollback" and not self._before:
            self._before = deepcopy(_everything(trainer, pl_module))

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Keep the loss, to look at it together with its gradient."""
        self._loss = loss.detach()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Look at loss and gradients, and keep such as are not finite from the weights."""
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        precision = trainer.precision_plugin
        scaled = isinstance(precision, MixedPrecision) and precision.scaler is not None
        # A scaler of losses finds the largest scale by gradients that are not finite.
        # In the backward pass an optimizer has used its gradients up; the weights are looked at.
        none = scaled or not gradients
        bad_gradient = torch.zeros_like(self._loss) if none else _bad(gradients)
        self._bad = _agreed(torch.stack([(~self._loss.isfinite()).float(), bad_gradient.float()]))
        any_bad = self._bad.amax() > 0
        if self.policy != "skip":
            for gradient in gradients:
                gradient.masked_fill_(any_bad, 0)
        elif bool(any_bad):
            optimizer.zero_grad(set_to_none=True)  # which an optimizer passes over
            pl_module.load_state_dict(self._before, strict=False)
            self._bad.zero_()
            self._count += 1
            if self._count == 1:
                warn(
                    self.console,
                    f"in epoch {trainer.current_epoch + 1} a step was left out, as its loss or "
                    "gradient was not finite; so will others be",
                )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at the weights, and at what was found in the step before."""
        buffers = (buffer for buffer in pl_module.buffers() if buffer.is_floating_point())
        weights = _bad([*pl_module.parameters(), *buffers])
        found = torch.cat([self._bad, _agreed(weights.float()[None])])
        self._steps.append(CheckedStep(batch_idx + 1, batch[0], HostCopy(found)))
        last = batch_idx + 1 == trainer.num_training_batches
        waits = pl_module.device.type != "cpu" and not last
        self._settle(trainer, pl_module, 1 if waits else 0)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Nothing is kept before it is known to be good."""
        self._settle(trainer, pl_module, 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how many steps were left out."""
        if self.policy == "skip" and self._count > 1:
            warn(
                self.console,
                f"{self._count} steps were left out, as losses or gradients were not finite",
            )

    def _settle(self, trainer: Trainer, task: LightningModule, most: int) -> None:
        """Read what was found, except for the last ``most`` steps."""
        while len(self._steps) > most:
            step = self._steps.popleft()
            loss, gradient, weights = step.bad.read().tolist()
            if loss or gradient or weights:
                what = "loss" if loss else "gradient" if gradient else "weights after the step"
                self._respond(trainer, task, step, what)

    def _respond(
        self, trainer: Trainer, task: LightningModule, step: CheckedStep, what: str
    ) -> None:
        """Go back, or stop."""
        assert isinstance(task, Task)
        self._steps.clear()
        epoch = trainer.current_epoch + 1
        verb = "are" if what.startswith("weights") else "is"
        message = f"the {what} {verb} not finite in epoch {epoch}, step {step.number}"
        if self.policy == "rollback" and self._before and self._count < ROLLBACKS:
            self._count += 1
            _put_back(trainer, task, deepcopy(self._before))
            warn(self.console, f"{message}; back to the weights that the epoch began with")
            return
        if self.policy == "rollback":
            message += f", after {ROLLBACKS} rollbacks"
        bad = non_finite_names(dict(task.named_parameters()))
        if bad:
            raise task.fault(message, otherwise=f"{bad[0].removeprefix(NETWORK_PREFIX)} is not")
        raise task.fault(message, step.inputs if trainer.world_size == 1 else None)


def _bad(tensors: Iterable[Tensor]) -> Tensor:
    """Whether one of some tensors is not finite, on their device."""
    filled = [tensor.detach() for tensor in tensors if tensor.numel()]
    return ~get_total_norm(filled, torch.inf).isfinite()


def _agreed(flags: Tensor) -> Tensor:
    """Flags that one of the processes has set."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(flags, dist.ReduceOp.MAX)
    return flags


def _everything(trainer: Trainer, task: nn.Module) -> dict[str, Any]:
    """All that a step changes, the sums of the metrics apart."""
    return {
        "task": {k: v for k, v in task.state_dict().items() if k.startswith(NETWORK_PREFIX)},
        "optimizer": trainer.optimizers[0].state_dict(),
        "average": [average.state_dict() for average in averages(trainer)],
    }


def _put_back(trainer: Trainer, task: nn.Module, before: dict[str, Any]) -> None:
    task.load_state_dict(before["task"], strict=False)
    rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
    trainer.optimizers[0].load_state_dict(before["optimizer"])
    for group, rate in zip(trainer.optimizers[0].param_groups, rates, strict=True):
        group["lr"] = rate  # the schedule goes on
    for average, state in zip(averages(trainer), before["average"], strict=True):
        average.load_state_dict(state)
