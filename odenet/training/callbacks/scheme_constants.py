"""Constants of a scheme while training: ramps are moved, learned ones are watched.

A ramp is a constant that changes linearly during the first steps of training.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import nn

from odenet.counted import counted
from odenet.runtime.learned.constants import LearnedConstant, RampedConstant
from odenet.training.callbacks.averaging import averaged_tasks
from odenet.training.callbacks.run_callback import warn
from odenet.training.errors import RecipeConflict
from odenet.training.flows import flows
from odenet.training.learning.task import Task

Kind = TypeVar("Kind", RampedConstant, LearnedConstant)


class SchemeConstants(Callback):
    """Moves ramps before each batch, and warns once when a learned constant is at its bound.

    A ramp's value follows from the number of the step, so that a resumed run continues it.

    Args:
        console: where to warn.
    """

    def __init__(self, console: Console):
        self.console = console
        self._warned = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse ramps that are longer than the training."""
        if not isinstance(pl_module, Task):
            return
        per_epoch, epochs = _steps_per_epoch(trainer), pl_module.recipe.epochs
        for constant in _constants_of(pl_module, RampedConstant):
            length = _steps_of_ramp(constant, per_epoch)
            if length > per_epoch * epochs:
                steps = counted(per_epoch * epochs, "step")
                limit = f"training has {counted(epochs, 'epoch')}, {steps}"
                message = f"the ramp of {constant.name} takes {length:g} steps, and {limit}"
                raise RecipeConflict(message, "write a shorter ramp, or train for longer")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Move the ramps, those of averaged weights too."""
        per_epoch = _steps_per_epoch(trainer)
        for network in (pl_module, *averaged_tasks(trainer)):
            for constant in _constants_of(network, RampedConstant):
                constant.move_to(trainer.global_step / _steps_of_ramp(constant, per_epoch))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if a learned constant is at its bound."""
        if self._warned:
            return
        constants = _constants_of(pl_module, LearnedConstant)
        at_bounds = [(c.name, i, bound) for c in constants for i, bound in c.steps_at_bounds()]
        for name, step, bound in at_bounds[:1]:
            self._warned = True
            pushed = f"training has pushed {name} of step {step} to its border {bound:g}"
            help_ = "lower the optimizer's lr, begin elsewhere, or write a number"
            where = f"in epoch {trainer.current_epoch + 1}"
            warn(self.console, f"{where} {pushed}, and there it stays; {help_}")


def _steps_per_epoch(trainer: Trainer) -> int:
    return trainer.datamodule.steps_per_epoch  # pyright: ignore[reportAttributeAccessIssue]


def _steps_of_ramp(constant: RampedConstant, per_epoch: int) -> float:
    """The length of a ramp in steps."""
    ramp = constant.ramp
    return ramp.epochs * per_epoch if ramp.steps is None else ramp.steps


def _constants_of(network: nn.Module, kind: type[Kind]) -> Iterator[Kind]:
    """All constants of one kind in the flows of a network."""
    for flow in flows(network).values():
        for name in flow.varying:
            constant = getattr(flow, name)
            if isinstance(constant, kind):
                yield constant
