"""`odenet train --find-lr`: the learning rate range test of Smith 2017, section 3.3.

The rate is raised from step to step; a good rate is where the loss falls fastest.
"""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.tuner.tuning import Tuner
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from odenet.compiler import Program
from odenet.training.console import has_bar
from odenet.training.data.batches import Batch
from odenet.training.figures import save_figure
from odenet.training.learning.optim import build_optimizer
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options
from odenet.training.runs.trial import trial_run

STEPS = 100
MIN_RATE, MAX_RATE = 1e-6, 10.0  # the search ends earlier if the loss explodes
SMOOTHING = 0.98  # the decay of the exponential moving average of the loss


@dataclass(frozen=True)
class RateSearch:
    """The result of a search for a learning rate.

    Args:
        rates: the learning rate of each step.
        losses: the smoothed loss of each step, including the recipe's penalties.
        suggestion: the rate at which the loss falls fastest, as Lightning computes it; None if
            there were too few steps.
        now: the learning rate that the recipe has now, before any suggestion is followed.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    suggestion: float | None
    now: float

    def __str__(self) -> str:
        tried = f"{len(self.rates)} steps at rates from {self.rates[0]:.1g} to {self.rates[-1]:.1g}"
        if self.suggestion is None:
            return f"{tried}: too few to suggest one; the spec has {self.now:g}"
        return (
            f"{tried}: the loss falls fastest at {self.suggestion:.2g}; the spec has {self.now:g}\n"
            f"  to take it: --lr {self.suggestion:.2g}"
        )

    def draw(self, path: Path) -> None:
        """Draw the loss against the rate.

        Raises:
            TrainingError: the path's ending is not that of a picture format.
            WriteError: the file cannot be written.
        """
        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses)
        for rate, line, name in ((self.now, ":", "the spec's"), (self.suggestion, "--", "fastest")):
            if rate is not None:
                axes.axvline(rate, linestyle=line, color="0.4", label=f"{name}: {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
        axes.legend(frameon=False, fontsize="small")
        save_figure(figure, path, dpi=150)


class _RateSearchModule(LightningModule):
    """A task without the recipe's schedule: the search sets the rate itself."""

    def __init__(self, task: Task):
        super().__init__()
        self.task = task
        self.losses: list[Tensor] = []  # one for each batch

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = self.task.training_step(batch, index)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.task.network, self.task.recipe.optimizer)


def find_rate(
    program: Program,
    options: Options,
    console: Console | None = None,
    unchecked: bool = False,
    data: object = None,
) -> RateSearch:
    """Train for a hundred steps, each at a higher rate than the one before. Keeps no weights.

    Args:
        program: the compiled spec.
        options: where it would run; one device is used.
        console: where notes about the data and the progress are printed.
        unchecked: as for `odenet.training.train`.
        data: as for `odenet.training.train`.

    Raises:
        SpecError: as `train`.
        TrainingError: as `train`.
    """
    console = console or Console(quiet=True)
    progress = nullcontext() if has_bar(console) else redirect_stderr(StringIO())  # the Tuner's bar
    with tempfile.TemporaryDirectory() as folder:  # where the Tuner keeps the initial weights
        limits = {"max_epochs": -1, "limit_val_batches": 0, "default_root_dir": folder}
        run = trial_run(program, options, console, unchecked, data, **limits)
        with run as (task, samples, trainer), progress:
            module, recipe = _RateSearchModule(task), task.recipe
            bounds = {"min_lr": MIN_RATE, "max_lr": MAX_RATE, "num_training": STEPS}
            finder = Tuner(trainer).lr_find(module, datamodule=samples, update_attr=False, **bounds)
    assert finder is not None  # None only with Lightning's fast_dev_run
    losses = _smoothed_losses(module.losses, recipe.accumulate)
    rates = finder.results["lr"][: len(losses)]
    finder.results = {"lr": rates, "loss": losses}
    return RateSearch(tuple(rates), tuple(losses), finder.suggestion(), recipe.optimizer["lr"])


def _smoothed_losses(losses: Sequence[Tensor], accumulate: int) -> list[float]:
    """The exponential moving average of the loss after each step, corrected for its start at 0.

    Lightning's own average is off by one step in this correction, and starts at half of the loss.

    Args:
        losses: the loss of each batch.
        accumulate: how many batches make one step of the optimizer.
    """
    steps = len(losses) // accumulate
    batch_losses = torch.stack(list(losses)).double()[: steps * accumulate]
    smoothed, mean = list[float](), 0.0
    for step, loss in enumerate(batch_losses.view(-1, accumulate).mean(1).tolist(), 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smoothed.append(mean / (1 - SMOOTHING**step))
    return smoothed
