"""Runs: train a spec, go on with a run, measure a run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

import odenet
from odenet.compiler import Program, read
from odenet.diagnostics import render
from odenet.language.tree import Use
from odenet.plugins import loaded
from odenet.train.augment import Pipeline
from odenet.train.build import (
    apply_options,
    data_of,
    in_classes,
    input_shape,
    new_task,
)
from odenet.train.checkpoints import (
    read_checkpoint,
    write_weights,
)
from odenet.train.console import calm
from odenet.train.data import load_data
from odenet.train.errors import TrainingError
from odenet.train.loader import Data, watched_split
from odenet.train.records import Options, Record, RunFolder, new_folder
from odenet.train.report import Result, draw_curves, time_saved
from odenet.train.restoring import require_resumable, restored, rows_before, weights_of
from odenet.train.sealed import digest_of
from odenet.train.task import Task, stability
from odenet.train.trainer import build_trainer
from odenet.train.verdicts import judged


def train(
    spec: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    out: str | None = None,
    console: Console | None = None,
    unchecked: bool = False,
) -> Result | None:
    """Train the network of a spec by its recipe.

    Args:
        spec: the file.
        set: values from outside, as for `odenet.load`: numbers, and keys of the recipe.
        options: where it runs.
        out: the run's folder; by default the next free one under `runs/`.
        console: where progress is shown.
        unchecked: train it also if a claim of the spec is refuted or open.

    Returns:
        The closing numbers, which are also in the run's folder; None in all but the first of
        several processes.

    Raises:
        SpecError: if the spec cannot be compiled, or claims what does not hold.
        TrainingError: if the data or an option cannot be used, or the loss is no longer a number.
        Stopped: after SIGTERM or Ctrl-C; the run can be resumed.
    """
    settings, options = dict(set or {}), options or Options()
    console = console or Console()
    program = odenet.load(spec, set=settings)
    verdicts = judged(program, unchecked)
    for warning in program.warnings:
        console.print(render(warning), markup=False, highlight=False, soft_wrap=True)
    shape = input_shape(program)
    data_set = load_data(data_of(program), shape, options.data_root, options.download)
    data = Data(data_set, program.recipe, shape)
    folder = new_folder(program.name, out, first_process())
    task = new_task(program, data_set.classes, data.watched_name)
    trainer = _trainer(folder, task, options, console)
    if first_process():  # and only now that nothing is known to stand in the way
        _write_inputs(folder, Path(spec), program, settings, options, data, verdicts)
    return _fit(trainer, folder, task, data)


def resume(
    run: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    spec: str | Path | None = None,
    console: Console | None = None,
    unchecked: bool = False,
) -> Result | None:
    """Go on with a run from its last checkpoint, to the same end as if it had not been stopped.

    Args:
        run: the run's folder.
        set: values to change from here on, for example more `epochs`.
        options: where it runs from here on; as before if None.
        spec: the file it began with, to be sure that it is still the same.
        console: where progress is shown.
        unchecked: as for `train`; a run that began so goes on so.

    Returns:
        As `train`.

    Raises:
        SpecError: if the spec claims what does not hold with the settings of now.
        TrainingError: if there is nothing to go on from, or the spec is another one now.
        Stopped: after SIGTERM or Ctrl-C; the run can be resumed again.
    """
    folder = RunFolder(Path(run))
    record = folder.read_record()
    options = options or record.options
    if spec is not None:
        _require_same(Path(spec), folder.spec)
    settings = {**record.settings, **(set or {})}
    folder.require_plugins()
    program = odenet.load(folder.spec, set=settings)
    verdicts = judged(program, unchecked or record.verdicts.get("unchecked", False))
    path = folder.checkpoint("last")
    checkpoint = read_checkpoint(path)
    watched = watched_split(program.recipe)
    task = restored(folder, record, program, watched, path, checkpoint)
    kept = rows_before(folder, checkpoint["epoch"])
    trainer = _trainer(folder, task, options, console, kept)
    require_resumable(trainer, task, path, checkpoint)
    shape = input_shape(program)
    data_set = load_data(data_of(program), shape, options.data_root, options.download)
    if tuple(data_set.classes) != tuple(record.classes):
        raise TrainingError(f"{data_set.name} no longer has the classes the run began with")
    data = Data(data_set, program.recipe, shape)
    if first_process():
        record = replace(record, settings=settings, options=options, verdicts=verdicts)
        folder.write_record(record)
    return _fit(trainer, folder, task, data, path)


def evaluate(
    run: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    weights: str = "best",
) -> dict[str, Any]:
    """Measure a run on a test split.

    Args:
        run: the run's folder.
        set: values to change, above all `data`: a set whose classes the network knows.
        options: where it runs; as the training if None.
        weights: "best" or "last".

    Returns:
        `data`, the data set's name; the mean `loss` and the `accuracy` on its test split; and
        `damaged`, a line for each picture that could not be read.
    """
    task, samples, options = restore(run, set, options, weights)
    alone = replace(options, devices=1, nodes=1, strategy="auto")
    with calm():
        trainer = build_trainer(RunFolder(Path(run)), task.recipe, alone)
        (scores,) = trainer.test(task, datamodule=samples, verbose=False)
    return {
        "data": samples.name,
        "loss": scores["test_loss"],
        "accuracy": scores["test_accuracy"],
        "damaged": samples.damaged,
    }


def restore(
    run: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    weights: str = "best",
) -> tuple[Task, Data, Options]:
    """The network of a run with its weights, and the data to measure it on. See `evaluate`."""
    folder = RunFolder(Path(run))
    record = folder.read_record()
    options = options or record.options
    folder.require_plugins()
    program = odenet.load(folder.spec, set={**record.settings, **(set or {})})
    path, content = weights_of(folder, weights)
    task = restored(folder, record, program, "test", path, content)
    shape = input_shape(program)
    data_set = load_data(data_of(program), shape, options.data_root, options.download)
    data_set = in_classes(data_set, record.classes)
    pipeline = Pipeline.stored(shape, program.recipe.augment, record.mean, record.deviation)
    return task, Data(data_set, program.recipe, shape, pipeline), options


def first_process() -> bool:
    """Whether this is the one of the processes that writes and prints."""
    return rank_zero_only.rank == 0


def _require_same(spec: Path, kept: Path) -> None:
    if read(spec).text != kept.read_text(encoding="utf-8"):
        raise TrainingError(
            f"{spec} is not what the run began with, {kept}",
            "leave it out to go on with the run, or start a new run",
        )


def _write_inputs(
    folder: RunFolder,
    spec: Path,
    program: Program,
    settings: Mapping[str, Any],
    options: Options,
    data: Data,
    verdicts: Mapping[str, Any],
) -> None:
    """Everything that reproduces the run, before it starts."""
    kept = [folder.spec]
    folder.write(folder.spec, program.text)
    for use in program.tree.of(Use):  # absolute paths, and those that lead out, stay where they are
        if not Path(use.path).is_absolute() and ".." not in Path(use.path).parts:
            folder.write(folder.path / use.path, (spec.parent / use.path).read_text("utf-8"))
            kept.append(folder.path / use.path)
    for plugin in loaded():
        folder.write(folder.plugins / plugin.path.name, plugin.path.read_text("utf-8"))
    folder.write(folder.module, program.source())
    folder.write(folder.certificate, f"{program.certificate}\n")
    folder.write(folder.certificate.with_suffix(".json"), program.certificate_json())
    versions = {name: metadata.version(name) for name in ("torch", "lightning")}
    mean, deviation = (t.flatten().tolist() for t in (data.pipeline.mean, data.pipeline.deviation))
    folder.write_record(
        Record(
            name=program.name,
            settings=settings,
            options=options,
            classes=data.classes,
            mean=mean,
            deviation=deviation,
            versions={"odenet": odenet.__version__, **versions},
            verdicts=verdicts,
            files={path.relative_to(folder.path).as_posix(): digest_of(path) for path in kept},
        )
    )


def _trainer(
    folder: RunFolder,
    task: Task,
    options: Options,
    console: Console | None,
    rows: Sequence[dict[str, float]] = (),
) -> pl.Trainer:
    """The trainer for a task; refuses options that it or the flows cannot have."""
    apply_options(task.network, options)
    with calm():
        return build_trainer(folder, task.recipe, options, task.watched, console or Console(), rows)


def _fit(
    trainer: pl.Trainer, folder: RunFolder, task: Task, data: Data, checkpoint: Path | None = None
) -> Result | None:
    """Train, and write what came of it."""
    with calm():
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    if not trainer.is_global_zero:
        return None
    rows = folder.rows()
    result = _result(folder, task, data, rows)
    if task.watched != "test":
        result = replace(result, test_accuracy=evaluate(folder.path)["accuracy"])
    best = read_checkpoint(folder.checkpoint("best"))
    result = replace(result, weights=write_weights(best, folder.weights))
    folder.write(folder.result, result.to_json())
    draw_curves({folder.path.name: rows}, folder.curves)
    return result


def _result(folder: RunFolder, task: Task, data: Data, rows: list[dict[str, float]]) -> Result:
    accuracies = [row[f"{task.watched}_accuracy"] for row in rows]
    best = max(accuracies)
    seconds = rows[-1]["seconds"]
    cuda = task.device.type == "cuda" or torch.cuda.is_initialized()
    return Result(
        folder=str(folder.path),
        watched=task.watched,
        accuracy=accuracies[-1],
        best_accuracy=best,
        best_epoch=accuracies.index(best) + 1,
        test_accuracy=accuracies[-1],
        epochs=len(rows),
        parameters=sum(p.numel() for p in task.network.parameters()),
        seconds=seconds,
        samples_per_second=data.samples_per_epoch * len(rows) / seconds,
        stability=stability(task.network),
        memory=torch.cuda.max_memory_allocated() if cuda else None,
        saved=time_saved(rows, task.recipe),
        damaged=tuple(data.damaged),
    )
