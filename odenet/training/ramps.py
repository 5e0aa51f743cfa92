"""Ramps of converted models in anybody's Lightning trainer."""

import lightning.pytorch as pl

from odenet.conversion import Ramps


class MoveRamps(pl.Callback):
    """Moves the ramps of a module before each batch, to where the number of the step has them.

    So a resumed run goes on with it. Ramps whose length is said in epochs take the steps that an
    epoch has.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks for the ramps."""
        self._ramps = Ramps(
            pl_module, int(trainer.estimated_stepping_batches) // (trainer.max_epochs or 1)
        )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Moves them."""
        self._ramps.at(trainer.global_step)
