"""`metrics.csv` in the folder of a run: a row of metrics for each epoch.

The rows are also kept in every checkpoint, and the file is written from them. Thus the file always
agrees with the checkpoint from which a run is resumed: however a run ends, no row is lost or
written twice.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from odenet.training.run_folder.records import Row, RunFolder
from odenet.training.schema import Mismatch


class Metrics(Checkpoint):
    """The callback that keeps the rows, and writes the file after the checkpoints.

    A subclass of `Checkpoint` only because Lightning calls checkpoint callbacks last, when all
    metrics of the epoch are known. Checkpoints contain the name of this class.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: RunFolder):
        self.rows: list[Row] = []
        self._folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of the epoch."""
        position = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1}
        values = {name: value.item() for name, value in trainer.logged_metrics.items()}
        self.rows.append(position | values)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file with the rows of the previous epochs."""
        if trainer.is_global_zero and self.rows:
            self.write()

    def write(self) -> None:
        """Write the file with all rows so far."""
        self._folder.write(self._folder.metrics, as_csv(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """The rows, which a checkpoint stores for this callback."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows from a checkpoint."""
        self.rows = list(state_dict["rows"])


def metrics_callback(trainer: Trainer) -> Metrics:
    """The `Metrics` callback of a trainer."""
    (callback,) = (c for c in trainer.callbacks if isinstance(c, Metrics))  # pyright: ignore[reportAttributeAccessIssue]
    return callback


def checkpoint_rows(checkpoint: Mapping[str, Any]) -> list[Row]:
    """The rows that a checkpoint holds.

    Raises:
        Mismatch: it has none.
    """
    callbacks = checkpoint["callbacks"]
    if Metrics.__qualname__ not in callbacks:
        raise Mismatch(f"`callbacks` has no entry `{Metrics.__qualname__}`")
    return callbacks[Metrics.__qualname__]["rows"]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV table; a cell is empty where a row lacks the column."""
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    table = csv.DictWriter(text, list(names), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
