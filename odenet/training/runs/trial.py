"""How a task runs, and a trial of it that keeps nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from rich.console import Console

from odenet.compiler import Program
from odenet.model.tables.recipe import Recipe
from odenet.training.callbacks.trainer import PRECISIONS
from odenet.training.console import quiet_lightning
from odenet.training.data.data_module import SplitLoaders
from odenet.training.deterministic import deterministic
from odenet.training.learning.task import Task
from odenet.training.matmul_precision import matmul_precision
from odenet.training.run_folder.records import Options
from odenet.training.runs.build_task import apply_options
from odenet.training.runs.check_claims import check_claims
from odenet.training.runs.preparation import prepare_training


@contextmanager
def run_environment(recipe: Recipe, options: Options) -> Iterator[None]:
    """Within, torch computes as a recipe and options say, and Lightning is quiet."""
    repeatable = deterministic(options.deterministic)
    with quiet_lightning(), matmul_precision(recipe.precision), repeatable:
        yield


@contextmanager
def trial_run(
    program: Program,
    options: Options,
    console: Console | None,
    unchecked: bool,
    data: Any,
    **limits: Any,
) -> Iterator[tuple[Task, SplitLoaders, Trainer]]:
    """A new task with its data, and a trainer on one device that keeps nothing of what it does.

    Args:
        program: what would be trained.
        options: where it would run; one device is used.
        console: where to say what is remarkable about the data.
        unchecked: as for `odenet.training.train`.
        data: as for `odenet.training.train`.
        limits: what else Lightning's trainer takes, such as how much to train.

    Raises:
        SpecError: as `train`.
        TrainingError: as `train`.
    """
    check_claims(program, unchecked)
    task, samples = prepare_training(program, options, console or Console(quiet=True), data)
    apply_options(task.network, options)
    with run_environment(task.recipe, options):
        trainer = Trainer(
            accelerator="auto",
            devices=1,
            precision=PRECISIONS[task.recipe.precision],
            accumulate_grad_batches=task.recipe.accumulate,
            gradient_clip_val=task.recipe.clip or None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **limits,
        )
        yield task, samples, trainer
