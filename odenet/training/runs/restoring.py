"""Restoring a task from the folder of a run; weights and settings are checked against its spec."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import FSDPStrategy

import odenet
from odenet.compiler import Program
from odenet.language.tree import Let
from odenet.model.reading.settings import merge_settings
from odenet.model.tables.losses import DEFAULT_LOSS
from odenet.model.tables.recipe import Recipe
from odenet.training.checksums import sha256_of
from odenet.training.data.augmentations import shorter_side_before_crop
from odenet.training.data.statistics import standardise_over
from odenet.training.errors import NotResumable
from odenet.training.learning.optim import build_optimizer
from odenet.training.learning.scores import is_score
from odenet.training.learning.task import Task
from odenet.training.run_folder import checkpoints
from odenet.training.run_folder.metrics import checkpoint_rows
from odenet.training.run_folder.records import Record, RunFolder
from odenet.training.runs.build_task import task_from_checkpoint
from odenet.training.runs.results import Result
from odenet.training.schema import Mismatch


def read_run_weights(folder: RunFolder, which: str) -> tuple[Path, dict[str, Any]]:
    """The path and the content of the weights of a run; arguments as for `weights_file`."""
    path = weights_file(folder, which)
    if path == folder.weights:
        return path, checkpoints.read_weights(path, _weights_digest(folder))
    return path, checkpoints.read_checkpoint(path)


def weights_file(folder: RunFolder, which: str) -> Path:
    """The path of the weights of a run; raises TrainingError if the file is missing.

    Args:
        folder: the run's folder.
        which: "best" or "last". If the checkpoint of the best weights is missing, the file
            `weights.safetensors` is taken, from which a run cannot be resumed.
    """
    lacks_best = which == "best" and not (folder.checkpoints / "best.ckpt").exists()
    return folder.weights if lacks_best and folder.weights.is_file() else folder.checkpoint(which)


def damaged_weights_note(folder: RunFolder, path: Path) -> str:
    """A warning if weights are read from a checkpoint, and `weights.safetensors` is damaged.

    Args:
        folder: the run's folder.
        path: the file that the weights are read from.
    """
    digest = _weights_digest(folder)
    if path == folder.weights or not digest or not folder.weights.is_file():
        return ""
    if sha256_of(folder.weights) == digest:
        return ""
    return f"the weights are those of {path}: {folder.weights} is damaged"


def _weights_digest(folder: RunFolder) -> str:
    """The SHA-256 of `weights.safetensors` according to the result; empty without a result."""
    return Result.read(folder.result).weights if folder.result.is_file() else ""


def restore_task(
    folder: RunFolder,
    record: Record,
    program: Program,
    validation_name: str,
    path: Path,
    checkpoint: Mapping[str, Any],
) -> Task:
    """A task with the weights of a run.

    Args:
        folder: the run's folder.
        record: the run's record.
        program: the spec of the run, compiled, perhaps with changed settings.
        validation_name: the split that is measured after each epoch.
        path: the file of the weights, for messages.
        checkpoint: the content of that file.

    Raises:
        TrainingError: the weights belong to another network; names the numbers that changed.
    """
    try:
        return task_from_checkpoint(program, record.labels, validation_name, checkpoint)
    except Mismatch as error:
        before = _spec_numbers(odenet.load(folder.spec, set=dict(record.settings)))
        after = _spec_numbers(program)
        changed = [name for name, value in after.items() if value != before[name]]
        message = f"{path} cannot be used: {error}"
        if changed:
            old, new = (", ".join(f"{n} = {spec[n]}" for n in changed) for spec in (before, after))
            message = f"{folder.path} was trained with {old}, not with {new}"
        raise NotResumable(message, "leave out the --set, or start a new run") from error


def _spec_numbers(program: Program) -> dict[str, Any]:
    """The numbers of a spec by name: its constants and those of its `discretise` line."""
    model = program.model
    scheme = model.discretisation_or_none
    return {**model.constants, **({**scheme.numbers, **scheme.varying} if scheme else {})}


def require_resumable(trainer: Trainer, task: Task, path: Path, content: Mapping[str, Any]) -> int:
    """Refuse a checkpoint that the trainer cannot load; returns how many epochs it has completed.

    Args:
        trainer: the trainer that is to resume.
        task: the task, with the network of the run.
        path: the file of the checkpoint, for messages.
        content: the entries of the checkpoint.

    Raises:
        TrainingError: names the entry that does not fit.
    """
    try:
        stored = content["state_dict"]
        expected = {n: t for n, t in task.state_dict().items() if n in stored or not is_score(n)}
        checkpoints.require_same_shapes(expected, stored)
        if "current_model_state" in content:
            checkpoints.require_same_shapes(expected, content["current_model_state"])
        if not isinstance(trainer.strategy, FSDPStrategy):  # it stores states by parameter names
            optimizer = build_optimizer(task.network, task.recipe.optimizer)
            checkpoints.require_same_optimizer(optimizer, content["optimizer_states"])
        if len(content["lr_schedulers"]) != 1:
            raise Mismatch(f"`lr_schedulers` has {len(content['lr_schedulers'])} entries, not one")
        fit_loop = content["loops"].get("fit_loop")
        checkpoints.require_same_loops(trainer.fit_loop.state_dict(), fit_loop, "loops")
        version = content.get("pytorch-lightning_version")
        if not re.fullmatch(r"\d+(\.\d+)*[a-z0-9.+]*", str(version)):
            raise Mismatch(f"`pytorch-lightning_version` is {version!r}")
        return len(checkpoint_rows(content))
    except Mismatch as error:
        message = f"{path} cannot be resumed from: {error}"
        raise NotResumable(message, checkpoints.DAMAGED_HELP) from error


def require_same_samples(folder: RunFolder, record: Record, recipe: Recipe) -> None:
    """Refuse changed settings after which metrics are not comparable with those of earlier epochs.

    The best epoch is chosen among all epochs of a run. If held-out samples changed, later epochs
    would be measured on samples that earlier ones were trained on.

    Args:
        folder: the run's folder.
        record: the run's record, with its settings so far.
        recipe: the recipe with the settings from now on.

    Raises:
        TrainingError: names the setting that changed.
    """
    old = odenet.load(folder.spec, set=dict(record.settings)).recipe
    split_keys = ("holdout", "fraction", "seed") if old.holdout else ("holdout",)
    old_values, new_values = (
        {name: str(getattr(r, name)) for name in split_keys}
        | {"standardise": standardise_over(r.augment), "loss": str(r.loss or DEFAULT_LOSS)}
        | {"center_crop": shorter_side_before_crop(r.augment)}
        for r in (old, recipe)
    )
    for name, value in old_values.items():
        if new_values[name] != value:
            verbs = {"standardise": "standardised", "loss": "measured", "center_crop": "cut"}
            purpose = f"which says how its samples are {verbs.get(name, 'held out')}"
            message = f"{folder.path} was begun with {name} = {value}, {purpose}"
            raise NotResumable(message, "leave out the --set, or start a new run")


def require_same_levels(recipe: Recipe, checkpoint: Mapping[str, Any], folder: RunFolder) -> None:
    """Refuse changed `levels` (epochs at which flows are refined) for epochs already done.

    Raises:
        TrainingError: says how many times the flows have been refined.
    """
    epoch, level = checkpoint["epoch"], checkpoint["odenet"]["level"]  # epochs count from 0
    if level != sum(refined_at <= epoch for refined_at in recipe.levels):
        levels = ", ".join(map(str, recipe.levels))
        counts = {0: "not been refined", 1: "been refined once"}
        count = counts.get(level, f"been refined {level} times")
        raise NotResumable(
            f"levels = [{levels}] changes epochs that are done: {folder.path} is in epoch "
            f"{epoch + 1}, and its flows have {count}",
            f"refine after a later epoch, as in --set levels=[{epoch + 1}], or start a new run",
        )


def initial_steps(folder: RunFolder, record: Record) -> int:
    """The recipe's `steps`, the limit of optimizer steps, when a run began; 0 for no limit.

    A resumed run keeps it, since a limit below one epoch shortens the epochs.
    """
    settings = record.before[0].settings if record.before else record.settings
    return odenet.load(folder.spec, set=dict(settings)).recipe.steps


def new_settings(folder: RunFolder, record: Record, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, updated by changes."""
    let_names: set[str] = set()  # names in the `let` lines of the spec
    if changes:
        tree = odenet.load(folder.spec, set=dict(record.settings)).tree
        let_names = {let.name.id for let in tree.statements_of(Let)}
    return merge_settings(record.settings, changes, let_names)
