"""Building a `Task`, Lightning's module of a network and its loss, from a compiled spec."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from odenet.compiler import Program
from odenet.counted import counted
from odenet.memory_limit import require_memory
from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Call
from odenet.runtime.budget_share import budget_shares
from odenet.runtime.memory import Memory
from odenet.training.callbacks.multilevel import refine_network
from odenet.training.data.samples import DataSet, LabelInfo, relabelled
from odenet.training.errors import BadOption, DataMisfit, NotPossible
from odenet.training.flows import flows
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import NETWORK_PREFIX, require_same_shapes
from odenet.training.run_folder.records import Options
from odenet.training.schema import Mismatch


def input_shape(program: Program) -> tuple[int, ...]:
    """The shape of one sample; raises SpecError if the spec has no `net`."""
    program.require_network()
    return tuple(program.input_shape or ())


def recipe_data(program: Program) -> Call:
    """The data set that the recipe names, `data = …`; raises TrainingError if it names none."""
    if program.recipe.data is None:
        raise BadOption(
            f"{program.name} does not say what to train on",
            "add --data NAME, as in --data digits, or a line `data = …` in train { … }",
        )
    return program.recipe.data


def new_task(program: Program, label_info: LabelInfo, validation_name: str, level: int = 0) -> Task:
    """A task with new weights.

    Args:
        program: the compiled spec: network and recipe.
        label_info: kind and statistics of the labels.
        validation_name: the split that is measured after each epoch: "val" or "test".
        level: how many times the flows are refined, that is, get twice as many steps.
    """
    network, recipe = _new_network(program, label_info), program.recipe
    task = Task(network, recipe, label_info, validation_name, level)
    for _ in range(level):
        refine_network(task)
    return task


def task_from_checkpoint(
    program: Program, label_info: LabelInfo, validation_name: str, checkpoint: Mapping[str, Any]
) -> Task:
    """A task with the weights of a checkpoint. The other arguments are those of `new_task`.

    Raises:
        Mismatch: the weights belong to another network.
    """
    level, levels = checkpoint["odenet"]["level"], program.recipe.levels
    if not 0 <= level <= len(levels):
        limit = f"levels says {len(levels)} at most"
        raise Mismatch(f"its flows were refined {counted(level, 'time')}, and {limit}")
    task = new_task(program, label_info, validation_name, level)
    weights = {n: t for n, t in checkpoint["state_dict"].items() if n.startswith(NETWORK_PREFIX)}
    expected = {NETWORK_PREFIX + n: t for n, t in task.network.state_dict().items()}
    require_same_shapes(expected, weights)
    task.load_state_dict(weights, strict=False)
    return task


def _new_network(program: Program, label_info: LabelInfo) -> nn.Module:
    """A network with weights drawn from the recipe's seed, and one output for each class."""
    require_memory(program, 1)
    torch.manual_seed(program.recipe.seed)
    has_classes = loss_kind(program.recipe.loss).labels == "class"
    try:
        return program.network(classes=label_info.count if has_classes else None).train()
    except ValueError as error:  # a library's network that is missing or cannot be reversed
        raise NotPossible(str(error)) from error


def apply_options(network: nn.Module, options: Options) -> None:
    """Set how each flow runs: its memory mode, exact arithmetic, `torch.compile`.

    Raises:
        TrainingError: if a flow does not support an option.
    """
    all_flows = list(flows(network).values())
    given = options.memory  # a mode of all flows, or a budget that they share
    modes = budget_shares(all_flows, given) if isinstance(given, int) else [given] * len(all_flows)
    for flow, mode in zip(all_flows, modes, strict=True):
        if mode is not None:
            try:
                flow.memory = cast(Memory, mode)
            except ValueError as error:
                raise BadOption(f"--memory {options.memory}: {error}") from error
        reverses = flow.memory not in ("stored", "checkpoint")
        if options.exact and not reverses:
            raise BadOption(
                f"--exact is about reversing, and {type(flow).__name__} does not reverse",
                flow.obstacle or "leave --memory out, or take --memory reversible",
            )
        if options.exact:
            flow.exact = True
        if options.compile and reverses:
            flow.compile()  # compiles a single step, for all steps
        elif options.compile:
            nn.Module.compile(flow)


def relabel_test_split(data: DataSet, known_classes: Sequence[str]) -> DataSet:
    """A data set whose test labels are indices into `known_classes`, the network's outputs.

    Raises:
        TrainingError: the data has a class that the network does not know.
    """
    if data.classes == tuple(known_classes):
        return data
    unknown = [name for name in data.classes if name not in known_classes]
    if unknown:
        message = f"the network does not know the class {unknown[0]} of {data.name}"
        raise DataMisfit(message, f"known: {', '.join(known_classes)}")
    if not data.classes:
        return data
    return replace(data, test=relabelled(data.test, data.classes, known_classes))
