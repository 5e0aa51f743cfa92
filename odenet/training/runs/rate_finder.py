"""`odenet train --find-lr`: the rate raised from step to step, and where the loss falls fastest."""

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
MIN_RATE, MAX_RATE = 1e-6, 10.0  # rates; the search ends before where the loss explodes
SMOOTHING = 0.98  # share of the mean loss that stays from step to step


@dataclass(frozen=True)
class RateSearch:
    """What a search for a learning rate found.

    Args:
        rates: of each step.
        losses: of each step, smoothed, the recipe's penalties included.
        suggestion: where the loss falls fastest with the rate, as Lightning says; None if there
            were too few steps.
        now: the recipe's rate.
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
        """Draw the loss by the rate.

        Raises:
            TrainingError: pictures of the path's ending cannot be written.
            WriteError: if it cannot be written.
        """
        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses)
        for rate, style, words in (
            (self.now, ":", "the spec's"),
            (self.suggestion, "--", "fastest"),
        ):
            if rate is not None:
                axes.axvline(rate, linestyle=style, color="0.4", label=f"{words}: {rate:.2g}")
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
        axes.legend(frameon=False, fontsize="small")
        save_figure(figure, path, dpi=150)


class _RateSearchModule(LightningModule):
    """A task without the recipe's schedule, whose place the search takes."""

    def __init__(self, task: Task):
        super().__init__()
        self.task = task
        self.losses: list[Tensor] = []  # of every batch

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
    """Train for a hundred steps, each at a higher rate, as Smith 2017 (section 3.3) does.

    Args:
        program: what would be trained.
        options: where it would run; one device is used.
        console: where to say what is remarkable about the data, and how far the search is.
        unchecked: as for `odenet.training.train`.
        data: as for `odenet.training.train`.

    Raises:
        SpecError: as `train`.
        TrainingError: as `train`.
    """
    console = console or Console(quiet=True)
    bar = nullcontext() if has_bar(console) else redirect_stderr(StringIO())  # Lightning's own
    with tempfile.TemporaryDirectory() as folder:  # of the weights that the search begins with
        limits = {"max_epochs": -1, "limit_val_batches": 0, "default_root_dir": folder}
        begun = trial_run(program, options, console, unchecked, data, **limits)
        with begun as (task, samples, trainer), bar:
            search, recipe = _RateSearchModule(task), task.recipe
            found = Tuner(trainer).lr_find(
                search,
                datamodule=samples,
                min_lr=MIN_RATE,
                max_lr=MAX_RATE,
                num_training=STEPS,
                update_attr=False,
            )
    assert found is not None  # it is only in Lightning's fast_dev_run
    losses = _smoothed_losses(search.losses, recipe.accumulate)
    rates = found.results["lr"][: len(losses)]
    found.results = {"lr": rates, "loss": losses}
    return RateSearch(tuple(rates), tuple(losses), found.suggestion(), recipe.optimizer["lr"])


def _smoothed_losses(losses: Sequence[Tensor], accumulate: int) -> list[float]:
    """The running mean of the loss after each step.

    Lightning's counts one step too many, and so begins at half of the loss.
    """
    each = torch.stack(list(losses)).double()
    each = each[: len(each) // accumulate * accumulate].view(-1, accumulate).mean(1)
    found, mean = list[float](), 0.0
    for step, loss in enumerate(each.tolist(), 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**step))
    return found
