"""A training tried out: a few batches of it, timed, and nothing written."""

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

BATCHES = 3  # of training that are run; the first warms up, and is not counted


@dataclass(frozen=True)
class DryRun:
    """What a training would take.

    Args:
        loss: of the first batch.
        step: seconds of a step of the optimizer.
        seconds: of the whole training, measuring after each epoch included; an estimate.
        memory: peak bytes on the GPU so far; None on a CPU.
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
    """The time of each batch, once its work is done."""

    training: list[float] = field(default_factory=list[float])
    measuring: list[float] = field(default_factory=list[float])
    loss: float = math.nan
    _began: float = 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self._began = _synchronized_time(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any, **__: Any
    ) -> None:
        self.training.append(_synchronized_time(trainer) - self._began)
        if math.isnan(self.loss):
            self.loss = outputs["loss"].item() * trainer.accumulate_grad_batches

    def on_validation_batch_start(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self._began = _synchronized_time(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *_: Any, **__: Any) -> None:
        self.measuring.append(_synchronized_time(trainer) - self._began)


def dry_run(
    program: Program,
    options: Options,
    console: Console | None = None,
    unchecked: bool = False,
    data: Any = None,
) -> DryRun:
    """Train on a few batches, measure on one, and say what the whole would take.

    Args:
        program: what would be trained.
        options: where it would run; one device is tried.
        console: where to say what is remarkable about the data.
        unchecked: as for `odenet.training.train`.
        data: as for `odenet.training.train`.

    Raises:
        SpecError: as `train`.
        TrainingError: as `train`.
    """
    clock = _BatchTimer()
    limits = {
        "max_epochs": 1,
        "limit_train_batches": BATCHES * program.recipe.accumulate,
        "limit_val_batches": 1,
        "callbacks": [clock],
    }
    with trial_run(program, options, console, unchecked, data, **limits) as (
        task,
        samples,
        trainer,
    ):
        trainer.fit(task, datamodule=samples)
    recipe, cuda = task.recipe, task.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(task.device) if cuda else None
    step = fmean(clock.training[1:] or clock.training) * recipe.accumulate
    return DryRun(
        clock.loss, step, _total_seconds(recipe, samples, step, clock.measuring[-1]), peak
    )


def _total_seconds(recipe: Recipe, samples: SplitLoaders, step: float, measuring: float) -> float:
    """Seconds of all epochs, each refinement doubling the time of what follows."""
    batches = -(-len(samples.validation) // (2 * recipe.batch))
    epoch = samples.steps_per_epoch * step + batches * measuring
    refined = (sum(level <= done for level in recipe.levels) for done in range(recipe.epochs))
    return sum(epoch * 2**level for level in refined)


def _synchronized_time(trainer: Trainer) -> float:
    if trainer.strategy.root_device.type == "cuda":
        torch.cuda.synchronize(trainer.strategy.root_device)
    return time.perf_counter()


def _duration(seconds: float) -> str:
    """`0.12 s`, `45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min"
