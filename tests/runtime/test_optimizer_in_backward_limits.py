"""An optimizer within the backward pass: clipping, micro-batches, saved states and refusals.

The reference is the same optimizer stepping after each backward pass.
"""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from odenet import OptimizerInBackward
from tests.runtime.optimizer_in_backward_networks import (
    ADAMW,
    SPECS,
    batches,
    build_network,
    have_equal_states,
    train_with_steps,
)


@pytest.mark.parametrize("name", ["verlet", "momentum", "shared"])
def test_exact_clipping_agrees_with_clip_grad_norm_up_to_rounding(name):
    network = build_network(SPECS[name])
    twin, inputs = copy.deepcopy(network), batches((2, 4, 6, 6))
    train_with_steps(network, torch.optim.SGD(network.parameters(), 0.1, 0.9), inputs, clip=1e-3)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1, 0.9)
    in_backward = OptimizerInBackward(twin, optimizer, clip=1e-3)
    for x in inputs:
        in_backward.backward(twin(x).square().mean())
    assert in_backward.norm > 2e-3  # so that clipping to 1e-3 changes the gradients
    for expected, actual in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(expected, actual, rtol=1e-9, atol=1e-14)


def test_clipping_by_the_last_norm_takes_the_norm_of_the_pass_before():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    clip, (x, other_batch) = 0.1, batches((5, 4), 2)
    optimizer = torch.optim.SGD(layers.parameters(), lr=0.0)  # the first pass moves no weight
    in_backward = OptimizerInBackward(layers, optimizer, clip, clip_by="last")
    gradients = {}
    for p in layers.parameters():  # these hooks run before the one that moves p and drops p.grad
        p.register_hook(lambda g, p=p: gradients.update({id(p): g.clone()}))
    layers(x).square().sum().backward()
    last_norm = in_backward.norm
    total_norm = torch.cat([g.flatten() for g in gradients.values()]).norm()
    torch.testing.assert_close(last_norm, total_norm)
    before = [p.detach().clone() for p in layers.parameters()]
    optimizer.param_groups[0]["lr"] = 1.0
    layers(1e-3 * other_batch).square().sum().backward()  # its own norm is smaller than the last
    for p, start in zip(layers.parameters(), before, strict=True):
        torch.testing.assert_close(
            start - p.detach(), gradients[id(p)] * (clip / (last_norm + 1e-6))
        )


def test_the_first_step_clipped_by_the_last_norm_moves_no_weight_by_more_than_the_limit():
    """The first pass has no last norm: it clips by the norm of its own gradients so far."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    before = [p.detach().clone() for p in layers.parameters()]
    optimizer = torch.optim.SGD(layers.parameters(), lr=1.0)
    OptimizerInBackward(layers, optimizer, clip=0.1, clip_by="last")
    (1e6 * layers(batches((5, 4), 1)[0]).sum()).backward()
    for old, new in zip(before, layers.parameters(), strict=True):
        assert (old - new).norm() <= 0.1


def test_a_pass_with_a_norm_that_is_not_finite_does_not_affect_the_next():
    weight = nn.Parameter(torch.ones(2))
    module = nn.ParameterList([weight])
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    in_backward = OptimizerInBackward(module, optimizer, clip=1.0, clip_by="last")
    for non_finite in (float("nan"), float("inf")):
        (weight.sum() * non_finite).backward()
        weight.data.fill_(1.0)
        (weight * torch.tensor([3.0, 4.0])).sum().backward()
        # The last norm is no limit, so that this gradient is clipped by its own norm, from 5 to 1.
        assert in_backward.norm == 5.0
        torch.testing.assert_close(weight.data, torch.tensor([1 - 3 / 5, 1 - 4 / 5]))


def test_a_negative_or_undefined_limit_of_the_norm_is_refused():
    linear = nn.Linear(2, 2)
    for clip in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="largest norm"):
            OptimizerInBackward(linear, ADAMW(linear.parameters()), clip=clip)


def test_an_optimizer_of_another_network_is_refused():
    linear, other = nn.Linear(2, 2), nn.Linear(2, 2)
    with pytest.raises(ValueError, match="no parameter of the network"):
        OptimizerInBackward(linear, ADAMW(other.parameters()))


def test_gradients_of_micro_batches_accumulate_until_the_last():
    network = build_network(SPECS["verlet"])
    twin, inputs = copy.deepcopy(network), batches((2, 4, 6, 6), 4)
    optimizer = ADAMW(network.parameters())
    in_backward = OptimizerInBackward(twin, ADAMW(twin.parameters()))
    for first, second in (inputs[:2], inputs[2:]):
        for x in (first, second):
            network(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        with in_backward.accumulating():
            twin(first).square().mean().backward()
        twin(second).square().mean().backward()
    assert have_equal_states(network, twin)


def test_groups_schedules_and_saved_states_are_those_of_the_optimizer():
    def build_optimizer(network):
        kernels = [p for p in network.parameters() if p.ndim > 2]
        others = [p for p in network.parameters() if p.ndim <= 2]
        groups = [
            {"params": kernels, "weight_decay": 0.1},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, 1e-2)
        return optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    network = build_network(SPECS["knots"])
    twin = copy.deepcopy(network)
    optimizer, schedule = build_optimizer(network)
    twin_optimizer, twin_schedule = build_optimizer(twin)
    OptimizerInBackward(twin, twin_optimizer)
    for x in batches((2, 4, 6, 6)):
        train_with_steps(network, optimizer, [x])
        schedule.step()
        twin(x).square().mean().backward()
        twin_optimizer.step()  # as training loops call it; here it has nothing left to do
        twin_schedule.step()
    assert have_equal_states(network, twin)
    twin_state, expected_state = twin_optimizer.state_dict(), optimizer.state_dict()
    assert twin_state["param_groups"] == expected_state["param_groups"]
    for index, entry in expected_state["state"].items():
        assert all(torch.equal(value, twin_state["state"][index][k]) for k, value in entry.items())

    resumed = copy.deepcopy(network)  # loads a state that the ordinary loop saved
    resumed_optimizer, _ = build_optimizer(resumed)
    OptimizerInBackward(resumed, resumed_optimizer)
    resumed_optimizer.load_state_dict(copy.deepcopy(expected_state))
    taken_over = copy.deepcopy(network)  # is given an optimizer that already has a state
    running_optimizer, _ = build_optimizer(taken_over)
    running_optimizer.load_state_dict(copy.deepcopy(expected_state))
    OptimizerInBackward(taken_over, running_optimizer)
    (x,) = batches((2, 4, 6, 6), 1)
    train_with_steps(network, optimizer, [x])
    for continued in (resumed, taken_over):
        continued(x).square().mean().backward()
        assert have_equal_states(network, continued)


def test_autograd_grad_gives_gradients_and_moves_no_weight():
    network = build_network(SPECS["verlet"])
    twin = copy.deepcopy(network)
    OptimizerInBackward(twin, ADAMW(twin.parameters()))
    x = batches((2, 4, 6, 6), 1)[0].requires_grad_()
    gradients = [torch.autograd.grad(n(x).sum(), (x, n[0].weight)) for n in (network, twin)]
    assert all(map(torch.equal, *gradients))
    assert have_equal_states(network, twin)


# Refusals


def test_a_second_backward_through_weights_that_moved_is_refused():
    network = build_network(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    loss = network[1](torch.randn(2, 4, 6, 6).double()).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_penalty_on_the_weights_of_all_steps_at_once_is_refused():
    network = build_network(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    with pytest.raises(RuntimeError, match=r"1\.K1 is read outside of the steps"):
        network[1].K1.square().sum().backward()


def test_the_penalty_on_differences_of_steps_is_not_refused():
    network, inputs = build_network(SPECS["knots"]), batches((2, 4, 6, 6))
    twin, optimizer = copy.deepcopy(network), ADAMW(network.parameters())
    OptimizerInBackward(twin, ADAMW(twin.parameters()))
    for x in inputs:
        (network(x).square().mean() + network[1].smoothness()).backward()
        optimizer.step()
        optimizer.zero_grad()
        (twin(x).square().mean() + twin[1].smoothness()).backward()
    assert have_equal_states(network, twin)


class CountingSGD(torch.optim.SGD):
    """Counts its steps once for a whole group of parameters."""

    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] = group.get("k", 0) + 1
        return super().step(closure)


def test_optimizers_that_need_all_gradients_at_once_are_refused():
    linear = nn.Linear(3, 3)
    with pytest.raises(TypeError, match="LBFGS evaluates the loss within its step"):
        OptimizerInBackward(linear, torch.optim.LBFGS(linear.parameters()))
    OptimizerInBackward(linear, CountingSGD(linear.parameters(), 0.1))
    with pytest.raises(RuntimeError, match="CountingSGD keeps `k` for a whole group"):
        linear(torch.ones(1, 3)).sum().backward()


def test_exact_clipping_needs_its_own_backward_method():
    linear = nn.Linear(3, 3)
    in_backward = OptimizerInBackward(linear, ADAMW(linear.parameters()), clip=1.0)
    with pytest.raises(RuntimeError, match="exact clipping takes two backward passes"):
        linear(torch.ones(1, 3)).sum().backward()
    with pytest.raises(ValueError, match="cannot be clipped exactly"), in_backward.accumulating():
        pass
    with pytest.raises(ValueError, match='"exact" or "last"'):
        OptimizerInBackward(linear, ADAMW(linear.parameters()), 1.0, "always")


def test_a_reentrant_checkpoint_is_refused():
    linear = nn.Linear(3, 3)
    OptimizerInBackward(linear, ADAMW(linear.parameters()))
    x = torch.ones(1, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="say use_reentrant=False"):
        checkpoint(linear, x, use_reentrant=True).sum().backward()
    checkpoint(linear, x, use_reentrant=False).sum().backward()


def test_a_network_whose_dtype_is_changed_afterwards_is_refused():
    network = build_network(SPECS["verlet"], torch.float32)
    OptimizerInBackward(network, ADAMW(network.parameters()))
    network.double()
    with pytest.raises(RuntimeError, match="was moved or converted after"):
        network(torch.randn(2, 4, 6, 6).double())


def test_a_hook_on_the_gradient_of_a_stack_is_refused():
    network = build_network(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    network[1].K1.register_hook(lambda gradient: gradient)
    with pytest.raises(RuntimeError, match="put it on the slices"):
        network(torch.randn(2, 4, 6, 6).double())


def test_a_deep_copy_has_no_optimizer_in_its_backward_pass():
    network = build_network(SPECS["verlet"])
    OptimizerInBackward(network, ADAMW(network.parameters()))
    twin = copy.deepcopy(network)
    twin(torch.randn(2, 4, 6, 6).double()).sum().backward()
    assert twin[1].K1.grad is not None
