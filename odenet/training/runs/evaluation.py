"""`odenet eval`: restore the network of a run and measure it on a test split."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import odenet
from odenet.compiler import Program
from odenet.model.tables.recipe import recipe_keys
from odenet.training.callbacks.trainer import build_trainer
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.python_data import python_test
from odenet.training.data.transforms import Transforms
from odenet.training.errors import BadOption
from odenet.training.learning.details import Details
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options, RunFolder
from odenet.training.runs.build_task import input_shape, relabel_test_split
from odenet.training.runs.data_sources import load_data_set, require_python_data
from odenet.training.runs.evaluation_output import write_details
from odenet.training.runs.keywords import RunKeywords, apply_keywords
from odenet.training.runs.restoring import new_settings, read_run_weights, restore_task
from odenet.training.runs.run_inputs import require_same_sample_type
from odenet.training.runs.trial import run_environment

# The recipe keys that an evaluation depends on; the others concern only training.
EVALUATION_KEYS = ("data", "loss", "augment", "batch", "precision")


def evaluate(
    run: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    weights: str = "best",
    data: Any = None,
    out: str | Path | None = None,
    **keywords: Unpack[RunKeywords],
) -> dict[str, Any]:
    """Measure a run on a test split.

    Args:
        run: the run's folder.
        set: values to change: `data`, a set whose classes the network knows; numbers of the steps,
            such as γ (Sander et al. 2021, Fig. 6); nothing that changes the weights' shapes.
        options: where it runs; as the training if None.
        weights: "best" or "last".
        data: the test split, or (train, test), as for `train`; or a name, as for `--data`.
        out: a folder for tables and pictures of `confusion`, `per_class` and `worst`.
        keywords: as for `train`.

    Returns:
        `data`, the data set's name; the mean `loss` and the metrics of the task on its test split,
        such as `accuracy`; and `damaged`, a line for each picture that could not be read. For
        all data but texts also `worst`, the samples with the largest loss; with classes also
        `per_class`, and `confusion` if a sample or pixel has exactly one class: see
        `odenet.training.learning.details.Details`.
    """
    record = RunFolder(Path(run)).read_record()
    set, options = apply_keywords(set, options or record.options, keywords, data)
    task, samples, options = restore(run, set, options, weights, data)
    local_options = replace(options, devices=1, nodes=1, strategy="auto")
    with run_environment(task.recipe, options):
        trainer = build_trainer(RunFolder(Path(run)), task.recipe, local_options)
        if task.objective.kind.labels != "tokens":
            task.details = Details(task.objective, record.classes)
        (scores,) = trainer.test(task, datamodule=samples, verbose=False)
    metrics = {name.removeprefix("test_"): value for name, value in scores.items()}
    details: dict[str, Any] = {}
    if task.details is not None:
        details = task.details.summary(samples.measured_indices, samples.test.files)
    if out is not None:
        write_details(details, samples.test.inputs, Path(out))
    return {"data": samples.name, **metrics, **details, "damaged": samples.damaged}


def restore(
    run: str | Path,
    set: Mapping[str, Any] | None = None,
    options: Options | None = None,
    weights: str = "best",
    data: Any = None,
) -> tuple[Task, SplitLoaders, Options]:
    """The task of a run with its trained weights, the data to measure it on, and its options.

    The arguments are those of `evaluate`.
    """
    folder = RunFolder(Path(run))
    record = folder.read_record()
    options = options or record.options
    folder.require_plugins()
    require_python_data(record.data_from_python, data or (set or {}).get("data"))
    program = odenet.load(folder.spec, set=new_settings(folder, record, set or {}))
    if set:
        _require_evaluation_settings(odenet.load(folder.spec, set=dict(record.settings)), program)
    path, checkpoint = read_run_weights(folder, weights)
    task = restore_task(folder, record, program, "test", path, checkpoint)
    shape, augment, classes = input_shape(program), program.recipe.augment, record.classes
    data_set = load_data_set(program, options, record.spec_folder, data, python_test, classes)
    data_set = relabel_test_split(data_set, classes)
    transforms = Transforms.without_augmentations(shape, augment, record.mean, record.deviation)
    samples = SplitLoaders(data_set, program.recipe, shape, transforms)
    require_same_sample_type(samples, record.samples)
    return task, samples, options


def _require_evaluation_settings(trained: Program, evaluated: Program) -> None:
    """Refuse changed settings that affect only training, not an evaluation."""
    for name in recipe_keys():
        changed = getattr(trained.recipe, name) != getattr(evaluated.recipe, name)
        if changed and name not in EVALUATION_KEYS:
            message = f"`{name}` is about training, and changes nothing that is measured"
            allowed = f"of the recipe set {', '.join(EVALUATION_KEYS)}"
            raise BadOption(message, f"{allowed}; also numbers of the steps, such as h")
