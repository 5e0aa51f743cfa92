"""What training prints while it runs: a progress bar on a terminal, else a line per epoch.

Lightning's own messages are silenced.
"""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

REFRESH_INTERVAL = 0.1  # seconds between two updates of the bar
MAX_LINES = 20  # printed per run when the output is not a terminal
DRIFT = "drifted by"  # the column with the relative error of states that an inverse step rebuilt
LIMIT_SHARE = "h·ω/limit"  # the column of `flows.stability`: above 1 a step is unstable
BAR_WIDTH = 16  # columns
HIDDEN_METRICS = ("v_num", "samples/s", "tokens/s", "MiB")  # no room for these beside the bar
NEGLIGIBLE_DRIFT = 1e-3  # a smaller drift is not shown; a warning is given at 1e-2
# The formats of some columns, of which "test" is the test accuracy; those of others are {:.4g}.
FORMATS = {"test": "{:.2%}", DRIFT: "{:.0e}", "samples/s": "{:.0f}", "tokens/s": "{:.0f}"}

# Patterns of warnings of Lightning and torch about what is intended here.
EXPECTED_WARNINGS = (
    r"(?s).*exists and is not empty",  # the folder of a run that is resumed
    r"(?s).*LeafSpec",  # Lightning's own use of torch
    r"(?s).*even kernel lengths",  # odenet's compiler warns about these itself
    r"(?s).*callbacks used to create the checkpoint",  # a resumed run may have a changed recipe
    r"(?s).*no `validation_step`",  # the learning rate finder does not validate
    r"(?s).*sync_dist=True",  # torchmetrics has already reduced over the processes
)


def format_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of an epoch as short texts, by name; without a drift that is negligible."""
    return {
        name: format_share(v) if name == LIMIT_SHARE else FORMATS.get(name, "{:.4g}").format(v)
        for name, v in metrics.items()
        if name != DRIFT or not v < NEGLIGIBLE_DRIFT  # nan is shown
    }


def format_share(value: float) -> str:
    """A value of h ω / limit with two decimals; from 100 on as a power of ten, to stay short."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0e}"


class ProgressBar(RichProgressBar):
    """Lightning's progress bar over the training batches, with epochs counted from 1."""

    def __init__(self) -> None:
        theme = RichProgressBarTheme(progress_bar="cyan", progress_bar_finished="cyan", metrics="")
        super().__init__(refresh_rate=10, theme=theme)
        self._last_refresh = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar, at most every `REFRESH_INTERVAL` seconds and after the last batch."""
        now, is_last = time.monotonic(), batch_idx + 1 == trainer.num_training_batches
        if is_last or now - self._last_refresh > REFRESH_INTERVAL:
            self._last_refresh = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Validation is short; it has no bar."""

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Validation is short; it has no bar."""

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """The columns: the epoch, the bar and the remaining time."""
        running, finished = self.theme.progress_bar, self.theme.progress_bar_finished
        bar = BarColumn(BAR_WIDTH, complete_style=running, finished_style=finished)
        remaining = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
        return [TextColumn("{task.description}"), bar, remaining]

    def _init_progress(self, trainer: Trainer) -> None:
        super()._init_progress(trainer)
        if self._metric_component is not None:  # on one line, however narrow the terminal
            self._metric_component._table_column = Column(no_wrap=True, overflow="ellipsis")

    def get_metrics(self, *args: Any, **kwargs: Any) -> Any:
        """The metrics to show beside the bar, formatted."""
        metrics = dict(super().get_metrics(*args, **kwargs))
        for name in HIDDEN_METRICS:
            metrics.pop(name, None)
        return format_metrics(metrics)

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class ProgressLines(Checkpoint):
    """Prints a line after some of the epochs, for output that is not a terminal.

    A subclass of `Checkpoint` only because Lightning calls checkpoint callbacks last, when all
    metrics of the epoch are known.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console):
        self.console = console

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's metrics, for at most `MAX_LINES` epochs of a run."""
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 1
        if trainer.is_global_zero and (epoch % -(-epochs // MAX_LINES) == 0 or epoch == epochs):
            numbers = format_metrics(trainer.progress_bar_metrics)
            shown = "  ".join(f"{name} {number}" for name, number in numbers.items())
            self.console.print(f"epoch {epoch}/{epochs}  {shown}", highlight=False, soft_wrap=True)


def progress_display(console: Console) -> Callback:
    """The callback that shows progress: a bar if the console can redraw a line, else lines."""
    return ProgressBar() if has_bar(console) else ProgressLines(console)


def has_bar(console: Console) -> bool:
    """Whether progress is shown as a bar."""
    return console.is_terminal and not console.is_dumb_terminal


def quiet_lightning() -> AbstractContextManager[None]:
    """A context in which Lightning logs only errors and gives none of `EXPECTED_WARNINGS`."""
    return quiet(("lightning.pytorch", "lightning.fabric"), EXPECTED_WARNINGS)


@contextmanager
def quiet(libraries: Sequence[str], messages: Sequence[str] = ("",)) -> Iterator[None]:
    """A context in which libraries log only errors, and some warnings are not shown.

    Args:
        libraries: the names of the libraries' loggers.
        messages: patterns of the warnings to ignore; by default all.
    """
    loggers = [logging.getLogger(name) for name in libraries]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in messages:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
