"""Lightning's Trainer as a recipe and a run folder want it."""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from odenet.diagnostics import suggest
from odenet.model.recipe import Recipe
from odenet.train.averaging import MovingAverage
from odenet.train.checkpoints import CheckpointFiles
from odenet.train.console import progress
from odenet.train.drift import DriftMonitor
from odenet.train.errors import TrainingError
from odenet.train.finite import FiniteCheck
from odenet.train.guard import Guard
from odenet.train.multilevel import MultiLevel
from odenet.train.records import Options, RunFolder
from odenet.train.stopping import Stopper

PRECISIONS: dict[str, Any] = {
    "float32": "32-true",
    "float64": "64-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def build_trainer(
    folder: RunFolder,
    recipe: Recipe,
    options: Options,
    watched: str = "test",
    console: Console | None = None,
    rows: Sequence[dict[str, float]] = (),
) -> pl.Trainer:
    """A trainer for a run.

    Args:
        folder: where checkpoints and metrics go.
        recipe: epochs, precision, clipping, and which callbacks.
        options: devices.
        watched: the split that chooses the best epoch.
        console: shows progress; None for a trainer that only measures.
        rows: metrics of the epochs already done, when a run is resumed.

    Raises:
        TrainingError: if the devices or the strategy are not to be had.
    """
    fits = console is not None
    known = ["auto", *StrategyRegistry.available_strategies()]
    if options.strategy not in known:
        near = suggest(options.strategy, known) or "--strategy ddp or fsdp"
        raise TrainingError(f"there is no strategy {options.strategy}", near)
    try:
        return pl.Trainer(
            accelerator="auto",
            devices=options.devices,
            num_nodes=options.nodes,
            strategy=options.strategy,
            precision=PRECISIONS[recipe.precision],
            max_epochs=recipe.epochs,
            gradient_clip_val=recipe.clip or None,
            callbacks=_callbacks(folder, recipe, watched, console) if fits else None,
            logger=_loggers(folder, options, rows) if fits else False,
            default_root_dir=folder.path,
            enable_checkpointing=fits,
            plugins=[CheckpointFiles()],
            enable_progress_bar=fits and console.is_terminal,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            sync_batchnorm=torch.cuda.is_available(),  # torch has it for GPUs only
            use_distributed_sampler=False,  # the loaders share the batches out themselves
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(str(error), "see --devices, --nodes, --strategy") from error


def _callbacks(folder: RunFolder, recipe: Recipe, watched: str, console: Console) -> list[Callback]:
    accuracy = f"{watched}_accuracy"
    guard = Guard(recipe.guard == "rescale", console)
    finite = FiniteCheck(recipe.on_nan, console)  # before others look at the weights
    found: list[Callback] = [progress(console), finite, guard, DriftMonitor(console)]
    if recipe.ema:
        found.append(MovingAverage(recipe.ema))
    if recipe.levels:
        found.append(MultiLevel())
    if recipe.patience or recipe.target:
        found.append(
            EarlyStopping(
                accuracy,
                patience=recipe.patience or recipe.epochs,
                mode="max",
                stopping_threshold=recipe.target - 1e-9 if recipe.target else None,
                check_on_train_epoch_end=True,
            )
        )
    common: dict[str, Any] = {
        "dirpath": folder.checkpoints,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    best = ModelCheckpoint(filename="best", monitor=accuracy, mode="max", **common)
    last = ModelCheckpoint(filename="last", **common)
    return [*found, best, last, Stopper(folder.checkpoints / "last.ckpt")]


def _loggers(folder: RunFolder, options: Options, rows: Sequence[dict[str, float]]) -> list[Logger]:
    """What writes `metrics.csv`, beginning with the rows of the epochs done, and TensorBoard's."""
    logger = CSVLogger(folder.path, name="", version="", flush_logs_every_n_steps=1)
    if rank_zero_only.rank == 0:
        for row in rows:
            logger.log_metrics(dict(row), int(row["step"]))
    if not options.tensorboard:
        return [logger]
    try:
        return [logger, TensorBoardLogger(folder.path, name="", version="tensorboard")]
    except ModuleNotFoundError as error:
        raise TrainingError(
            "--tensorboard: TensorBoard is not installed", "pip install 'odenet[tensorboard]'"
        ) from error
