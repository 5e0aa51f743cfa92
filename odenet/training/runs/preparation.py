"""What a new training begins with: its data read and looked at, its network made."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from torch import Tensor

from odenet.compiler import Program
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
    """The task of a program, with new weights, and its data; says what is remarkable about them.

    Args:
        program: what is trained.
        options: where published data sets lie.
        console: where to say it.
        data: as `odenet.training.train` takes them.

    Raises:
        SpecError: network, loss and data do not fit together.
        TrainingError: the data cannot be used.
    """
    shape = input_shape(program)
    require_memory(program, 1)
    data_set = load_data_set(program, options, spec_folder(program), data)
    whole = shape_before_crop(program.recipe.augment, shape)
    scaled = scaling_note(data_set.train, whole, shape)
    if scaled:
        scaled = f"{data_set.name}: {scaled}; `input(…)` or `--set size=…` changes that"
    for note in (
        scaled,
        output_width_note(program, data_set),
        missing_classes_note(program, data_set),
    ):
        if note:
            console.print(Text(note, "yellow"), highlight=False, soft_wrap=True)
    samples = SplitLoaders(data_set, program.recipe, shape)
    task = new_task(program, samples.labels, samples.validation_name)
    load_initial_weights(task.network, options.weights, console)
    task.recipe = with_whole_epochs(task.recipe, samples.steps_per_epoch)
    console.print(f"  {_split_sizes_text(samples)}", highlight=False, soft_wrap=True)
    return task, samples


def _split_sizes_text(samples: SplitLoaders) -> str:
    """How much there is to train with, and to measure on."""
    steps = samples.steps_per_epoch
    plural = "s" * (steps != 1)
    parts = [f"{len(samples.train):,} training samples in {steps:,} step{plural} an epoch"]
    if samples.validation_name == "val":
        parts.append(f"{len(samples.validation):,} held out")
    parts.append(f"{len(samples.test):,} to test on")
    if samples.classes:
        parts.append(f"{len(samples.classes):,} classes")
    return ", ".join(parts)


def scaling_note(split: Split, whole: Sequence[int], shape: Sequence[int]) -> str:
    """What happens to the size of pictures; nothing to say where they fit as they are.

    Args:
        split: of samples; of what lies in files, some are looked at.
        whole: (C, H, W) that pictures are scaled to, or (D,).
        shape: what the network takes of it.
    """
    images = split.inputs
    if split.files:
        sizes = sizes_of(split.files)
    elif isinstance(images, Tensor) and images.dim() == 4:
        sizes = {(images.shape[2], images.shape[3])}
    else:
        sizes = set[tuple[int, int]]()
    if len(shape) != 3 or sizes <= {tuple(whole[1:])}:
        return ""
    have = _size_text(*sizes) if len(sizes) == 1 else "several sizes"
    other = any(height * whole[2] != width * whole[1] for height, width in sizes)
    cut = "cut and " * bool(split.files and other)
    scaled, takes = _size_text(whole[1:]), _size_text(shape[1:])
    if scaled == takes:
        return f"pictures of {have} are {cut}scaled to the network's {takes}"
    return f"pictures of {have} are {cut}scaled to {scaled}, whose middle is the network's {takes}"


def _size_text(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
