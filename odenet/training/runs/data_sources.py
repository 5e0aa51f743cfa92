"""Where the data of a training come from: its spec, the command line, or a program."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from odenet.compiler import Program
from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Call
from odenet.training.data.augmentations import shape_before_crop
from odenet.training.data.data_sets import load_data
from odenet.training.data.python_data import python_data
from odenet.training.data.samples import DataSet, class_counts
from odenet.training.errors import UnreadableData
from odenet.training.learning.compatibility import with_matching_labels
from odenet.training.run_folder.records import Options
from odenet.training.runs.build_task import input_shape, recipe_data

SET_OPTION = "--set"  # what messages call the source of a value from outside


def load_data_set(
    program: Program,
    options: Options,
    folder: str,
    given: Any = None,
    read: Callable[[Any], DataSet] = python_data,
    known: Sequence[str] = (),
) -> DataSet:
    """The data of a training, with labels as its loss takes them.

    Args:
        program: what its recipe names is loaded.
        options: where published data sets lie.
        folder: of the spec, which the paths in it are relative to.
        given: data from a program, in place of what the recipe names.
        read: reads them.
        known: the classes of a trained network, where one is measured.

    Raises:
        TrainingError: they cannot be read or used.
        SpecError: network, loss and data do not fit together.
    """
    if isinstance(given, DataSet):  # these were agreed on
        return given
    if given is not None and not isinstance(given, str):
        return with_matching_labels(program, read(given), known)
    call = resolve_paths(recipe_data(program), folder)
    shape = shape_before_crop(program.recipe.augment, input_shape(program))
    found = load_data(call, shape, options.data_root, options.download)
    return with_matching_labels(program, found, known)


def spec_folder(program: Program) -> str:
    """The folder of a spec's file; that of the program where it was a text."""
    return str(Path(program.model.source.name).resolve().parent)


def resolve_paths(data: Call, folder: str) -> Call:
    """A data set with its paths relative to where the program runs.

    In a spec they are relative to the spec, from outside to where the command was given.
    """
    for name in ("path", "tokenizer"):
        data = _resolve_path(data, name, folder)
    return data


def _resolve_path(data: Call, name: str, folder: str) -> Call:
    path = data.kwargs.get(name)
    if not isinstance(path, str) or not path or os.path.isabs(path):
        return data
    outside = data.span is not None and data.span.source.name == SET_OPTION
    there = os.path.join(folder, path)
    if outside and (os.path.exists(path) or not os.path.exists(there)):
        return data
    near = os.path.relpath(there)
    shown = there if near.startswith(os.pardir) else near
    return replace(data, kwargs={**data.kwargs, name: shown})


def missing_classes_note(program: Program, data: DataSet) -> str:
    """What to say of classes that only one of the splits has; else empty."""
    if loss_kind(program.recipe.loss).labels != "class":
        return ""
    for name, split in (("training", data.train), ("test", data.test)):
        counts = class_counts(split.labels, len(data.classes))
        absent = [data.classes[i] for i, count in enumerate(counts) if not count]
        if absent:
            which = "the class" if len(absent) == 1 else f"{len(absent)} classes, the first"
            return f"the {name} split of {data.name} has no sample of {which} {absent[0]}"
    return ""


def require_python_data(needs: str, given: Any) -> None:
    """Refuse to go on without data that only a program has.

    Args:
        needs: what has to be given, of a run whose data came from a program; else empty.
        given: the data.
    """
    if needs and given is None:
        raise UnreadableData(f"this run cannot find its data: {needs}")
