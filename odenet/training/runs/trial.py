"""A short run that writes nothing, for `--dry-run` and `--find-lr`, and the context of any run."""

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
    """A context with the torch settings that a recipe and options ask for, and Lightning quiet."""
    kernels = deterministic(options.deterministic)
    with quiet_lightning(), matmul_precision(recipe.precision), kernels:
        yield


@contextmanager
def trial_run(
    program: Program,
    options: Options,
    console: Console | None,
    unchecked: bool,
    data: Any,
    **trainer_options: Any,
) -> Iterator[tuple[Task, SplitLoaders, Trainer]]:
    """A context with a new task, its data, and a trainer on one device that writes no files.

    Args:
        program: the compiled spec.
        options: where it would run; one device is used.
        console: where notes about the data are printed; None for nowhere.
        unchecked: as for `odenet.training.train`.
        data: as for `odenet.training.train`.
        trainer_options: more arguments of Lightning's `Trainer`, such as how many batches to run.

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
            **trainer_options,
        )
        yield task, samples, trainer
