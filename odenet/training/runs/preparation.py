"""Preparing a new run: load its data, build its network, print notes about both."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from torch import Tensor

from odenet.compiler import Program
from odenet.counted import counted
from odenet.memory_limit import require_memory
from odenet.training.data.augmentations import shape_before_crop
from odenet.training.data.data_module import SplitLoaders
from odenet.training.data.pictures import sizes_of
from odenet.training.data.samples import Split
from odenet.training.learning.compatibility import output_width_note
from odenet.training.learning.initial_weights import load_initial_weights
from odenet.training.learning.optim import with_whole_epochs
from odenet.training.learning.task import Task
from odenet.training.run_folder.records import Options
from odenet.training.runs.build_task import input_shape, new_task
from odenet.training.runs.data_sources import load_data_set, missing_classes_note, spec_folder


def prepare_training(
    program: Program, options: Options, console: Console, data: Any = None
) -> tuple[Task, SplitLoaders]:
    """The task, with new weights, and the data of a new run.

    Args:
        program: the compiled spec.
        options: where published data sets are stored, and the initial weights.
        console: where notes are printed, such as that pictures are resized or a class is missing.
        data: as for `odenet.training.train`.

    Raises:
        SpecError: network, loss and data do not fit together.
        TrainingError: the data cannot be used.
    """
    shape = input_shape(program)
    require_memory(program, 1)
    data_set = load_data_set(program, options, spec_folder(program), data)
    scaling = scaling_note(data_set.train, shape_before_crop(program.recipe.augment, shape), shape)
    if scaling:
        scaling = f"{data_set.name}: {scaling}; `input(…)` or `--set size=…` changes that"
    width_note = output_width_note(program, data_set)
    for note in (scaling, width_note, missing_classes_note(program, data_set)):
        if note:
            console.print(Text(note, "yellow"), highlight=False, soft_wrap=True)
    samples = SplitLoaders(data_set, program.recipe, shape)
    task = new_task(program, samples.label_info, samples.validation_name)
    load_initial_weights(task.network, options.weights, console)
    task.recipe = with_whole_epochs(task.recipe, samples.steps_per_epoch)
    console.print(f"  {_split_sizes_text(samples)}", highlight=False, soft_wrap=True)
    return task, samples


def _split_sizes_text(samples: SplitLoaders) -> str:
    """The sizes of the training, held-out and test splits in words."""
    steps = counted(samples.steps_per_epoch, "step")
    parts = [f"{counted(len(samples.train), 'training sample')} in {steps} an epoch"]
    if samples.validation_name == "val":
        parts.append(f"{len(samples.validation):,} held out")
    parts.append(f"{len(samples.test):,} to test on")
    if samples.classes:
        parts.append(f"{len(samples.classes):,} classes")
    return ", ".join(parts)


def scaling_note(split: Split, scaled_shape: Sequence[int], network_shape: Sequence[int]) -> str:
    """How pictures are cropped and scaled, in words; empty if they have the right size already.

    Args:
        split: the samples; of pictures in files, the sizes of some are read.
        scaled_shape: (C, H, W) that pictures are scaled to, or (D,) of other samples.
        network_shape: the input shape of the network, which is cropped from the centre.
    """
    images = split.inputs
    if split.files:
        sizes = sizes_of(split.files)
    elif isinstance(images, Tensor) and images.dim() == 4:
        sizes = {(images.shape[2], images.shape[3])}
    else:
        sizes = set[tuple[int, int]]()
    if len(network_shape) != 3 or sizes <= {tuple(scaled_shape[1:])}:
        return ""
    size = _size_text(*sizes) if len(sizes) == 1 else "several sizes"
    is_cropped = any(height * scaled_shape[2] != width * scaled_shape[1] for height, width in sizes)
    cut = "cut and " * bool(split.files and is_cropped)
    scaled, used = _size_text(scaled_shape[1:]), _size_text(network_shape[1:])
    if scaled == used:
        return f"pictures of {size} are {cut}scaled to the network's {used}"
    return f"pictures of {size} are {cut}scaled to {scaled}, whose middle is the network's {used}"


def _size_text(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
