"""Constants of a scheme while training: ramps are moved, and learned ones watched."""

from collections.abc import Iterator
from typing import TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import nn

from odenet.runtime.learned.constants import LearnedConstant, Moving
from odenet.training.callbacks.averaging import averages
from odenet.training.callbacks.run_callback import warn
from odenet.training.errors import RecipeConflict
from odenet.training.flows import flows
from odenet.training.learning.task import Task

Kind = TypeVar("Kind", Moving, LearnedConstant)


class Constants(Callback):
    """Moves every ramp before each batch, and says once where a learned constant is at its border.

    A ramp's place follows from the number of the step, so that a resumed run goes on with it.

    Args:
        console: where to say it.
    """

    def __init__(self, console: Console):
        self.console = console
        self._said = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse ramps that training ends before."""
        if not isinstance(pl_module, Task):
            return
        per_epoch, epochs = _steps_per_epoch(trainer), pl_module.recipe.epochs
        for moving in _found(pl_module, Moving):
            long = _length(moving, per_epoch)
            if long > per_epoch * epochs:
                has = f"{epochs} epochs, {per_epoch * epochs} steps"
                message = f"the ramp of {moving.name} takes {long:g} steps, and training has {has}"
                raise RecipeConflict(message, "write a shorter ramp, or train for longer")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Move the ramps, those of averaged weights too."""
        per_epoch = _steps_per_epoch(trainer)
        for network in (pl_module, *averages(trainer)):
            for moving in _found(network, Moving):
                moving.move(trainer.global_step / _length(moving, per_epoch))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look where the learned constants have come to."""
        if self._said:
            return
        found = [(c.name, *at) for c in _found(pl_module, LearnedConstant) for at in c.at_border()]
        for name, step, end in found[:1]:
            self._said = True
            warn(
                self.console,
                f"in epoch {trainer.current_epoch + 1} training has pushed {name} of step {step} "
                f"to its border {end:g}, and there it stays; lower the optimizer's lr, "
                "begin elsewhere, or write a number",
            )


def _steps_per_epoch(trainer: Trainer) -> int:
    return trainer.datamodule.steps_per_epoch  # pyright: ignore[reportAttributeAccessIssue]


def _length(moving: Moving, per_epoch: int) -> float:
    """How many steps a ramp takes."""
    ramp = moving.ramp
    return ramp.epochs * per_epoch if ramp.steps is None else ramp.steps


def _found(network: nn.Module, kind: type[Kind]) -> Iterator[Kind]:
    """The constants of a kind, of all flows."""
    for flow in flows(network).values():
        for name in flow.varying:
            constant = getattr(flow, name)
            if isinstance(constant, kind):
                yield constant
