"""Ramps of converted models in anybody's Lightning trainer."""

import math

from lightning.pytorch import Callback, LightningModule, Trainer

from odenet.conversion import Ramps


class MoveRamps(Callback):
    """Moves the ramps of a module before each batch, to where the number of the step has them.

    So a resumed run goes on with it. Ramps whose length is said in epochs take the steps that an
    epoch has.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks for the ramps.

        Raises:
            ValueError: if the module has none, or one in epochs and the data have no length.
        """
        steps = trainer.num_training_batches / trainer.accumulate_grad_batches
        self._ramps = Ramps(pl_module, math.ceil(steps) if steps < math.inf else None)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Moves them."""
        self._ramps.at(trainer.global_step)
