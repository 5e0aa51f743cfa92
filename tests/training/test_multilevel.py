"""Refinement of flows during training: weights, the optimizer's state, and runs with `levels`.

The fixture `stub_spec` is the path of a spec with a small handwritten network (stub_program.py).
"""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from odenet.model.tables.recipe import OPTIMIZERS, Recipe
from odenet.training.callbacks.multilevel import refine_network, refine_optimizer
from odenet.training.data.samples import LabelInfo
from odenet.training.errors import TrainingError
from odenet.training.flows import flows
from odenet.training.learning.optim import build_optimizer, decay_groups
from odenet.training.learning.task import Task
from odenet.training.run_folder.checkpoints import read_checkpoint
from odenet.training.run_folder.records import RunFolder
from odenet.training.runs import evaluation, run

from . import stub_program


def task_after_two_steps(optimizer_name="adamw"):
    """A task on the stub's network and its optimizer, after two training steps."""
    torch.manual_seed(0)
    recipe = Recipe(optimizer=OPTIMIZERS.default(optimizer_name, decay=0.1))
    task = Task(stub_program.Network(10), recipe, LabelInfo(10))
    optimizer = build_optimizer(task.network, recipe.optimizer)
    for _ in range(2):
        task(torch.randn(8, 1, 8, 8)).square().mean().backward()
        optimizer.step()
    return task, optimizer


def parameter_state(optimizer, network, name):
    """The state that the optimizer keeps for a parameter of the network."""
    return optimizer.state[dict(network.named_parameters())[name]]


def test_refinement_copies_every_step_once():
    task, _ = task_after_two_steps()
    old = task.network.flow1
    refine_network(task)
    new = task.network.flow1
    assert (new.steps, new.h) == (4, 0.25)
    assert torch.equal(new.K, old.K[[0, 0, 1, 1]])
    assert torch.equal(new.G, old.G)
    for step, module in enumerate(new.f):
        source = old.f[step // 2].state_dict()
        assert all(torch.equal(value, source[key]) for key, value in module.state_dict().items())
    assert new.f[0][1].weight is not new.f[1][1].weight


@pytest.mark.parametrize("optimizer_name", ["sgd", "adam", "adamw"])
def test_the_optimizers_averages_are_refined_like_the_parameters(optimizer_name):
    task, optimizer = task_after_two_steps(optimizer_name)
    key = "momentum_buffer" if optimizer_name == "sgd" else "exp_avg"
    network = task.network
    before = {
        name: parameter_state(optimizer, network, name)[key].clone()
        for name, _ in network.named_parameters()
    }
    refine_optimizer(optimizer, task, refine_network(task))
    after = {
        name: parameter_state(optimizer, network, name)[key]
        for name, _ in network.named_parameters()
    }
    assert torch.equal(after["flow1.K"], before["flow1.K"][[0, 0, 1, 1]])
    assert torch.equal(after["flow1.G"], before["flow1.G"])
    assert torch.equal(after["head.weight"], before["head.weight"])
    for step in range(4):
        source = before[f"flow1.f.{step // 2}.1.weight"]
        assert torch.equal(after[f"flow1.f.{step}.1.weight"], source)
    if optimizer_name != "sgd":
        assert {state["step"].item() for state in optimizer.state.values()} == {2.0}


def test_the_groups_of_the_optimizer_are_those_of_a_new_one_for_the_refined_network():
    task, optimizer = task_after_two_steps()
    refine_optimizer(optimizer, task, refine_network(task))
    new_groups = decay_groups(task.network, task.recipe.optimizer)
    for group, expected in zip(optimizer.param_groups, new_groups, strict=True):
        assert [id(p) for p in group["params"]] == [id(p) for p in expected["params"]]
        assert group["weight_decay"] == expected["weight_decay"]
    before = task.network.flow1.K.detach().clone()
    task(torch.randn(8, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    assert not torch.equal(task.network.flow1.K, before)


def test_a_network_that_is_nothing_but_a_flow_is_refined():
    task = Task(stub_program.MomentumFlow(4, 2), Recipe(), LabelInfo(4))
    refine_network(task)
    assert flows(task)["network"].steps == 4


def test_flows_are_refined_after_the_epochs_in_levels_and_the_run_says_what_that_saved(stub_spec):
    result = run.train(
        stub_spec, {"levels": "[1, 2]", "ema": 0.9}, out="run", console=Console(quiet=True)
    )
    checkpoint = read_checkpoint(RunFolder(Path("run")).checkpoint("last"))
    assert checkpoint["odenet"]["level"] == 2
    assert checkpoint["state_dict"]["network.flow1.K"].shape[0] == 8  # two steps, doubled twice
    assert result.saved is not None
    assert evaluation.evaluate("run", weights="last")["accuracy"] == result.accuracy


def test_the_best_epoch_may_lie_before_a_refinement(stub_spec):
    # Without learning no later epoch is better than the first.
    settings = {"levels": "[1]", "optimizer": "sgd(1e-30, momentum = 0)", "epochs": 2}
    run.train(stub_spec, settings, out="run", console=Console(quiet=True))
    assert evaluation.evaluate("run", weights="best")["accuracy"] >= 0


def test_a_flow_without_a_step_size_cannot_be_refined():
    network = nn.Sequential(stub_program.MomentumFlow(4, 2))
    del network[0].h
    with pytest.raises(TrainingError, match="no step size"):
        refine_network(network)
