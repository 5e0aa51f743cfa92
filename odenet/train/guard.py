"""The stability margin while training: h ω as a share of the scheme's limit, and a cap on it.

A flow that was proved stable in continuous time is stable as a network only if its steps are short
enough for its weights, and the weights grow as they learn. They can also leave the signs that the
proof rests on.
"""

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from rich.console import Console
from rich.markup import escape
from torch import nn

from odenet.runtime.flow import Flow
from odenet.train.errors import TrainingError
from odenet.train.flows import ROUGH, flows, stability
from odenet.train.task import Task

EXACT = 200  # iterations before weights are changed by it
AIM = 0.98  # the share that a step which was above 1 gets
ROUNDS = 12  # of scaling; one is enough where ω is quadratic in the operators


class Guard(pl.Callback):
    """After the last step of each epoch measures the margin, and warns or rescales the operators.

    A condition of the proof that does not hold for the weights is said once.

    What it does follows from the weights alone, so that a resumed run does the same.

    Args:
        rescale: bring steps beyond the limit back below it; else say once that there are some.
        console: where to say it.
    """

    def __init__(self, rescale: bool, console: Console):
        self.rescale = rescale
        self.console = console
        self._said = False
        self._broken: set[str] = set()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse to rescale what cannot be measured."""
        if self.rescale and not _whole(trainer):
            raise TrainingError(
                f"--guard rescale needs whole weights, and {type(trainer.strategy).__name__} has "
                "cut them into pieces",
                "use --strategy ddp, or --guard warn",
            )
        if self.rescale and isinstance(pl_module, Task) and stability(pl_module.network, 1) is None:
            raise TrainingError(
                "--guard rescale: no stability limit is known for a flow of this network",
                "`odenet check` says why; use --guard warn",
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Look at the weights when an epoch's last step is done, before they are measured."""
        last = batch_idx + 1 == trainer.num_training_batches
        if not last or not isinstance(pl_module, Task) or not _whole(trainer):
            return
        self._look_at_conditions(pl_module.network, trainer.current_epoch + 1)
        if self.rescale:
            rescale(pl_module.network)
        margin = stability(pl_module.network, ROUGH)
        if margin is None:
            return
        pl_module.health["stability"] = margin
        if not margin <= 1 and not self._said:
            self._said = True
            help_ = (
                "shorten h" if self.rescale else "shorten h, or keep it below by --guard rescale"
            )
            self.console.print(
                f"[yellow]warning:[/yellow] after epoch {trainer.current_epoch + 1} the steps are "
                f"too long for the weights: h·ω is {margin:.3g} times its limit; {help_}"
            )

    def _look_at_conditions(self, network: nn.Module, epoch: int) -> None:
        """Say which conditions of the certificate do not hold, each once."""
        found = [pair for flow in flows(network).values() for pair in flow.conditions()]
        broken = dict.fromkeys(text for text, holds in found if not holds)
        new = [text for text in broken if text not in self._broken]
        self._broken.update(new)
        if new:
            self.console.print(
                f"[yellow]warning:[/yellow] after epoch {epoch} the proof about the spectrum does "
                f"not hold for the weights: it rests on {escape(' and '.join(new))}"
            )


def rescale(network: nn.Module) -> None:
    """Scale the operators of every step whose h ω is above its limit, until it is below."""
    for flow in flows(network).values():
        for _ in range(ROUNDS):
            shares = flow.stability(EXACT)
            beyond = (shares > 1) & shares.isfinite()  # others cannot be scaled back by a factor
            if not beyond.any():
                break
            _scale(flow, torch.where(beyond, (AIM / shares).sqrt(), 1.0))


@torch.no_grad()
def _scale(flow: Flow, factors: torch.Tensor) -> None:
    """Multiply the operators of each step by its factor; shared ones by the smallest."""
    for name in flow.operators:
        stack = getattr(flow, name)
        each = factors.amin(0, keepdim=True) if name in flow.shared else factors
        stack.mul_(each.to(stack).view(-1, *(1,) * (stack.ndim - 1)))


def _whole(trainer: pl.Trainer) -> bool:
    """Whether every process holds all of the weights."""
    return isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy)
