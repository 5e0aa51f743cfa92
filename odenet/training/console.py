"""What training shows while it runs: one bar, or a line per epoch, and nothing else."""

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

REFRESH = 0.1  # seconds between two updates of the bar
MAX_LINES = 20  # when the output is a file
DRIFT, MARGIN = "drifted by", "h·ω/limit"
BAR_WIDTH = 16  # columns
HIDDEN_METRICS = (
    "v_num",
    "samples/s",
    "tokens/s",
    "MiB",
)  # of the bar; lines and metrics.csv have them
NEGLIGIBLE_DRIFT = 1e-3  # of a rebuilt state's error; at 1e-2 a warning comes
FORMATS = {
    "test": "{:.2%}",
    DRIFT: "{:.0e}",
    "samples/s": "{:.0f}",
    "tokens/s": "{:.0f}",
}

# Lightning's remarks about what is meant to be so.
EXPECTED_WARNINGS = (
    r"(?s).*exists and is not empty",  # a run folder when it is resumed
    r"(?s).*LeafSpec",  # Lightning's own use of torch
    r"(?s).*even kernel lengths",  # a warning of the compiler says it in odenet's words
    r"(?s).*callbacks used to create the checkpoint",  # the recipe changed when it was resumed
    r"(?s).*no `validation_step`",  # a search for a learning rate measures nothing
    r"(?s).*sync_dist=True",  # torchmetrics has brought the processes' numbers together
)


def format_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch as they are shown, so that a line fits into 80 columns."""
    shown = {
        n: v for n, v in metrics.items() if n != DRIFT or not v < NEGLIGIBLE_DRIFT
    }  # nan is shown
    return {
        name: format_share(value) if name == MARGIN else FORMATS.get(name, "{:.4g}").format(value)
        for name, value in shown.items()
    }


def format_share(value: float) -> str:
    """A share in few columns, however large it is."""
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0e}"


class ProgressBar(RichProgressBar):
    """Lightning's bar, one for the training batches, epochs counted from one."""

    def __init__(self) -> None:
        theme = RichProgressBarTheme(progress_bar="cyan", progress_bar_finished="cyan", metrics="")
        super().__init__(refresh_rate=10, theme=theme)
        self._last_refresh = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the bar, but not for every one of many short batches."""
        now = time.monotonic()
        if now - self._last_refresh > REFRESH or batch_idx + 1 == trainer.num_training_batches:
            self._last_refresh = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_validation_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Validation is short; it has no bar."""

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Validation is short; it has no bar."""

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """What is done, a bar and the time that is left: a terminal is narrow."""
        theme = self.theme
        bar = BarColumn(
            BAR_WIDTH, complete_style=theme.progress_bar, finished_style=theme.progress_bar_finished
        )
        left = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
        return [TextColumn("{task.description}"), bar, left]

    def _init_progress(self, trainer: Trainer) -> None:
        super()._init_progress(trainer)
        if self._metric_component is not None:  # on one line, however narrow the terminal
            self._metric_component._table_column = Column(no_wrap=True, overflow="ellipsis")

    def get_metrics(self, *args: Any, **kwargs: Any) -> Any:
        """What is shown of an epoch."""
        metrics = dict(super().get_metrics(*args, **kwargs))
        for name in HIDDEN_METRICS:
            metrics.pop(name, None)
        return format_metrics(metrics)

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class ProgressLines(Checkpoint):
    """A line after some of the epochs, for output that goes to a file.

    A `Checkpoint` to Lightning, which calls those after the epoch's numbers are known.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console):
        self.console = console

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's numbers, for about twenty epochs of a run."""
        epoch, last = trainer.current_epoch + 1, trainer.max_epochs or 1
        if trainer.is_global_zero and (epoch % -(-last // MAX_LINES) == 0 or epoch == last):
            numbers = format_metrics(trainer.progress_bar_metrics)
            shown = "  ".join(f"{name} {number}" for name, number in numbers.items())
            self.console.print(f"epoch {epoch}/{last}  {shown}", highlight=False, soft_wrap=True)


def progress_display(console: Console) -> Callback:
    """A bar on a terminal that can go back on its line, lines elsewhere."""
    return ProgressBar() if has_bar(console) else ProgressLines(console)


def has_bar(console: Console) -> bool:
    """Whether progress is shown as a bar."""
    return console.is_terminal and not console.is_dumb_terminal


def quiet_lightning() -> AbstractContextManager[None]:
    """Keep Lightning from reporting what it finds, and from warning of what is meant to be."""
    return quiet(("lightning.pytorch", "lightning.fabric"), EXPECTED_WARNINGS)


@contextmanager
def quiet(libraries: Sequence[str], messages: Sequence[str] = ("",)) -> Iterator[None]:
    """Keep libraries from logging less than errors, and from some warnings.

    Args:
        libraries: the names of their loggers.
        messages: patterns of the warnings; by default of any.
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
