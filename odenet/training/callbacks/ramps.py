"""A Lightning callback, for any trainer, that moves the ramps of converted models.

A ramp is a constant that changes linearly during the first steps of training.
"""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from odenet.conversion import Ramps


class MoveRamps(Callback):
    """Sets the ramps of a module before each batch to their values at the current step.

    Thus a resumed run continues them. If a checkpoint is validated or tested, they get the values
    that they had when it was saved; the trainer needs this callback then, too. The length of a ramp
    in epochs is converted to steps.
    """

    def __init__(self) -> None:
        self._ramps: Ramps | None = None
        self._saved: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the ramps of the module.

        Raises:
            ValueError: it has none, or one has a length in epochs and the data have no length.
        """
        self._saved = {}
        steps = trainer.num_training_batches / trainer.accumulate_grad_batches
        self._ramps = Ramps(pl_module, math.ceil(steps) if steps < math.inf else None)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Move the ramps to the current step."""
        if self._ramps is not None:
            self._ramps.at(trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """The entries for a checkpoint: the state of the ramps, and the steps per epoch."""
        if self._ramps is None:
            return self._saved
        return {**self._ramps.state_dict(), "steps_per_epoch": self._ramps.steps_per_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the entries of a checkpoint; the ramps are set when validation or a test starts."""
        self._saved = state_dict

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the ramps as in the checkpoint, if one was loaded and this is not within a fit."""
        if self._saved and trainer.state.fn != "fit":
            Ramps(pl_module, self._saved["steps_per_epoch"]).load_state_dict(self._saved)
            self._saved = {}

    on_test_start = on_predict_start = on_validation_start
