"""`train` starts a new run of a spec, `resume` continues one that was stopped."""

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
from odenet.counted import counted
from odenet.diagnostics import printable, render, shell_quoted
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
from odenet.training.runs import restoring, run_inputs
from odenet.training.runs.build_task import apply_options, input_shape, new_task
from odenet.training.runs.check_claims import check_claims
from odenet.training.runs.compute_result import compute_result, with_test_scores
from odenet.training.runs.data_sources import load_data_set, require_python_data
from odenet.training.runs.evaluation import evaluate
from odenet.training.runs.keywords import SHORT_KEYS, NewRunKeywords, RunKeywords, apply_keywords
from odenet.training.runs.preparation import prepare_training
from odenet.training.runs.results import Result, draw_curves
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
        spec: the path of the .ode file, or the program compiled from it with the same `set`.
        set: values that replace those of the spec, as for `odenet.load`: numbers, and keys of the
            recipe.
        options: where and how it runs.
        out: the run's folder; by default the next free one under `runs/`.
        console: where progress is shown.
        unchecked: train even if a claim of the spec is refuted or open.
        data: replaces the data set of the recipe: a name, as `--data` takes it; or `(train, test)`,
            each a torch data set of pairs (input, label), or a pair of tensors (x, y).
        keywords: the options of `odenet train`, such as `epochs = 5` or `memory = "2GB"`.

    Returns:
        The final metrics and timings, which are also in the run's folder; of several processes, all
        but the first return None.

    Raises:
        SpecError: the spec cannot be compiled, or a claim of it is not proved.
        TrainingError: the data or an option cannot be used, or the loss became infinite or nan.
        Stopped: after SIGTERM or Ctrl-C; the run can be resumed.
    """
    recipe_names = {*recipe_keys(), *SHORT_KEYS}
    if not isinstance(spec, str | Path) and (conflicts := keywords.keys() & recipe_names):
        message = f"{min(conflicts)} is a key of the recipe, and this program has its recipe"
        help_ = "set it when the spec is compiled, as in odenet.load(SPEC, set={…})"
        raise BadOption(message, help_)
    settings, options = apply_keywords(set, options or Options(), keywords, data)
    console = console or Console()
    program = odenet.load(spec, set=settings) if isinstance(spec, str | Path) else spec
    verdicts = check_claims(program, unchecked)
    for warning in program.warnings:
        warning_text = Text(render(warning))
        warning_text.highlight_regex("^warning", "yellow")
        console.print(warning_text, highlight=False, soft_wrap=not console.is_terminal)
    task, samples = prepare_training(program, options, console, data)
    if not is_first_process():  # it writes no files, and receives paths from the first one
        folder = RunFolder(Path(out or "runs"))
        return _fit(_trainer(folder, task, options, console), folder, task, samples, options)
    with new_run_folder(program.name, None if out is None else str(out), console) as folder:
        console.print(Text(f"  run {printable(folder.path)}"), highlight=False, soft_wrap=True)
        trainer = _trainer(folder, task, options, console)
        data_needed = "" if data is None or isinstance(data, str) else DATA_NEEDED
        run_inputs.write_inputs(folder, program, settings, options, samples, verdicts, data_needed)
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
    """Continue a run from its last checkpoint, with the same result as if it had not been stopped.

    Args:
        run: the run's folder.
        set: values to change from here on, for example more `epochs`.
        options: where and how it runs from here on; as before if None.
        spec: the .ode file that the run began with; if given, it has to be unchanged.
        console: where progress is shown.
        unchecked: as for `train`; a run that was started unchecked stays unchecked.
        data: as for `train`; data from Python code has to be passed again.
        keywords: as for `train`.

    Returns:
        As `train`.

    Raises:
        SpecError: with the changed values, a claim of the spec is not proved.
        TrainingError: there is no checkpoint to continue from, or the spec has changed.
        Stopped: after SIGTERM or Ctrl-C; the run can be resumed again.
    """
    folder, console = RunFolder(Path(run)), console or Console()
    record = folder.read_record()  # first, so that no lock is put into a folder that is not a run's
    set, options = apply_keywords(set, options or record.options, keywords, data)
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
    """Resume a run whose lock this process holds. See `resume`."""
    record = folder.read_record()
    require_python_data(record.data_from_python, data or changes.get("data"))
    if spec is not None:
        run_inputs.require_same_spec(Path(spec), folder)
    folder.require_plugins()
    finished = None if changes else _finished_result(folder)
    if finished is not None:
        _print_finished(finished, console)
        return finished
    settings = restoring.new_settings(folder, record, changes)
    program = odenet.load(folder.spec, set=settings)
    verdicts = check_claims(program, unchecked or record.verdicts.get("unchecked", False))
    # No path if no epoch was completed; the split is the one measured after each epoch.
    checkpoint_path, split = folder.checkpoint_to_resume(), validation_name_of(program.recipe)
    if checkpoint_path is not None and changes:
        restoring.require_same_samples(folder, record, program.recipe)
    if checkpoint_path is None:
        task, checkpoint = new_task(program, record.labels, split), None
        load_initial_weights(task.network, options.weights, console)
    else:
        checkpoint = read_checkpoint(checkpoint_path)
        task = restoring.restore_task(folder, record, program, split, checkpoint_path, checkpoint)
        restoring.require_same_levels(program.recipe, checkpoint, folder)
    shape = input_shape(program)
    data_set = load_data_set(program, options, record.spec_folder, data)
    if tuple(data_set.classes) != tuple(record.classes):
        raise NotResumable(f"{data_set.name} no longer has the classes the run began with")
    max_steps = None if checkpoint_path is None else restoring.initial_steps(folder, record)
    samples = SplitLoaders(data_set, program.recipe, shape, steps=max_steps)
    run_inputs.require_same_sample_type(samples, record.samples)
    task.recipe = with_whole_epochs(task.recipe, samples.steps_per_epoch)
    trainer, epochs_done = _trainer(folder, task, options, console), None
    if checkpoint_path is not None and checkpoint is not None:
        epochs_done = restoring.require_resumable(trainer, task, checkpoint_path, checkpoint)
        _require_epochs_left(folder, task.recipe, samples.steps_per_epoch)
    if checkpoint_path is None:
        record = replace(record, **run_inputs.data_statistics(samples))
    else:  # all epochs of a run, among which the best is chosen, see the same standardised samples
        samples.transforms = samples.transforms.standardising_by(record.mean, record.deviation)
    if is_first_process():
        record = replace(record, settings=settings, options=options, verdicts=verdicts)
        folder.write_record(record, epochs_done)
    return _fit(trainer, folder, task, samples, options, checkpoint_path)


def _finished_result(folder: RunFolder) -> Result | None:
    """The result of a finished run whose files are complete; else None."""
    if not folder.result.is_file():
        return None
    result = Result.read(folder.result)
    if not folder.last.exists():
        return None  # resuming then fails with a message
    read_checkpoint(folder.last)  # raises TrainingError if it is damaged
    is_complete = len(folder.rows()) == result.epochs  # else metrics.csv is written again
    return replace(result, folder=str(folder.path)) if is_complete else None


def _print_finished(result: Result, console: Console) -> None:
    folder = printable(result.folder)
    message = (
        f"finished: {folder} has trained for {counted(result.epochs, 'epoch')}; to train on:\n"
        f"  odenet train --resume {shell_quoted(result.folder)} --epochs {2 * result.epochs}"
    )
    console.print(Text(message), soft_wrap=True)


def _require_epochs_left(folder: RunFolder, recipe: Recipe, steps_per_epoch: int) -> None:
    """Refuse to resume a finished run that has done all epochs of its recipe.

    Args:
        folder: the run's folder.
        recipe: the run's recipe from now on.
        steps_per_epoch: the number of optimizer steps in an epoch.
    """
    done = len(folder.rows()) if folder.result.is_file() else 0
    if not done or done < recipe.epochs:
        return
    progress, option = f"{counted(done, 'epoch')} of {recipe.epochs}", f"--epochs {2 * done}"
    if recipe.steps:
        progress = f"{counted(done * steps_per_epoch, 'step')} of {recipe.steps}"
        option = f"--set steps={2 * done * steps_per_epoch}"
    message = f"{folder.path} has done {progress}: nothing is left to train"
    raise NotResumable(message, f"ask for more, as in {option}, or start a new run")


def is_first_process() -> bool:
    """Whether this process is the one of several that writes files and prints."""
    return rank_zero_only.rank == 0


def _trainer(folder: RunFolder, task: Task, options: Options, console: Console) -> Trainer:
    """Lightning's trainer for a task; raises TrainingError for options that it cannot run with."""
    apply_options(task.network, options)
    with quiet_lightning():
        metric, split = task.objective.metric_kinds[0], task.validation_name
        trainer = build_trainer(folder, task.recipe, options, split, console, metric)
    if options.update_in_backward:
        require_in_backward(trainer, task.recipe)
        task.clipping_in_backward = options.clip_by
    return trainer


def _fit(
    trainer: Trainer,
    folder: RunFolder,
    task: Task,
    samples: SplitLoaders,
    options: Options,
    checkpoint_path: Path | None = None,
) -> Result | None:
    """Train, from a checkpoint if one is given, and write the result; see `train`."""
    with resumable(folder):
        with run_environment(task.recipe, options), logging_to(trainer.loggers, task.recipe):
            trainer.fit(task, datamodule=samples, ckpt_path=checkpoint_path, weights_only=True)
        return _write_result(trainer, folder, task, samples) if trainer.is_global_zero else None


def _write_result(trainer: Trainer, folder: RunFolder, task: Task, samples: SplitLoaders) -> Result:
    """Write the files at the end of a run: metrics, weights, result, curves."""
    metrics = metrics_callback(trainer)
    metrics.write()
    if task.recipe.ema:  # without an epoch to train, averaged weights were not put into the task
        task.load_state_dict(read_checkpoint(folder.last)["state_dict"])
    result = compute_result(folder, task, samples, metrics.rows)
    if task.validation_name != "test":
        result = with_test_scores(result, task, evaluate(folder.path, data=samples.data_set))
    best = read_checkpoint(folder.checkpoint("best"))
    result = replace(result, weights=write_weights(best, folder.weights))
    folder.write(folder.result, result.to_json())
    draw_curves({folder.path.resolve().name: metrics.rows}, folder.curves)
    return result
