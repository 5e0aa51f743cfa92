"""What a new training begins with: its data read and looked at, its network made."""

from typing import Any

from rich.console import Console
from rich.text import Text

from odenet.compiler import Program
from odenet.room import require_room
from odenet.training.agreement import widened
from odenet.training.augment import scaling
from odenet.training.augmentations import before_the_middle
from odenet.training.beginning import begin_with
from odenet.training.loader import Data
from odenet.training.new_task import input_shape, new_task
from odenet.training.optim import whole_epochs
from odenet.training.records import Options
from odenet.training.sources import data_for, lacking, spec_folder
from odenet.training.task import Task


def prepare(
    program: Program, options: Options, console: Console, data: Any = None
) -> tuple[Task, Data]:
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
    require_room(program, 1)
    data_set = data_for(program, options, spec_folder(program), data)
    whole = before_the_middle(program.recipe.augment, shape)
    scaled = scaling(data_set.train, whole, shape)
    if scaled:
        scaled = f"{data_set.name}: {scaled}; `input(…)` or `--set size=…` changes that"
    for note in (scaled, widened(program, data_set), lacking(program, data_set)):
        if note:
            console.print(Text(note, "yellow"), highlight=False, soft_wrap=True)
    samples = Data(data_set, program.recipe, shape)
    task = new_task(program, samples.labels, samples.watched_name)
    begin_with(task.network, options.weights, console)
    task.recipe = whole_epochs(task.recipe, samples.steps_per_epoch)
    console.print(f"  {_in_words(samples)}", highlight=False, soft_wrap=True)
    return task, samples


def _in_words(samples: Data) -> str:
    """How much there is to train with, and to measure on."""
    steps = samples.steps_per_epoch
    plural = "s" * (steps != 1)
    parts = [f"{len(samples.train):,} training samples in {steps:,} step{plural} an epoch"]
    if samples.watched_name == "val":
        parts.append(f"{len(samples.watched):,} held out")
    parts.append(f"{len(samples.test):,} to test on")
    if samples.classes:
        parts.append(f"{len(samples.classes):,} classes")
    return ", ".join(parts)
