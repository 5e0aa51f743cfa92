"""What a run left behind, checked against its spec and its network before it is used."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import FSDPStrategy

import odenet
from odenet.compiler import Program
from odenet.language.tree import Let
from odenet.model.reading.settings import without_parts
from odenet.model.tables.losses import USUAL
from odenet.model.tables.recipe import Recipe
from odenet.training.checksums import sha256_of
from odenet.training.data.augmentations import shorter_side_before_crop
from odenet.training.data.statistics import standardise_over
from odenet.training.errors import NotResumable
from odenet.training.learning.optim import build_optimizer
from odenet.training.learning.scores import is_score
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import (
    DAMAGED_HELP,
    read_checkpoint,
    read_weights,
    require_same_loops,
    require_same_optimizer,
    require_same_shapes,
)
from odenet.training.run_folder.metrics import checkpoint_rows
from odenet.training.run_folder.records import Record, RunFolder
from odenet.training.runs.build_task import task_from_checkpoint
from odenet.training.runs.results import Result
from odenet.training.schema import Mismatch


def read_run_weights(folder: RunFolder, which: str) -> tuple[Path, dict[str, Any]]:
    """The file of some weights, and its content."""
    path = weights_file(folder, which)
    if path == folder.weights:
        return path, read_weights(path, _weights_digest(folder))
    return path, read_checkpoint(path)


def weights_file(folder: RunFolder, which: str) -> Path:
    """The file of some weights; raises TrainingError if it is not there.

    The best ones may be those that are beside the checkpoints, which do for all but resuming.
    """
    best = which == "best" and not (folder.checkpoints / "best.ckpt").exists()
    return folder.weights if best and folder.weights.is_file() else folder.checkpoint(which)


def damaged_weights_note(folder: RunFolder, used: Path) -> str:
    """What to say where weights are read from a checkpoint, and those beside it are damaged."""
    digest = _weights_digest(folder)
    if used == folder.weights or not digest or not folder.weights.is_file():
        return ""
    if sha256_of(folder.weights) == digest:
        return ""
    return f"the weights are those of {used}: {folder.weights} is damaged"


def _weights_digest(folder: RunFolder) -> str:
    """The SHA-256 of `weights.safetensors`; empty where that is not known."""
    return Result.read(folder.result).weights if folder.result.is_file() else ""


def restore_task(
    folder: RunFolder,
    record: Record,
    program: Program,
    watched: str,
    path: Path,
    content: Mapping[str, Any],
) -> Task:
    """The task of a run's program with the weights of one of its files.

    Raises:
        TrainingError: they are those of another network; says by which number it differs.
    """
    try:
        return task_from_checkpoint(program, record.labels, watched, content)
    except Mismatch as error:
        before = _spec_numbers(odenet.load(folder.spec, set=dict(record.settings)))
        other = [name for name, value in _spec_numbers(program).items() if value != before[name]]
        message = f"{path} cannot be used: {error}"
        if other:
            then, now = (
                ", ".join(f"{name} = {numbers[name]}" for name in other)
                for numbers in (before, _spec_numbers(program))
            )
            message = f"{folder.path} was trained with {then}, not with {now}"
        raise NotResumable(message, "leave out the --set, or start a new run") from error


def _spec_numbers(program: Program) -> dict[str, Any]:
    """The numbers of a spec and of its step, by name."""
    model = program.model
    step = model.discretisation_or_none
    return {**model.constants, **({**step.numbers, **step.varying} if step else {})}


def require_resumable(
    trainer: Trainer, task: Task, path: Path, checkpoint: Mapping[str, Any]
) -> int:
    """Refuse a checkpoint that a trainer would choke on; gives how many epochs are done in it."""
    try:
        found = checkpoint["state_dict"]
        known = {n: t for n, t in task.state_dict().items() if n in found or not is_score(n)}
        require_same_shapes(known, found)
        if "current_model_state" in checkpoint:
            require_same_shapes(known, checkpoint["current_model_state"])
        if not isinstance(trainer.strategy, FSDPStrategy):  # it keeps them by name
            optimizer = build_optimizer(task.network, task.recipe.optimizer)
            require_same_optimizer(optimizer, checkpoint["optimizer_states"])
        if len(checkpoint["lr_schedulers"]) != 1:
            raise Mismatch(
                f"`lr_schedulers` has {len(checkpoint['lr_schedulers'])} entries, not one"
            )
        require_same_loops(
            trainer.fit_loop.state_dict(), checkpoint["loops"].get("fit_loop"), "loops"
        )
        version = checkpoint.get("pytorch-lightning_version")
        if not re.fullmatch(r"\d+(\.\d+)*[a-z0-9.+]*", str(version)):
            raise Mismatch(f"`pytorch-lightning_version` is {version!r}")
        return len(checkpoint_rows(checkpoint))
    except Mismatch as error:
        raise NotResumable(f"{path} cannot be resumed from: {error}", DAMAGED_HELP) from error


def require_same_samples(folder: RunFolder, record: Record, recipe: Recipe) -> None:
    """Refuse settings with which the epochs of a run would not be measured alike.

    The best of them is chosen among all. On samples that earlier ones were trained on, or
    standardised otherwise, the later ones would be chosen for that.

    Raises:
        TrainingError: names the setting that changed.
    """
    before = odenet.load(folder.spec, set=dict(record.settings)).recipe
    splitting = ("holdout", "fraction", "seed") if before.holdout else ("holdout",)
    then, now = (
        {name: str(getattr(one, name)) for name in splitting}
        | {"standardise": standardise_over(one.augment), "loss": str(one.loss or USUAL)}
        | {"center_crop": shorter_side_before_crop(one.augment)}
        for one in (before, recipe)
    )
    for name, value in then.items():
        if now[name] != value:
            did = {"standardise": "are standardised", "loss": "are measured"}
            did["center_crop"] = "are cut"
            what = did.get(name, "are held out")
            raise NotResumable(
                f"{folder.path} was begun with {name} = {value}, which says how its samples {what}",
                "leave out the --set, or start a new run",
            )


def require_same_levels(recipe: Recipe, checkpoint: Mapping[str, Any], folder: RunFolder) -> None:
    """Refuse refinements that should have happened, or not, in epochs that are done.

    Raises:
        TrainingError: says how often the flows are refined, and how often they should be.
    """
    begun, level = checkpoint["epoch"], checkpoint["odenet"]["level"]  # epochs count from 0
    wanted = sum(epoch <= begun for epoch in recipe.levels)
    if wanted != level:
        levels = ", ".join(map(str, recipe.levels))
        times = {0: "not been refined", 1: "been refined once"}
        did = times.get(level, f"been refined {level} times")
        raise NotResumable(
            f"levels = [{levels}] changes epochs that are done: {folder.path} is in epoch "
            f"{begun + 1}, and its flows have {did}",
            f"refine after a later epoch, as in --set levels=[{begun + 1}], or start a new run",
        )


def initial_steps(folder: RunFolder, record: Record) -> int:
    """`steps` of a run when it began, which may have made its epochs short; 0 for none."""
    settings = record.before[0].settings if record.before else record.settings
    return odenet.load(folder.spec, set=dict(settings)).recipe.steps


def updated_settings(
    folder: RunFolder, record: Record, changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a run with later ones over them."""
    own: set[str] = set()
    if changes:
        tree = odenet.load(folder.spec, set=dict(record.settings)).tree
        own = {let.name.id for let in tree.of(Let)}
    return without_parts(record.settings, changes, own)
