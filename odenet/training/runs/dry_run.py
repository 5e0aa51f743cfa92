"""`odenet train --dry-run`: train on a few batches, time them, and write nothing."""

import math
import time
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from odenet.compiler import Program
from odenet.model.tables.recipe import Recipe
from odenet.training.data.data_module import SplitLoaders
from odenet.training.run_folder.records import Options
from odenet.training.runs.trial import trial_run

STEPS = 3  # of the optimizer; the first batch warms up, and is not timed


@dataclass(frozen=True)
class DryRun:
    """What a whole run would take, estimated from a few batches.

    Args:
        loss: the loss of the first batch.
        step: seconds per optimizer step.
        seconds: the seconds that the whole run takes, with the validation after each epoch.
        memory: peak bytes on the GPU; None on a CPU.
    """

    loss: float
    step: float
    seconds: float
    memory: int | None = None

    def __str__(self) -> str:
        peak = "" if self.memory is None else f", at most {self.memory / 2**20:,.0f} MiB of the GPU"
        return (
            f"dry run: first loss {self.loss:.4g}, {_duration(self.step)} for a step{peak}\n"
            f"the whole training takes about {_duration(self.seconds)} here; nothing was written"
        )


@dataclass
class _BatchTimer(Callback):
    """Records the seconds that each batch takes, and the loss of the first."""

    training: list[float] = field(default_factory=list[float])
    validation: list[float] = field(default_factory=list[float])
    loss: float = math.nan
    _start: float = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self._start = _synchronized_time(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        self.training.append(_synchronized_time(trainer) - self._start)
        if math.isnan(self.loss):
            self.loss = outputs["loss"].item() * trainer.accumulate_grad_batches

    def on_validation_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self._start = _synchronized_time(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self.validation.append(_synchronized_time(trainer) - self._start)


def dry_run(
    program: Program,
    options: Options,
    console: Console | None = None,
    unchecked: bool = False,
    data: Any = None,
) -> DryRun:
    """Train on a few batches, validate on one, and estimate what the whole run would take.

    Args:
        program: the compiled spec.
        options: where it would run; one device is used.
        console: where notes about the data are printed.
        unchecked: as for `odenet.training.train`.
        data: as for `odenet.training.train`.

    Raises:
        SpecError: as `train`.
        TrainingError: as `train`.
    """
    timer = _BatchTimer()
    batches = STEPS * program.recipe.accumulate
    limits = {"max_epochs": 1, "limit_train_batches": batches, "limit_val_batches": 1}
    trial = trial_run(program, options, console, unchecked, data, callbacks=[timer], **limits)
    with trial as (task, samples, trainer):
        trainer.fit(task, datamodule=samples)
    recipe, cuda = task.recipe, task.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(task.device) if cuda else None
    step = fmean(timer.training[1:] or timer.training) * recipe.accumulate
    total = _total_seconds(recipe, samples, step, timer.validation[-1])
    return DryRun(timer.loss, step, total, peak)


def _total_seconds(recipe: Recipe, samples: SplitLoaders, step: float, validation: float) -> float:
    """The seconds that all epochs take; each refinement of the flows doubles the time of an epoch.

    Args:
        recipe: gives the number of epochs, and `levels`, the epochs with a refinement.
        samples: the data.
        step: seconds per optimizer step.
        validation: seconds per validation batch, which is twice as large as a training batch.
    """
    batches = -(-len(samples.validation) // (2 * recipe.batch))
    epoch = samples.steps_per_epoch * step + batches * validation
    refinements = (sum(at <= epochs for at in recipe.levels) for epochs in range(recipe.epochs))
    return sum(epoch * 2**count for count in refinements)


def _synchronized_time(trainer: Trainer) -> float:
    """The time in seconds, once the GPU has finished all work."""
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize(trainer.strategy.root_device)
    return time.perf_counter()


def _duration(seconds: float) -> str:
    """A duration as text: `0.12 s`, `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min"
