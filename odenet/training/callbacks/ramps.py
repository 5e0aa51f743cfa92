"""Ramps of converted models in anybody's Lightning trainer."""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from odenet.conversion import Ramps


class MoveRamps(Callback):
    """Moves the ramps of a module before each batch, to where the number of the step has them.

    So a resumed run goes on with it, and a checkpoint that is tested has them where they were: the
    callback has to be there then, too. Ramps whose length is said in epochs take the steps that an
    epoch has.
    """

    def __init__(self) -> None:
        self._ramps: Ramps | None = None
        self._saved: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks for the ramps.

        Raises:
            ValueError: if the module has none, or one in epochs and the data have no length.
        """
        self._saved = {}
        steps = trainer.num_training_batches / trainer.accumulate_grad_batches
        self._ramps = Ramps(pl_module, math.ceil(steps) if steps < math.inf else None)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Moves them."""
        if self._ramps is not None:
            self._ramps.at(trainer.global_step)

    def state_dict(self) -> dict[str, Any]:
        """How far they are, and how many steps an epoch has."""
        if self._ramps is None:
            return self._saved
        return {**self._ramps.state_dict(), "steps_per_epoch": self._ramps.steps_per_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of a checkpoint; the ramps move there when its module is used."""
        self._saved = state_dict

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves them to where the checkpoint has them, if one was loaded and it is not a fit."""
        if self._saved and trainer.state.fn != "fit":
            Ramps(pl_module, self._saved["steps_per_epoch"]).load_state_dict(self._saved)
            self._saved = {}

    on_test_start = on_predict_start = on_validation_start
