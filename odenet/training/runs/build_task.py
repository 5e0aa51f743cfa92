"""From a program, and perhaps a checkpoint, to a task."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from odenet.compiler import Program
from odenet.memory_limit import require_memory
from odenet.model.tables.losses import loss_kind
from odenet.model.tables.recipe import Call
from odenet.runtime.budget import shares
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
    """What the recipe trains on; raises TrainingError if it does not say."""
    if program.recipe.data is None:
        raise BadOption(
            f"{program.name} does not say what to train on",
            "add --data NAME, as in --data digits, or a line `data = …` in train { … }",
        )
    return program.recipe.data


def new_task(program: Program, labels: LabelInfo, watched: str, level: int = 0) -> Task:
    """The task of a program, with new weights.

    Args:
        program: gives network and recipe.
        labels: what the labels of the data are.
        watched: the split measured after each epoch.
        level: how often the flows are refined.
    """
    task = Task(_new_network(program, labels), program.recipe, labels, watched, level)
    for _ in range(level):
        refine_network(task)
    return task


def task_from_checkpoint(
    program: Program, labels: LabelInfo, watched: str, checkpoint: Mapping[str, Any]
) -> Task:
    """The task of a program with the weights of a checkpoint. See `new_task`.

    Raises:
        Mismatch: they are those of another network.
    """
    level, levels = checkpoint["odenet"]["level"], program.recipe.levels
    if not 0 <= level <= len(levels):
        raise Mismatch(
            f"its flows were refined {level} times, and levels says {len(levels)} at most"
        )
    task = new_task(program, labels, watched, level)
    weights = {n: t for n, t in checkpoint["state_dict"].items() if n.startswith(NETWORK_PREFIX)}
    require_same_shapes(
        {NETWORK_PREFIX + n: t for n, t in task.network.state_dict().items()}, weights
    )
    task.load_state_dict(weights, strict=False)
    return task


def _new_network(program: Program, labels: LabelInfo) -> nn.Module:
    """A new network, its weights given by the recipe's seed; a score for each class."""
    require_memory(program, 1)
    torch.manual_seed(program.recipe.seed)
    widened = loss_kind(program.recipe.loss).labels == "class"
    try:
        return program.network(classes=labels.class_count if widened else None).train()
    except ValueError as error:  # of a network of a library, which is not there or not residual
        raise NotPossible(str(error)) from error


def apply_options(network: nn.Module, options: Options) -> None:
    """Set how every flow runs: its memory, its arithmetic, compiled or not.

    Raises:
        TrainingError: if one of them cannot.
    """
    found = list(flows(network).values())
    memory = options.memory
    memories = shares(found, memory) if isinstance(memory, int) else [memory] * len(found)
    for flow, memory in zip(found, memories, strict=True):
        if memory is not None:
            try:
                flow.memory = cast(Memory, memory)
            except ValueError as error:
                raise BadOption(f"--memory {options.memory}: {error}") from error
        reversed_ = flow.memory not in ("stored", "checkpoint")
        if options.exact and not reversed_:
            raise BadOption(
                f"--exact is about reversing, and {type(flow).__name__} does not reverse",
                flow.obstacle or "leave --memory out, or take --memory reversible",
            )
        if options.exact:
            flow.exact = True
        if options.compile and reversed_:
            flow.compile()  # one step, used for all
        elif options.compile:
            nn.Module.compile(flow)


def relabel_test_split(data: DataSet, classes: Sequence[str]) -> DataSet:
    """The test split with labels in the order of the network's outputs."""
    if data.classes == tuple(classes):
        return data
    unknown = [name for name in data.classes if name not in classes]
    if unknown:
        raise DataMisfit(
            f"the network does not know the class {unknown[0]} of {data.name}",
            f"known: {', '.join(classes)}",
        )
    if not data.classes:
        return data
    return replace(data, test=relabelled(data.test, data.classes, classes))
