"""Optimizers and schedules of learning rates, against those of torch."""

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LambdaLR

from odenet.model.tables.recipe import OPTIMIZERS, SCHEDULES, Recipe
from odenet.runtime import norm_layers
from odenet.training.errors import TrainingError
from odenet.training.learning.optim import (
    build_optimizer,
    cycle_ends,
    decay_groups,
    rate_factor,
    with_whole_epochs,
)

from . import stub_program

EPOCH_STEPS = 7


def scheduled_rates(recipe, epochs):
    """The learning rates of a recipe's schedule, step by step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], recipe.optimizer["lr"])
    schedule = LambdaLR(optimizer, rate_factor(recipe, EPOCH_STEPS))
    return record_rates(optimizer, schedule, epochs * EPOCH_STEPS)


def record_rates(optimizer, schedule, steps):
    """The learning rate of each step of an optimizer under a schedule."""
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def sgd_recipe(schedule, epochs=12, levels=()):
    """A recipe of SGD with the learning rate 0.1 and a schedule."""
    sgd = OPTIMIZERS.default("sgd", lr=0.1)
    return Recipe(epochs=epochs, levels=levels, optimizer=sgd, schedule=schedule)


def torch_rates(scheduler_class, epochs=12, lr=0.1, **options):
    """The learning rates of a scheduler of torch, step by step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr)
    return record_rates(optimizer, scheduler_class(optimizer, **options), epochs * EPOCH_STEPS)


def test_the_schedule_of_steps_agrees_with_torch():
    ours = scheduled_rates(sgd_recipe(SCHEDULES.default("steps", at=(4, 9), factor=0.1)), 12)
    theirs = torch_rates(
        lr_scheduler.MultiStepLR, milestones=[4 * EPOCH_STEPS, 9 * EPOCH_STEPS], gamma=0.1
    )
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_the_cosine_schedule_agrees_with_torch():
    ours = scheduled_rates(sgd_recipe(SCHEDULES.default("cosine", to=1e-3)), 12)
    theirs = torch_rates(lr_scheduler.CosineAnnealingLR, T_max=12 * EPOCH_STEPS, eta_min=1e-3)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_a_constant_rate_is_constant():
    assert set(scheduled_rates(sgd_recipe(SCHEDULES.default("constant")), 12)) == {0.1}


def test_the_rate_rises_linearly_during_the_warm_up():
    rates = scheduled_rates(sgd_recipe(SCHEDULES.default("constant", warmup=2.0)), 4)
    warmup_steps = 2 * EPOCH_STEPS
    assert rates[:warmup_steps] == pytest.approx(
        [0.1 * (step + 1) / (warmup_steps + 1) for step in range(warmup_steps)]
    )
    assert rates[warmup_steps:] == [0.1] * (2 * EPOCH_STEPS)


def test_cosine_begins_after_its_warm_up():
    rates = scheduled_rates(sgd_recipe(SCHEDULES.default("cosine", warmup=3.0)), 12)
    theirs = torch_rates(lr_scheduler.CosineAnnealingLR, epochs=9, T_max=9 * EPOCH_STEPS)
    assert rates[3 * EPOCH_STEPS :] == pytest.approx(theirs, rel=1e-9)


def test_a_refinement_starts_the_schedule_anew():
    recipe = sgd_recipe(SCHEDULES.default("cosine", to=1e-3, warmup=1.0), levels=(4, 9))
    assert cycle_ends(recipe) == (4, 9, 12)
    rates = scheduled_rates(recipe, 12)
    second_cycle = torch_rates(
        lr_scheduler.CosineAnnealingLR, epochs=5, T_max=5 * EPOCH_STEPS, eta_min=1e-3
    )
    assert rates[4 * EPOCH_STEPS : 9 * EPOCH_STEPS] == pytest.approx(second_cycle, rel=1e-9)
    assert rates[9 * EPOCH_STEPS] == 0.1


def test_restarts_may_be_at_given_epochs_and_not_at_refinements():
    """As in Chang et al. 2018 (ICLR), where baselines restart in the epochs in which others are
    refined, and the networks of Fig. 10 are refined without restarting.
    """
    at_levels = sgd_recipe(SCHEDULES.default("cosine", to=0.001, restarts="levels"), levels=(4, 8))
    at_epochs = sgd_recipe(SCHEDULES.default("cosine", to=0.001, restarts=(4, 8)))
    assert scheduled_rates(at_epochs, 12) == scheduled_rates(at_levels, 12)
    without_restarts = sgd_recipe(SCHEDULES.default("cosine", to=0.001, restarts=()), levels=(4, 8))
    assert scheduled_rates(without_restarts, 12) == scheduled_rates(
        sgd_recipe(SCHEDULES.default("cosine", to=0.001)), 12
    )


def test_a_number_of_steps_is_rounded_up_to_whole_epochs():
    assert with_whole_epochs(Recipe(steps=80_000), 500).epochs == 160
    assert with_whole_epochs(Recipe(steps=20_000), 39).epochs == 513
    assert with_whole_epochs(Recipe(epochs=7), 39).epochs == 7
    with pytest.raises(TrainingError, match="20 steps are 2 epochs of this data"):
        with_whole_epochs(Recipe(steps=20, levels=(2,)), 10)


def test_refinements_after_the_last_epoch_start_no_cycle():
    assert cycle_ends(Recipe(epochs=5, levels=(3, 8))) == (3, 5)


@pytest.mark.parametrize(
    ("call", "optimizer_class"),
    [
        (OPTIMIZERS.default("sgd", nesterov="yes", decay=0.1), torch.optim.SGD),
        (OPTIMIZERS.default("adam"), torch.optim.Adam),
        (OPTIMIZERS.default("adamw"), torch.optim.AdamW),
    ],
)
def test_every_optimizer_is_torchs(call, optimizer_class):
    optimizer = build_optimizer(stub_program.Network(10), call)
    assert type(optimizer) is optimizer_class
    assert optimizer.param_groups[0]["weight_decay"] == call["decay"]
    assert optimizer.param_groups[0]["lr"] == call["lr"]


def parameter_names(network, group):
    names = {id(p): name for name, p in network.named_parameters()}
    return {names[id(p)] for p in group["params"]}


def test_biases_and_norms_do_not_decay():
    network = stub_program.Network(10)
    decaying, others = decay_groups(network, OPTIMIZERS.default("sgd", decay=0.1))
    assert parameter_names(network, decaying) == {
        "stem.weight", "head.weight", "flow1.K", "flow1.G", "flow1.f.0.1.weight",
        "flow1.f.1.1.weight",
    }  # fmt: skip
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert len(decaying["params"]) + len(others["params"]) == len(list(network.parameters()))


def test_a_norm_with_a_positive_gain_does_not_decay():
    network = norm_layers(1, "batch", 4, positive=True)
    decaying, _ = decay_groups(network, OPTIMIZERS.default("sgd", decay=0.1))
    assert decaying["params"] == []


def test_everything_decays_when_asked():
    network = stub_program.Network(10)
    _, others = decay_groups(network, OPTIMIZERS.default("sgd", decay=0.1, decay_on="all"))
    assert others["params"] == []
