"""`metrics.csv`: a row per epoch, written from rows that every checkpoint holds.

So the file never says more or less than the checkpoint that a run goes on from, and no row is lost
or written twice however a run ends.
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
    """Keeps the rows, and writes the file once the checkpoints that hold them are written.

    A `Checkpoint` to Lightning, which calls those, in order, after the epoch's numbers are known.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder):
        self.rows: list[Row] = []
        self._folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row."""
        place = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1}
        values = {name: value.item() for name, value in trainer.logged_metrics.items()}
        self.rows.append(place | values)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the rows of the epochs before."""
        if trainer.is_global_zero and self.rows:
            self.write()

    def write(self) -> None:
        """Write the file."""
        self._folder.write(self._folder.metrics, as_csv(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """The rows, for a checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The rows of a checkpoint."""
        self.rows = list(state_dict["rows"])


def metrics_callback(trainer: Trainer) -> Metrics:
    """The rows of a trainer that trains."""
    (found,) = (c for c in trainer.callbacks if isinstance(c, Metrics))  # pyright: ignore[reportAttributeAccessIssue]
    return found


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
    """Rows as the text of a table; what a row does not have is left empty."""
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    table = csv.DictWriter(text, list(names), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
