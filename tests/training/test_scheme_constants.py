"""Constants of a scheme that training ramps, learns or has drawn at random."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

import odenet
from odenet.model.tables.recipe import OPTIMIZERS
from odenet.runtime.learned.constants import LearnedConstant
from odenet.training.callbacks.multilevel import refine_network, refine_optimizer
from odenet.training.callbacks.scheme_constants import SchemeConstants
from odenet.training.callbacks.stopping import Stopped
from odenet.training.data.samples import LabelInfo
from odenet.training.errors import TrainingError
from odenet.training.flows import flows
from odenet.training.learning.optim import build_optimizer, decay_groups
from odenet.training.learning.task import Task
from odenet.training.runs import run

from . import stub_program
from .test_resume import stop_at_step
from .train_and_compare import assert_same_run, train, weights

SPEC = """
state  Y
param  K : conv(3)
Y' = tanh(K Y)
discretise {scheme}
net = input(1, 8, 8) -> conv(3, 4) -> flow(3) -> mean -> dense(10)
train {{
    data = digits
    batch = 500
    epochs = 3
}}
"""
EPOCH_STEPS = 2  # full batches of 500 in 1,437 samples


@pytest.fixture
def write_spec(monkeypatch, tmp_path):
    """A function that writes SPEC with a scheme, and gives its path."""
    monkeypatch.chdir(tmp_path)

    def write(scheme):
        path = tmp_path / "spec.ode"
        path.write_text(SPEC.format(scheme=scheme))
        return path

    return write


@pytest.mark.parametrize("ema", [0, 0.9])
def test_a_ramp_moves_with_the_steps_and_a_resumed_run_goes_on_with_it(
    write_spec, monkeypatch, ema
):
    path = write_spec("momentum(γ = ramp(0, 0.9, epochs = 2))")
    progress = []  # of the ramp, in thousandths
    original = Task.training_step

    def training_step(task, batch, index):
        (flow,) = flows(task.network).values()
        progress.append(flow.gamma.thousandths)
        return original(task, batch, index)

    monkeypatch.setattr(Task, "training_step", training_step)
    train(path, "uninterrupted", ema=ema)
    ramp_steps = 2 * EPOCH_STEPS
    assert progress == [1000 * min(n, ramp_steps) // ramp_steps for n in range(3 * EPOCH_STEPS)]
    with monkeypatch.context() as patch:
        stop_at_step(patch, 3)
        with pytest.raises(Stopped):
            train(path, "run", ema=ema)
    run.resume("run", console=Console(quiet=True))
    assert_same_run("run", "uninterrupted")
    extra_state = weights("uninterrupted")["network.1.gamma._extra_state"]
    assert int(extra_state) == 1000  # progress in thousandths


def test_a_ramp_past_the_end_of_training_is_refused(write_spec):
    path = write_spec("momentum(γ = ramp(0, 0.9, steps = 10))")
    with pytest.raises(TrainingError, match="ramp of γ takes 10 steps, and training has 3 epochs"):
        train(path)


def test_learned_constants_are_trained_and_do_not_decay(write_spec):
    path = write_spec("momentum(γ = learned(0.9))")
    train(path, "run", epochs=1)
    assert weights("run")["network.1.gamma.raw"].std() > 0
    program = odenet.load(path)
    task = Task(program.network(), program.recipe, LabelInfo(10))
    decaying, others = decay_groups(task.network, program.recipe.optimizer)
    raw = task.network[1].gamma.raw
    assert any(p is raw for p in others["params"])
    assert not any(p is raw for p in decaying["params"])


def test_the_optimizer_state_of_learned_constants_is_refined_with_their_flow(write_spec):
    text = "midpoint2(a = learned(0.9), h = 0.1)\nscheme midpoint2(a = 1) {\n" \
        "for Y' = F(Y)\nstart Y[-1] = Y[0]\n" \
        "Y[n+1] = a Y[n-1] + (1 - a) Y[n] + (1 + a) h F(Y[n])\n}"  # fmt: skip
    program = odenet.load(write_spec(text))
    task = Task(program.network(), program.recipe, LabelInfo(10))
    optimizer = build_optimizer(task.network, OPTIMIZERS.default("adam"))
    task(torch.randn(4, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    before = optimizer.state[task.network[1].a.raw]["exp_avg"]
    refine_optimizer(optimizer, task, refine_network(task))
    after = optimizer.state[task.network[1].a.raw]["exp_avg"]
    assert before.abs().min() > 0
    assert torch.equal(after, before.repeat_interleave(2))


def test_a_learned_constant_that_reaches_its_bound_is_reported_once(write_spec):
    network = odenet.load(write_spec("momentum(γ = learned(0.9))")).network()
    constant = network[1].gamma
    assert isinstance(constant, LearnedConstant)
    console = Console(record=True, width=500)
    callback, trainer = SchemeConstants(console), type("Trainer", (), {"current_epoch": 4})()
    task = Task(network, stub_program.load(write_spec("euler(h = 1)")).recipe, LabelInfo(10))
    callback.on_train_epoch_end(trainer, task)
    assert not console.export_text()
    with torch.no_grad():
        constant.raw[1] = -100  # then γ of step 1 is 0 but for rounding
    callback.on_train_epoch_end(trainer, task)
    callback.on_train_epoch_end(trainer, task)
    output = console.export_text()
    assert output.count("in epoch 5 training has pushed γ of step 1 to its border 0") == 1


def test_random_constants_are_loaded_from_the_weights_whatever_the_seed(write_spec):
    path = write_spec("momentum(γ = uniform(0.5, 1.5, seed = 1))")
    train(path, "run", epochs=1)
    constants = weights("run")["network.1.gamma._extra_state"]
    assert constants.dtype == torch.float64 and Path("run").is_dir()
    network = odenet.load(path, set={"γ": "uniform(0.5, 1.5, seed = 2)"}).network()
    state = {k.removeprefix("network."): v for k, v in weights("run").items() if "network." in k}
    network.load_state_dict(state)
    assert network[1].gamma.numbers == tuple(constants.tolist())
