"""Stopping on request, at a point from which a run resumes bit for bit."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from odenet.interrupts import SIGNALS, Interrupted
from odenet.training.run_folder.metrics import Metrics
from odenet.training.run_folder.records import RunFolder

# What is subtracted from a target, so that a metric that equals it up to rounding has reached it.
TARGET_MARGIN = {"max": 1e-9, "min": -1e-9}


class Stopped(Exception):
    """Training was asked to stop, and can be resumed.

    Args:
        checkpoint: what to resume from: the checkpoint of a run, or the folder of a sweep.
        number: the signal's number; 0 if another process received it.
    """

    def __init__(self, checkpoint: Path, number: int):
        self.checkpoint = checkpoint
        self.number = number
        super().__init__(f"stopped by signal {number}; resume from {checkpoint}")


@contextmanager
def resumable(folder: RunFolder) -> Iterator[None]:
    """Turn an interrupt inside into `Stopped`, which says that the run can be resumed."""
    try:
        yield
    except Interrupted as interrupted:
        raise Stopped(folder.last, interrupted.number) from None


class ResumableEarlyStopping(EarlyStopping):
    """Lightning's early stopping; a run that it stopped stays stopped when it is resumed.

    Args:
        metrics: the rows of the finished epochs.
        target: stop beyond this; None for never.
        mode: "max" where more is better, "min" where less is.
        options: other arguments of Lightning's class.
    """

    def __init__(self, metrics: Metrics, target: float | None, mode: str = "max", **options: Any):
        super().__init__(stopping_threshold=target, mode=mode, **options)
        self._metrics = metrics

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop before the first epoch if the run had already been stopped when it was resumed."""
        threshold = self.stopping_threshold
        values = [row[self.monitor] for row in self._metrics.rows]
        sign = 1 if self.mode == "max" else -1
        reached = threshold is not None and any(sign * v > sign * threshold for v in values)
        if reached or self.wait_count >= self.patience:
            trainer.should_stop = True


class StopOnSignal(Checkpoint):
    """On SIGTERM or the first Ctrl-C, finish the step, save, and stop.

    The end of an epoch is not interrupted: its validation is finished and its checkpoint written
    first. With several processes a signal to any of them stops all, after the same step.

    Args:
        path: the checkpoint to write.
    """

    def __init__(self, path: Path):
        self.path = path
        self.signal_number = 0  # the signal that was received; 0 for none
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install handlers for SIGTERM and Ctrl-C; Python allows this only in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop between two steps, never while gradients are being accumulated."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        last = batch_idx + 1 == trainer.num_training_batches
        if stepped and not last and self._any_process_asked(trainer):
            trainer.save_checkpoint(trainer.strategy.broadcast(self.path))
            raise Stopped(self.path, self.signal_number)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop between two epochs; the checkpoint of the last one is written."""
        if self._any_process_asked(trainer):
            raise Stopped(self.path, self.signal_number)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous handlers."""
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Restore the previous handlers."""
        self._restore_handlers()

    def _on_signal(self, number: int, frame: Any) -> None:
        if number == self.signal_number == signal.SIGINT:  # a second Ctrl-C interrupts at once
            raise Stopped(self.path, number)
        self.signal_number = number

    def _any_process_asked(self, trainer: Trainer) -> bool:
        if trainer.world_size == 1:
            return self.signal_number != 0
        return trainer.strategy.reduce_boolean_decision(self.signal_number != 0, all=False)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}
