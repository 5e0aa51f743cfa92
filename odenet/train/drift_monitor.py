"""How exactly flows rebuild their states while they train, and what to do when they do not."""

import math

import lightning.pytorch as pl
import torch
from rich.console import Console

from odenet.analyse.scheme_on_dynamics import LARGE
from odenet.train.flows import flows
from odenet.train.task import Task


class DriftMonitor(pl.Callback):
    """After the last step of each epoch reports the error of the rebuilt states.

    Args:
        console: where to say once that it is large.
    """

    def __init__(self, console: Console):
        self.console = console
        self._said = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What flows would warn of themselves is said here."""
        for flow in flows(pl_module.network).values() if isinstance(pl_module, Task) else ():
            flow.warns_of_drift = False

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Look at what the last backward pass of the epoch measured on one of its samples."""
        if batch_idx + 1 != trainer.num_training_batches or not isinstance(pl_module, Task):
            return
        found = [flow.drift for flow in flows(pl_module.network).values()]
        measured = [drift for drift in found if drift is not None]
        if not measured:
            return
        pl_module.health["drift"] = worst = torch.tensor(measured).amax().item()  # nan if one is
        if not math.isfinite(worst):
            return  # the states themselves were not finite, and that is said elsewhere
        if worst > LARGE and not self._said:
            self._said = True
            exact = any(flow.exact for flow in flows(pl_module.network).values())
            cure = "use --memory stored" if exact else "use --exact, or --memory stored"
            self.console.print(
                f"[yellow]warning:[/yellow] in epoch {trainer.current_epoch + 1} states were "
                f"rebuilt with a relative error of {worst:.1e}, and gradients are as wrong; "
                f"{cure}"
            )
