"""Lightning's Trainer with the callbacks and options of a recipe."""

import os
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import StrategyRegistry
from rich.console import Console

from odenet.diagnostics import suggest
from odenet.model.tables.losses import METRICS, MetricKind
from odenet.model.tables.recipe import Recipe
from odenet.training.callbacks.averaging import MovingAverage
from odenet.training.callbacks.drift_monitor import DriftMonitor
from odenet.training.callbacks.finite_check import FiniteCheck
from odenet.training.callbacks.loggers import build_logger
from odenet.training.callbacks.multilevel import MultiLevel
from odenet.training.callbacks.scheme_constants import SchemeConstants
from odenet.training.callbacks.stability_guard import StabilityGuard
from odenet.training.callbacks.stopping import TARGET_MARGIN, ResumableEarlyStopping, StopOnSignal
from odenet.training.console import has_bar, progress_display
from odenet.training.errors import BadOption
from odenet.training.run_folder.checkpoints import CheckpointFiles, KeptCheckpoint
from odenet.training.run_folder.metrics import Metrics
from odenet.training.run_folder.records import Options, RunFolder

PRECISIONS: dict[str, Any] = {
    "float32": "32-true",
    "tf32": "32-true",  # and see odenet/training/matmul_precision.py
    "float64": "64-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def build_trainer(
    folder: RunFolder,
    recipe: Recipe,
    options: Options,
    validation_name: str = "test",
    console: Console | None = None,
    metric: MetricKind = METRICS["accuracy"],
) -> Trainer:
    """A trainer for a run.

    Args:
        folder: where checkpoints and metrics are written.
        recipe: gives epochs, precision, clipping, and which callbacks.
        options: gives devices, strategy and logger.
        validation_name: the split that chooses the best epoch.
        console: shows progress; None for a trainer that only measures.
        metric: the one that chooses the best epoch.

    Raises:
        TrainingError: if the devices or the strategy are not available.
    """
    trains = console is not None
    monitor = f"{validation_name}_{metric.name}"
    known = ["auto", *(s for s in StrategyRegistry.available_strategies() if _is_supported(s))]
    if options.strategy not in known:
        near = suggest(options.strategy, known) or "--strategy ddp or fsdp"
        raise BadOption(f"there is no strategy {options.strategy}", near)
    _require_processors(options.devices)
    logger = build_logger(options.logger, folder.path) if trains and options.logger else False
    try:
        return Trainer(
            accelerator="auto",
            devices=options.devices,
            num_nodes=options.nodes,
            strategy=options.strategy,
            precision=PRECISIONS[recipe.precision],
            max_epochs=recipe.epochs,
            accumulate_grad_batches=recipe.accumulate,
            gradient_clip_val=None if options.update_in_backward else recipe.clip or None,
            callbacks=_callbacks(folder, recipe, monitor, console, metric) if trains else None,
            logger=logger,
            default_root_dir=folder.path,
            enable_checkpointing=trains,
            plugins=[CheckpointFiles()],
            enable_progress_bar=trains and has_bar(console),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            sync_batchnorm=torch.cuda.is_available(),  # torch has it for GPUs only
            use_distributed_sampler=False,  # the loaders share the batches out themselves
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError, ImportError) as error:
        raise BadOption(str(error), "see --devices, --nodes, --strategy") from error


def _is_supported(strategy: str) -> bool:
    """Whether a strategy of Lightning is for CPUs or GPUs, and for a command line.

    Those for notebooks train in child processes, so that this one does not see the epochs.
    """
    return not any(word in strategy for word in ("xla", "tpu", "spawn", "fork", "notebook"))


def _require_processors(devices: int | str) -> None:
    """Refuse too many processes on a machine without GPUs; with GPUs Lightning does."""
    most = 4 * (os.cpu_count() or 1)
    if isinstance(devices, int) and devices > most and not torch.cuda.is_available():
        message = f"--devices {devices}: this machine has {os.cpu_count() or 1} processors"
        raise BadOption(message, f"give at most {most}: each device is a process of its own")


def _callbacks(
    folder: RunFolder, recipe: Recipe, monitor: str, console: Console, metric: MetricKind
) -> list[Callback]:
    metrics = Metrics(folder)
    guard = StabilityGuard(recipe.guard == "rescale", console)
    finite = FiniteCheck(recipe.on_nan, console)  # before others look at the weights
    callbacks: list[Callback] = [progress_display(console), SchemeConstants(console), finite, guard]
    callbacks.append(DriftMonitor(console))
    if recipe.ema:
        callbacks.append(MovingAverage(recipe.ema))
    if recipe.levels:
        callbacks.append(MultiLevel())
    if recipe.patience or recipe.target:
        target = recipe.target - TARGET_MARGIN[metric.best] if recipe.target else None
        watching = {"monitor": monitor, "patience": recipe.patience or recipe.epochs}
        early = {"check_on_train_epoch_end": True, **watching}
        callbacks.append(ResumableEarlyStopping(metrics, target, metric.best, **early))
    common: dict[str, Any] = {
        "dirpath": str(folder.checkpoints.absolute()),  # not a Path: it goes into checkpoints
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    best = KeptCheckpoint(filename="best", monitor=monitor, mode=metric.best, **common)
    last = KeptCheckpoint(filename="last", **common)
    return [*callbacks, metrics, best, last, StopOnSignal(folder.last)]
