"""Loading the data of a run, which its spec, the command line or Python code gives."""

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

SET_OPTION = "--set"  # the name of the source text of values from the command line


def load_data_set(
    program: Program,
    options: Options,
    folder: str,
    data: Any = None,
    reader: Callable[[Any], DataSet] = python_data,
    known_classes: Sequence[str] = (),
) -> DataSet:
    """The data set of a run, with labels converted to what its loss takes.

    Args:
        program: the compiled spec, whose recipe names a data set.
        options: where published data sets are stored.
        folder: the folder of the spec, which paths in it are relative to.
        data: replaces what the recipe names, unless it is None or a name.
        reader: converts `data` into a data set.
        known_classes: the classes of the trained network that is evaluated; else empty.

    Raises:
        TrainingError: the data cannot be read or used.
        SpecError: network, loss and data do not fit together.
    """
    if isinstance(data, DataSet):  # already with converted labels
        return data
    if data is not None and not isinstance(data, str):
        return with_matching_labels(program, reader(data), known_classes)
    call = resolve_paths(recipe_data(program), folder)
    shape = shape_before_crop(program.recipe.augment, input_shape(program))
    data_set = load_data(call, shape, options.data_root, options.download)
    return with_matching_labels(program, data_set, known_classes)


def spec_folder(program: Program) -> str:
    """The folder of a spec's file; the current folder if the spec was not read from a file."""
    return str(Path(program.model.source.name).resolve().parent)


def resolve_paths(data: Call, folder: str) -> Call:
    """`data = …` of a recipe, with paths made relative to the current folder.

    A path that a spec contains is relative to the folder of the spec; one from the command line is
    relative to the current folder, if it exists there.
    """
    for name in ("path", "tokenizer"):
        data = _resolve_path(data, name, folder)
    return data


def _resolve_path(data: Call, argument: str, folder: str) -> Call:
    path = data.kwargs.get(argument)
    if not isinstance(path, str) or not path or os.path.isabs(path):
        return data
    is_from_command_line = data.span is not None and data.span.source.name == SET_OPTION
    beside_spec = os.path.join(folder, path)
    if is_from_command_line and (os.path.exists(path) or not os.path.exists(beside_spec)):
        return data
    relative = os.path.relpath(beside_spec)
    resolved = beside_spec if relative.startswith(os.pardir) else relative
    return replace(data, kwargs={**data.kwargs, argument: resolved})


def missing_classes_note(program: Program, data: DataSet) -> str:
    """A warning if one of the splits has no sample of some class; else empty."""
    if loss_kind(program.recipe.loss).labels != "class":
        return ""
    for name, split in (("training", data.train), ("test", data.test)):
        counts = class_counts(split.labels, len(data.classes))
        absent = [data.classes[i] for i, count in enumerate(counts) if not count]
        if absent:
            classes_text = "the class" if len(absent) == 1 else f"{len(absent)} classes, the first"
            return f"the {name} split of {data.name} has no sample of {classes_text} {absent[0]}"
    return ""


def require_python_data(required: str, data: Any) -> None:
    """Raise TrainingError if a run was trained on data from Python code that is not given again.

    Args:
        required: what has to be given, in words; empty if the data did not come from Python code.
        data: what is given, or None.
    """
    if required and data is None:
        raise UnreadableData(f"this run cannot find its data: {required}")
