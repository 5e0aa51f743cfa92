"""Runs: train a spec, go on with a run."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.text import Text

import odenet
from odenet.compiler import Program
from odenet.diagnostics import printable, render, typed
from odenet.model.tables.recipe import Recipe, recipe_keys
from odenet.training.callbacks.loggers import logging_to
from odenet.training.callbacks.stopping import resumable
from odenet.training.callbacks.trainer import build_trainer
from odenet.training.console import quiet_lightning
from odenet.training.data.data_module import SplitLoaders, validation_name_of
from odenet.training.data.python_data import DATA_NEEDED
from odenet.training.errors import BadOption, NotResumable
from odenet.training.learning.initial_weights import load_initial_weights
from odenet.training.learning.optim import with_whole_epochs
from odenet.training.learning.task import Task
from odenet.training.learning.update_in_backward import require_in_backward
from odenet.training.run_folder.checkpoints import read_checkpoint, write_weights
from odenet.training.run_folder.metrics import metrics_callback
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.build_task import apply_options, input_shape, new_task
from odenet.training.runs.check_claims import check_claims
from odenet.training.runs.compute_result import compute_result, with_test_scores
from odenet.training.runs.data_sources import load_data_set, require_python_data
from odenet.training.runs.evaluation import evaluate
from odenet.training.runs.keywords import (
    SHORT_RECIPE_KEYS,
    NewRunKeywords,
    RunKeywords,
    settings_and_options,
)
from odenet.training.runs.preparation import prepare_training
from odenet.training.runs.restoring import (
    initial_steps,
    require_resumable,
    require_same_levels,
    require_same_samples,
    restore_task,
    updated_settings,
)
from odenet.training.runs.results import Result, draw_curves
from odenet.training.runs.run_inputs import (
    data_statistics,
    require_same_sample_type,
    require_same_spec,
    write_inputs,
)
from odenet.training.runs.run_lock import hold_lock, new_run_folder
from odenet.training.runs.trial import run_environment


def train(
    spec: str | Path | Program,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    out: str | Path | None = None,
    console: Console | None = None,
    unchecked: bool = False,
    data: Any = None,
    **keywords: Unpack[NewRunKeywords],
) -> Result | None:
    """Train the network of a spec by its recipe.

    Args:
        spec: the file, or what was compiled from it, with the same `set`.
        set: values from outside, as for `odenet.load`: numbers, and keys of the recipe.
        options: where it runs.
        out: the run's folder; by default the next free one under `runs/`.
        console: where progress is shown.
        unchecked: train it also if a claim of the spec is refuted or open.
        data: in place of what the recipe names: a name, as `--data` takes it; or `(train, test)`,
            each a torch data set of pairs (input, label), or a pair of tensors (x, y).
        keywords: the options of `odenet train`, such as `epochs = 5` or `memory = "2GB"`.

    Returns:
        The closing numbers, which are also in the run's folder; None in all but the first of
        several processes.

    Raises:
        SpecError: if the spec cannot be compiled, or claims what does not hold.
        TrainingError: if the data or an option cannot be used, or the loss is no longer a number.
        Stopped: after SIGTERM or Ctrl-C; the run can be resumed.
    """
    of_recipe = {*recipe_keys(), *SHORT_RECIPE_KEYS}
    if not isinstance(spec, str | Path) and (given := keywords.keys() & of_recipe):
        raise BadOption(
            f"{min(given)} is a key of the recipe, and this program has its recipe",
            "set it when the spec is compiled, as in odenet.load(SPEC, set={…})",
        )
    settings, options = settings_and_options(set, options or Options(), keywords, data)
    console = console or Console()
    program = odenet.load(spec, set=settings) if isinstance(spec, str | Path) else spec
    verdicts = check_claims(program, unchecked)
    for warning in program.warnings:
        said = Text(render(warning))
        said.highlight_regex("^warning", "yellow")
        console.print(said, highlight=False, soft_wrap=not console.is_terminal)
    task, samples = prepare_training(program, options, console, data)
    if not is_first_process():  # it writes nothing; where a path matters to it, it is told
        folder = RunFolder(Path(out or "runs"))
        return _fit(_trainer(folder, task, options, console), folder, task, samples, options)
    with new_run_folder(program.name, None if out is None else str(out), console) as folder:
        console.print(Text(f"  run {printable(folder.path)}"), highlight=False, soft_wrap=True)
        trainer = _trainer(folder, task, options, console)
        needs = "" if data is None or isinstance(data, str) else DATA_NEEDED
        write_inputs(folder, program, settings, options, samples, verdicts, needs)
        return _fit(trainer, folder, task, samples, options)


def resume(
    run: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    spec: str | Path | None = None,
    console: Console | None = None,
    unchecked: bool = False,
    data: Any = None,
    **keywords: Unpack[RunKeywords],
) -> Result | None:
    """Go on with a run from its last checkpoint, to the same end as if it had not been stopped.

    Args:
        run: the run's folder.
        set: values to change from here on, for example more `epochs`.
        options: where it runs from here on; as before if None.
        spec: the file it began with, to be sure that it is still the same.
        console: where progress is shown.
        unchecked: as for `train`; a run that began so goes on so.
        data: as for `train`; a run that was given it has to be given the same.
        keywords: as for `train`.

    Returns:
        As `train`.

    Raises:
        SpecError: if the spec claims what does not hold with the settings of now.
        TrainingError: if there is nothing to go on from, or the spec is another one now.
        Stopped: after SIGTERM or Ctrl-C; the run can be resumed again.
    """
    folder, console = RunFolder(Path(run)), console or Console()
    record = folder.read_record()  # before a lock is put into what is not a run
    set, options = settings_and_options(set, options or record.options, keywords, data)
    with hold_lock(folder, console) if is_first_process() else nullcontext():
        return _resume(folder, set, options, spec, console, unchecked, data)


def _resume(
    folder: RunFolder,
    changes: Mapping[str, Any],
    options: Options,
    spec: str | Path | None,
    console: Console,
    unchecked: bool,
    data: Any,
) -> Result | None:
    """Resume a run that this process holds. See `resume`."""
    record = folder.read_record()
    require_python_data(record.data_from_python, data or changes.get("data"))
    if spec is not None:
        require_same_spec(Path(spec), folder)
    folder.require_plugins()
    finished = None if changes else _finished_result(folder)
    if finished is not None:
        _print_finished(finished, console)
        return finished
    settings = updated_settings(folder, record, changes)
    program = odenet.load(folder.spec, set=settings)
    verdicts = check_claims(program, unchecked or record.verdicts.get("unchecked", False))
    path, watched = folder.begun(), validation_name_of(program.recipe)
    if path is not None and changes:
        require_same_samples(folder, record, program.recipe)
    if path is None:
        task, checkpoint = new_task(program, record.labels, watched), None
        load_initial_weights(task.network, options.weights, console)
    else:
        checkpoint = read_checkpoint(path)
        task = restore_task(folder, record, program, watched, path, checkpoint)
        require_same_levels(program.recipe, checkpoint, folder)
    shape = input_shape(program)
    data_set = load_data_set(program, options, record.spec_folder, data)
    if tuple(data_set.classes) != tuple(record.classes):
        raise NotResumable(f"{data_set.name} no longer has the classes the run began with")
    steps = None if path is None else initial_steps(folder, record)
    samples = SplitLoaders(data_set, program.recipe, shape, steps=steps)
    require_same_sample_type(samples, record.samples)
    task.recipe = with_whole_epochs(task.recipe, samples.steps_per_epoch)
    trainer, done = _trainer(folder, task, options, console), None
    if path is not None and checkpoint is not None:
        done = require_resumable(trainer, task, path, checkpoint)
        _require_epochs_left(folder, task.recipe, samples.steps_per_epoch)
    if path is None:
        record = replace(record, **data_statistics(samples))
    else:  # all weights of a run, the best ones too, are of samples standardised alike
        samples.transforms = samples.transforms.standardising_by(record.mean, record.deviation)
    if is_first_process():
        record = replace(record, settings=settings, options=options, verdicts=verdicts)
        folder.write_record(record, done)
    return _fit(trainer, folder, task, samples, options, path)


def _finished_result(folder: RunFolder) -> Result | None:
    """The result of a run that has nothing left to do; its files are looked at."""
    if not folder.result.is_file():
        return None
    result = Result.read(folder.result)
    if not folder.last.exists():
        return None  # there is nothing to go on from, which is said
    read_checkpoint(folder.last)
    whole = len(folder.rows()) == result.epochs  # else it is written again
    return replace(result, folder=str(folder.path)) if whole else None


def _print_finished(result: Result, console: Console) -> None:
    folder = printable(result.folder)
    said = (
        f"finished: {folder} has trained for {result.epochs} epochs; to train on:\n"
        f"  odenet train --resume {typed(result.folder)} --epochs {2 * result.epochs}"
    )
    console.print(Text(said), soft_wrap=True)


def _require_epochs_left(folder: RunFolder, recipe: Recipe, steps: int) -> None:
    """Refuse to go on with a finished run that has done as many epochs as are wanted."""
    done = len(folder.rows()) if folder.result.is_file() else 0
    if not done or done < recipe.epochs:
        return
    did, more = f"{done} epochs of {recipe.epochs}", f"--epochs {2 * done}"
    if recipe.steps:
        did, more = f"{done * steps} steps of {recipe.steps}", f"--set steps={2 * done * steps}"
    raise NotResumable(
        f"{folder.path} has done {did}: nothing is left to train",
        f"ask for more, as in {more}, or start a new run",
    )


def is_first_process() -> bool:
    """Whether this is the one of the processes that writes and prints."""
    return rank_zero_only.rank == 0


def _trainer(folder: RunFolder, task: Task, options: Options, console: Console) -> Trainer:
    """The trainer for a task; refuses options that it or the flows cannot have."""
    apply_options(task.network, options)
    with quiet_lightning():
        measure = task.objective.metric_kinds[0]
        trainer = build_trainer(
            folder, task.recipe, options, task.validation_name, console, measure
        )
    if options.update_in_backward:
        require_in_backward(trainer, task.recipe)
        task.clipping_in_backward = options.clip_by
    return trainer


def _fit(
    trainer: Trainer,
    folder: RunFolder,
    task: Task,
    data: SplitLoaders,
    options: Options,
    checkpoint: Path | None = None,
) -> Result | None:
    """Train, and write what came of it."""
    with resumable(folder):
        with run_environment(task.recipe, options):
            with logging_to(trainer.loggers, task.recipe):
                trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return _write_result(trainer, folder, task, data) if trainer.is_global_zero else None


def _write_result(trainer: Trainer, folder: RunFolder, task: Task, data: SplitLoaders) -> Result:
    """Write what came of a run."""
    metrics = metrics_callback(trainer)
    metrics.write()
    if task.recipe.ema:  # where nothing was left to train, the average was not put in
        task.load_state_dict(read_checkpoint(folder.last)["state_dict"])
    result = compute_result(folder, task, data, metrics.rows)
    if task.validation_name != "test":
        result = with_test_scores(result, task, evaluate(folder.path, data=data.data_set))
    best = read_checkpoint(folder.checkpoint("best"))
    result = replace(result, weights=write_weights(best, folder.weights))
    folder.write(folder.result, result.to_json())
    draw_curves({folder.path.resolve().name: metrics.rows}, folder.curves)
    return result
