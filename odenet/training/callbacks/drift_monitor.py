"""How exactly flows rebuild their states while they train, and what to do when they do not."""

import math

import torch
from lightning.pytorch import LightningModule, Trainer
from rich.console import Console

from odenet.training.callbacks.run_callback import EpochWatcher, warn
from odenet.training.flows import flows
from odenet.training.learning.task import Task
from odenet.visible_drift import VISIBLE_DRIFT


class DriftMonitor(EpochWatcher):
    """After the last step of each epoch reports the error of the rebuilt states.

    Args:
        console: where to say once that it is large.
    """

    def __init__(self, console: Console):
        self.console = console
        self._said = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What flows would warn of themselves is said here."""
        for flow in flows(pl_module.network).values() if isinstance(pl_module, Task) else ():
            flow.warns_of_drift = False

    def look_at(self, trainer: Trainer, task: Task) -> None:
        """Look at what the last backward pass of the epoch measured on one of its samples."""
        found = [flow.drift for flow in flows(task.network).values()]
        measured = [drift for drift in found if drift is not None]
        if not measured:
            return
        task.health["drift"] = worst = torch.tensor(measured).amax().item()  # nan if one is
        if not math.isfinite(worst):
            return  # the states themselves were not finite, and that is said elsewhere
        if worst > VISIBLE_DRIFT and not self._said:
            self._said = True
            exact = any(flow.exact for flow in flows(task.network).values())
            cure = "use --memory stored" if exact else "use --exact, or --memory stored"
            warn(
                self.console,
                f"in epoch {trainer.current_epoch + 1} states were rebuilt with a relative error "
                f"of {worst:.1e}, and gradients are as wrong; {cure}",
            )
