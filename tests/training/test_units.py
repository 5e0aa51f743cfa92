"""Units, whose first step changes the shape: refinement, the optimizer's state, studies of runs."""

import pytest
import torch
from rich.console import Console

import odenet
from odenet.model.tables.recipe import OPTIMIZERS, Recipe
from odenet.runtime import Unit
from odenet.training.callbacks.multilevel import refine_network, refine_optimizer
from odenet.training.data.samples import LabelInfo
from odenet.training.flows import flow_inputs, flows, units_and_flows
from odenet.training.learning.optim import build_optimizer
from odenet.training.learning.task import Task
from odenet.training.runs import run
from odenet.training.trained_runs.studies import replaced_method, study_run

MAPS_SPEC = """state x
map f = bn -> relu -> conv(3)
x' = f(x)
discretise euler(h = 0.5)
net = input(1, 8, 8) -> conv(3, 4) -> flow(2) -> unit(2, 6, stride = 2) -> mean -> dense(10)
train {
    data     = digits
    fraction = 0.05
    epochs   = 2
    batch    = 16
    levels   = [1]
}
"""
OPERATORS_SPEC = MAPS_SPEC.replace("map f = bn -> relu -> conv(3)", "param K : conv(3)").replace(
    "f(x)", "tanh((K - K^T) x)"
)


def task_after_step(text):
    """A task on the network of a spec and its optimizer, after one training step."""
    torch.manual_seed(0)
    recipe = Recipe(optimizer=OPTIMIZERS.default("adamw"))
    task = Task(odenet.loads(text).network(), recipe, LabelInfo(10))
    optimizer = build_optimizer(task.network, recipe.optimizer)
    task(torch.randn(8, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    return task, optimizer


@pytest.mark.parametrize("text", [MAPS_SPEC, OPERATORS_SPEC], ids=["maps", "operators"])
def test_every_parameter_of_a_refined_unit_has_the_state_of_the_one_it_copies(text):
    task, optimizer = task_after_step(text)
    before = {
        name: (p.detach().clone(), optimizer.state[p]["exp_avg"].clone())
        for name, p in task.network.named_parameters()
    }
    refine_optimizer(optimizer, task, refine_network(task))
    step_counts = [flow.steps for flow in flows(task.network).values()]
    # Of the unit's four steps the first is its entry, and the others are a flow.
    assert step_counts.count(3) == 1
    for name, parameter in task.network.named_parameters():
        average = optimizer.state[parameter]["exp_avg"]
        assert average.shape == parameter.shape
        if name.endswith("K"):  # one for each step
            old_parameter, old_average = before[name]
            for K, K_average in zip(parameter, average, strict=True):
                source = [torch.equal(K, old_K) for old_K in old_parameter].index(True)
                assert torch.equal(K_average, old_average[source])
    task(torch.randn(8, 1, 8, 8)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("text", [MAPS_SPEC, OPERATORS_SPEC], ids=["maps", "operators"])
def test_a_run_refines_its_units_and_its_study_has_an_entry_for_every_step(
    text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.ode").write_text(text)
    run.train("small.ode", out="run", console=Console(quiet=True))
    study = study_run("run", samples=30)
    step_counts = [len(flow.metric_without_step) for flow in study.flows]
    assert step_counts in ([4, 4], [2, 2])  # the best epoch is the second, refined, or the first
    for flow in study.flows:
        assert len(flow.state_norms) == len(flow.change_norms) == len(flow.metric_without_step)
        assert min(flow.change_norms) > 0


def test_a_unit_without_its_entry_equals_one_whose_entry_adds_nothing_to_the_shortcut():
    torch.manual_seed(0)
    (unit,) = (m for m in odenet.loads(MAPS_SPEC).network().modules() if isinstance(m, Unit))
    unit.requires_grad_(False).eval()
    u = torch.randn(2, 4, 8, 8)
    with replaced_method(unit.entry, "forward", unit.entry.skipped):
        without_entry = unit(u)
    assert not torch.equal(without_entry, unit(u))
    unit.entry.f_in[0][2].weight.zero_()  # the convolution of the map f
    torch.testing.assert_close(without_entry, unit(u))


def test_the_inputs_of_units_with_two_states_are_found_and_not_changed():
    spec = "state Y, Z\nparam K : conv(3)\nY' = tanh(K Z)\nZ' = -tanh(K Y)\ndiscretise verlet(h = 0.1)\n"
    net = "net = input(4, 8, 8) -> unit(3, 8, stride = 2) -> mean -> dense(2)\n"
    network = odenet.loads(spec + net).network().eval()
    x = torch.randn(2, 4, 8, 8)
    (name,) = units_and_flows(network)
    inputs = flow_inputs(network, x)
    torch.testing.assert_close(inputs[name], x)
    torch.testing.assert_close(network[0](inputs[name]), network[0](x))
