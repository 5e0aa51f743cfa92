"""Checks losses, gradients and weights for NaN and inf in each step, and responds.

The flags are computed on the device and read one step later, so that the host never waits.
Meanwhile a gradient that is not finite is replaced by zero, so that the weights do not change.
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
from odenet.training.callbacks.averaging import averaged_tasks
from odenet.training.callbacks.run_callback import require_whole_weights, warn
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import NETWORK_PREFIX, non_finite_names

MAX_ROLLBACKS = 3  # in one epoch; then training stops


class StepFlags(NamedTuple):
    """A training step, and whether it had anything that is not finite."""

    number: int  # in its epoch, from 1
    inputs: Tensor
    flags: HostCopy  # for the loss, the gradients and the weights after the step: 1 if not finite


class FiniteCheck(Callback):
    """Stops training when numbers are no longer finite, or undoes the steps that made them so.

    Args:
        policy: "stop"; "skip" leaves such a step out, for which every step waits for the device;
            "rollback" restores the state at the beginning of the epoch and continues with the
            next batch.
        console: where to warn.
    """

    def __init__(self, policy: str, console: Console):
        self.policy = policy
        self.console = console
        self._loss = torch.zeros(())
        self._bad = torch.zeros(2)  # 1 where the loss, or a gradient, is not finite
        self._steps: deque[StepFlags] = deque()
        self._saved: dict[str, Any] = {}  # the state before the step, or before the epoch
        self._responses = 0  # number of steps left out ("skip"), or of rollbacks in the epoch

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to restore weights that no process holds whole."""
        if self.policy != "stop":
            require_whole_weights(trainer, f"--on-nan {self.policy}", "--on-nan stop")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last epoch's state and rollbacks."""
        if self.policy == "rollback":
            self._saved, self._responses = {}, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save the state that the step, or the epoch, begins with."""
        if self.policy == "skip":  # weights need not be restored, since they do not change
            self._saved = {name: b.clone() for name, b in pl_module.named_buffers()}
        if self.policy == "rollback" and not self._saved:
            self._saved = deepcopy(_training_state(trainer, pl_module))

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Keep the loss, to check it together with the gradients."""
        self._loss = loss.detach()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """Check loss and gradients; those that are not finite do not change the weights."""
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        precision = trainer.precision_plugin
        scaled = isinstance(precision, MixedPrecision) and precision.scaler is not None
        # A loss scaler expects some infinite gradients: they tell it that its scale is too large.
        # With updates in the backward pass no gradients are left here; weights are checked later.
        unchecked = scaled or not gradients
        bad_gradient = torch.zeros_like(self._loss) if unchecked else _not_finite_flag(gradients)
        bad_loss = ~self._loss.isfinite()
        self._bad = _any_process(torch.stack([bad_loss.float(), bad_gradient.float()]))
        any_bad = self._bad.amax() > 0
        if self.policy != "skip":
            for gradient in gradients:
                gradient.masked_fill_(any_bad, 0)
        elif bool(any_bad):
            optimizer.zero_grad(set_to_none=True)  # the optimizer then skips every weight
            pl_module.load_state_dict(self._saved, strict=False)
            self._bad.zero_()
            self._responses += 1
            if self._responses == 1:
                where = f"in epoch {trainer.current_epoch + 1}"
                reason = "as its loss or gradient was not finite; others like it will be, too"
                warn(self.console, f"{where} a step was left out, {reason}")

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Check the weights, and read the flags of the step before."""
        buffers = (buffer for buffer in pl_module.buffers() if buffer.is_floating_point())
        bad_weights = _not_finite_flag([*pl_module.parameters(), *buffers])
        flags = torch.cat([self._bad, _any_process(bad_weights.float()[None])])
        self._steps.append(StepFlags(batch_idx + 1, batch[0], HostCopy(flags)))
        last = batch_idx + 1 == trainer.num_training_batches
        postponed = pl_module.device.type != "cpu" and not last  # so that the host need not wait
        self._read_flags(trainer, pl_module, 1 if postponed else 0)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Read all flags, so that nothing is saved before it is known to be finite."""
        self._read_flags(trainer, pl_module, 0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn of how many steps were left out."""
        if self.policy == "skip" and self._responses > 1:
            reason = "as losses or gradients were not finite"
            warn(self.console, f"{self._responses} steps were left out, {reason}")

    def _read_flags(self, trainer: Trainer, task: LightningModule, unread: int) -> None:
        """Read the flags of all but the last ``unread`` steps, and respond."""
        while len(self._steps) > unread:
            step = self._steps.popleft()
            bad_loss, bad_gradient, bad_weights = step.flags.read().tolist()
            if bad_loss or bad_gradient or bad_weights:
                what = "gradient" if bad_gradient else "weights after the step"
                self._respond(trainer, task, step, "loss" if bad_loss else what)

    def _respond(self, trainer: Trainer, task: LightningModule, step: StepFlags, what: str) -> None:
        """Roll back, or raise an error. `what` says in words what is not finite in the step."""
        assert isinstance(task, Task)
        self._steps.clear()
        epoch = trainer.current_epoch + 1
        verb = "are" if what.startswith("weights") else "is"
        message = f"the {what} {verb} not finite in epoch {epoch}, step {step.number}"
        if self.policy == "rollback" and self._saved and self._responses < MAX_ROLLBACKS:
            self._responses += 1
            _restore(trainer, task, deepcopy(self._saved))
            warn(self.console, f"{message}; back to the weights that the epoch began with")
            return
        if self.policy == "rollback":
            message += f", after {MAX_ROLLBACKS} rollbacks"
        names = non_finite_names(dict(task.named_parameters()))
        if names:
            weight = names[0].removeprefix(NETWORK_PREFIX)
            raise task.divergence(message, otherwise=f"{weight} is not")
        raise task.divergence(message, step.inputs if trainer.world_size == 1 else None)


def _not_finite_flag(tensors: Iterable[Tensor]) -> Tensor:
    """Whether any of the tensors is not finite, as a tensor on their device."""
    nonempty = [tensor.detach() for tensor in tensors if tensor.numel()]
    return ~get_total_norm(nonempty, torch.inf).isfinite()


def _any_process(flags: Tensor) -> Tensor:
    """The flags, each set if it is set in any process."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(flags, dist.ReduceOp.MAX)
    return flags


def _training_state(trainer: Trainer, task: nn.Module) -> dict[str, Any]:
    """All that a step changes, except the sums of the metrics."""
    return {
        "task": {k: v for k, v in task.state_dict().items() if k.startswith(NETWORK_PREFIX)},
        "optimizer": trainer.optimizers[0].state_dict(),
        "average": [average.state_dict() for average in averaged_tasks(trainer)],
    }


def _restore(trainer: Trainer, task: nn.Module, saved: dict[str, Any]) -> None:
    task.load_state_dict(saved["task"], strict=False)
    rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
    trainer.optimizers[0].load_state_dict(saved["optimizer"])
    for group, rate in zip(trainer.optimizers[0].param_groups, rates, strict=True):
        group["lr"] = rate  # the schedule's present one, not the saved one
    for average, state in zip(averaged_tasks(trainer), saved["average"], strict=True):
        average.load_state_dict(state)
