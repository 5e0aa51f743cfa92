"""What callbacks of a run share: a hook at the end of an epoch, a requirement, warnings."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from rich.console import Console
from rich.text import Text

from odenet.diagnostics import printable
from odenet.training.errors import BadOption
from odenet.training.learning.task import Task


class EpochWatcher(Callback):
    """Calls `on_epoch_trained` after the last step of an epoch, before validation."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Call the hook, if this is the last step."""
        if batch_idx + 1 == trainer.num_training_batches and isinstance(pl_module, Task):
            self.on_epoch_trained(trainer, pl_module)

    def on_epoch_trained(self, trainer: Trainer, task: Task) -> None:
        """Called once per epoch."""
        raise NotImplementedError


def has_whole_weights(trainer: Trainer) -> bool:
    """Whether every process holds all of the weights."""
    return isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy)


def require_whole_weights(trainer: Trainer, option: str, otherwise: str) -> None:
    """Refuse a strategy that has cut the weights into pieces.

    Raises:
        TrainingError: names the option that needs them whole, and what to do otherwise.
    """
    if not has_whole_weights(trainer):
        strategy = type(trainer.strategy).__name__
        message = f"{option} needs whole weights, and {strategy} has cut them into pieces"
        raise BadOption(message, f"use --strategy ddp, or {otherwise}")


def warn(console: Console, text: str) -> None:
    """Print a warning."""
    warning = Text.assemble(("warning:", "yellow"), f" {printable(text)}")
    console.print(warning, soft_wrap=not console.is_terminal)
