"""Multi-level training: a shallow network first, refined in time as it learns.

Chang et al. 2018 (ICLR), "Multi-level residual networks from dynamical systems view", section 4:
at given epochs the number of steps doubles and h halves, each new step copies its left neighbour,
and the schedule starts anew. In a unit, whose first step changes the shape, the second step copies
its right neighbour (appendix B). The optimizer's running averages are refined in the same way, so
that training goes on where it was.
"""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from odenet.runtime.refinement import source_steps
from odenet.training.callbacks.averaging import averaged_tasks
from odenet.training.callbacks.run_callback import require_whole_weights
from odenet.training.errors import CannotRefine
from odenet.training.flows import units_and_flows
from odenet.training.learning.optim import decay_groups
from odenet.training.learning.task import Task

Origins = dict[nn.Parameter, nn.Parameter]  # refined parameter -> the one it came from


class MultiLevel(Callback):
    """Refines every flow at the epochs of the recipe's `levels`."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse strategies that have cut the parameters into pieces."""
        require_whole_weights(trainer, "refining levels", "--set levels=[]")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refine when a level begins; not again after a resume inside its first epoch."""
        if not isinstance(pl_module, Task):
            return
        levels = pl_module.recipe.levels
        if pl_module.level == len(levels) or trainer.current_epoch != levels[pl_module.level]:
            return
        origins = refine_network(pl_module)
        refine_optimizer(trainer.optimizers[0], pl_module, origins)
        pl_module.level += 1
        for average in averaged_tasks(trainer):
            refine_network(average)
        if isinstance(trainer.strategy, DDPStrategy):  # its buckets hold the old parameters
            trainer.strategy.model = pl_module
            trainer.strategy.configure_ddp()


def refine_network(task: nn.Module) -> Origins:
    """Replace every flow and unit inside a module by its refinement.

    Args:
        task: a module that holds the network.

    Returns:
        The original of each parameter of the refined flows.

    Raises:
        CannotRefine: a flow cannot be refined, for instance since it has no step size.
    """
    origins: Origins = {}
    for path, module in units_and_flows(task).items():
        try:
            finer = module.refine()
        except ValueError as error:
            raise CannotRefine(f"levels cannot refine: {error}", "--set levels=[]") from error
        origins.update(_origins(module, finer))
        task.set_submodule(path, finer)
    return origins


def _origins(module: nn.Module, finer: nn.Module) -> Origins:
    """The original of each parameter of a refined module."""
    coarse = dict(module.named_parameters(recurse=False))
    fine = dict(finer.named_parameters(recurse=False))
    origins: Origins = {fine[name]: coarse[name] for name in fine}
    coarse_children = dict(module.named_children())
    for name, new in finer.named_children():
        old = coarse_children[name]
        if isinstance(new, nn.ModuleList) and isinstance(old, nn.ModuleList):
            for index, source in enumerate(source_steps(len(old), len(new))):
                origins.update(_origins(old[source], new[index]))
        else:
            origins.update(_origins(old, new))
    return origins


def refine_optimizer(optimizer: torch.optim.Optimizer, task: Task, origins: Origins) -> None:
    """Point the optimizer at the refined parameters, with its state refined likewise."""
    old_state = dict(optimizer.state)
    groups = decay_groups(task.network, task.recipe.optimizer)
    optimizer.state.clear()
    for group, refined_group in zip(optimizer.param_groups, groups, strict=True):
        group["params"] = refined_group["params"]
        for parameter in group["params"]:
            source = origins[parameter] if parameter in origins else parameter
            if source in old_state:
                state = {k: _refine(v, source, parameter) for k, v in old_state[source].items()}
                optimizer.state[parameter] = state


def _refine(value: Any, source: Tensor, target: Tensor) -> Any:
    """One entry of an optimizer's state for a refined parameter, whose first axis is the step."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == source.shape and source.shape != target.shape:
        return value[source_steps(len(source), len(target))]
    return value.clone()
