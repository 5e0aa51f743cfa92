"""Watches how exactly flows rebuild their states in the backward pass, and warns."""

import math

import torch
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console

from odenet.training.callbacks.run_callback import EpochWatcher, warn
from odenet.training.flows import flows
from odenet.training.learning.task import Task
from odenet.visible_drift import VISIBLE_DRIFT


class DriftMonitor(EpochWatcher):
    """After the last step of each epoch records the relative error of the rebuilt states.

    Args:
        console: where to warn, once, that it is large.
    """

    def __init__(self, console: Console):
        self.console = console
        self._warned = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Turn off the flows' own warnings, since this callback warns."""
        for flow in flows(pl_module.network).values() if isinstance(pl_module, Task) else ():
            flow.warns_of_drift = False

    def on_epoch_trained(self, trainer: Trainer, task: Task) -> None:
        """Record the drift that flows measured in the epoch's last backward pass, on one sample."""
        drifts = [flow.drift for flow in flows(task.network).values()]
        measured = [drift for drift in drifts if drift is not None]
        if not measured:
            return
        largest = torch.tensor(measured).amax().item()  # NaN if any of them is
        task.callback_values["drift"] = largest
        if not math.isfinite(largest):
            return  # the states themselves were not finite, and another callback reports that
        if largest > VISIBLE_DRIFT and not self._warned:
            self._warned = True
            exact = any(flow.exact for flow in flows(task.network).values())
            remedy = "use --memory stored" if exact else "use --exact, or --memory stored"
            error = f"states were rebuilt with a relative error of {largest:.1e}"
            where = f"in epoch {trainer.current_epoch + 1}"
            warn(self.console, f"{where} {error}, and gradients have such an error too; {remedy}")
