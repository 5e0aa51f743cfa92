"""Optimizers, weight decay, and schedules of the learning rate."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from odenet.model.tables.recipe import Call, Recipe
from odenet.runtime.flow import Flow
from odenet.runtime.learned.constants import LearnedConstant
from odenet.training.errors import CannotRefine

NORMS = _NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm


def build_optimizer(network: nn.Module, optimizer: Call, unfused: bool = False) -> Optimizer:
    """The recipe's optimizer over the network's parameters.

    On a GPU, a fused kernel updates all parameters at once. It also sees there whether a scaled
    gradient has overflowed; otherwise torch makes the host wait for that.

    Args:
        network: the network whose parameters are updated.
        optimizer: a checked call of `odenet.model.tables.recipe.OPTIMIZERS`.
        unfused: do not use the fused kernel of a GPU, which undoes the scaling of gradients (as for
            16 bits) in the step itself, so that they cannot be clipped in between.
    """
    groups = decay_groups(network, optimizer)
    lr, on_gpu = optimizer["lr"], all(p.device.type == "cuda" for p in network.parameters())
    fused = True if on_gpu and not unfused else None  # None: torch decides
    if optimizer.name == "sgd":
        nesterov = optimizer["nesterov"] == "yes"
        return torch.optim.SGD(groups, lr, optimizer["momentum"], nesterov=nesterov, fused=fused)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer.name]
    return kind(groups, lr, optimizer["betas"], fused=fused)


def decay_groups(network: nn.Module, optimizer: Call) -> list[dict[str, Any]]:
    """Two parameter groups, those that decay and those that do not, always in the same order.

    Weights decay. Biases and what belongs to a normalisation do not, unless `decay_on = all`.
    """
    undecayed = set() if optimizer["decay_on"] == "all" else _undecayed(network)
    parameters = list(network.parameters())
    decayed = [p for p in parameters if p not in undecayed]
    return [
        {"params": decayed, "weight_decay": optimizer["decay"]},
        {"params": [p for p in parameters if p in undecayed], "weight_decay": 0.0},
    ]


def _undecayed(network: nn.Module) -> set[nn.Parameter]:
    """Biases, the gains and shifts of normalisations, and learned constants of schemes."""
    parameters: set[nn.Parameter] = set()
    for module in network.modules():
        if isinstance(module, NORMS | LearnedConstant):
            parameters.update(module.parameters())
        for name, parameter in module.named_parameters(recurse=False):
            is_flow = isinstance(module, Flow)
            if name not in module.operators if is_flow else "bias" in name:
                parameters.add(parameter)
    return parameters


def with_whole_epochs(recipe: Recipe, steps_per_epoch: int) -> Recipe:
    """The recipe with as many `epochs` as its `steps` take, rounded up; unchanged without `steps`.

    Args:
        recipe: gives the steps, or the epochs.
        steps_per_epoch: the number of optimizer steps in an epoch.

    Raises:
        TrainingError: if it refines after the last epoch.
    """
    if not recipe.steps:
        return recipe
    epochs = -(-recipe.steps // steps_per_epoch)
    if recipe.levels and recipe.levels[-1] >= epochs:
        length = f"{recipe.steps} steps are {epochs} epochs of this data"
        message = f"levels refines at epoch {recipe.levels[-1]}, but {length}"
        raise CannotRefine(message, "refine earlier, or take more steps")
    return replace(recipe, epochs=epochs)


def cycle_ends(recipe: Recipe) -> tuple[int, ...]:
    """The epochs at which a cycle of the schedule ends: where it starts anew, and the last one."""
    restarts = recipe.schedule.kwargs.get("restarts", "levels")
    starts = recipe.levels if restarts == "levels" else restarts
    return (*(start for start in starts if start < recipe.epochs), recipe.epochs)


def rate_factor(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The factor of the learning rate, as a function of the step.

    A refinement starts the schedule anew, but without its warm-up (Chang et al. 2018, ICLR, section
    4), unless the schedule has restarts of its own.

    Args:
        recipe: gives the schedule, the highest rate, and the cycles.
        steps_per_epoch: the number of optimizer steps in an epoch.
    """
    schedule, lr = recipe.schedule, recipe.optimizer["lr"]
    ends = cycle_ends(recipe)
    warmup_epochs = schedule["warmup"] + schedule.kwargs.get("warmup_steps", 0) / steps_per_epoch

    def factor(step: int) -> float:
        epoch = step / steps_per_epoch
        cycle = next((i for i, end in enumerate(ends) if epoch < end), len(ends) - 1)
        start = ends[cycle - 1] if cycle else 0
        warmup = 0.0 if cycle else min(warmup_epochs, ends[0])
        if epoch < warmup:
            return (step + 1) / (math.ceil(warmup * steps_per_epoch) + 1)
        if schedule.name == "steps":
            return schedule["factor"] ** sum(epoch - start >= drop for drop in schedule["at"])
        if schedule.name == "cosine":
            progress = (epoch - start - warmup) / max(ends[cycle] - start - warmup, 1e-9)
            low = schedule["to"] / lr
            return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return 1.0

    return factor
