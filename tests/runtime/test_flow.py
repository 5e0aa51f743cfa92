"""What a flow offers besides training: trajectories, inverses, refinement, copies and export."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from odenet.testing import assert_invertible
from tests.runtime.handwritten import (
    FLOWS,
    HamiltonianFlow,
    LeapfrogFlow,
    MidpointFlow,
    MomentumFlow,
    SharedMomentumFlow,
    build,
)


@pytest.mark.parametrize("name", FLOWS)
def test_a_trajectory_holds_every_state_and_ends_in_the_output(name):
    flow, u = build(name, steps=5)
    flow.eval()
    states = flow.trajectory(u)
    assert len(states) == 6
    with torch.no_grad():
        assert torch.equal(flow.readout(states[-1]), flow(u))
        assert type(flow.inverse(states[-1])) is type(states[0])
    torch.testing.assert_close(flow.readout(states[-1]), flow(u), rtol=1e-12, atol=1e-12)


def test_an_output_that_holds_the_whole_state_is_inverted_to_the_input():
    flow, u = build("hamiltonian", steps=20)
    torch.testing.assert_close(flow.inverse(flow(u)), u, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["midpoint", "momentum", "exogenous input"])
def test_the_inverse_of_an_output_that_holds_only_part_of_the_state_is_refused(name):
    flow, u = build(name)
    with pytest.raises(ValueError, match=r"does not hold its whole last state \(.*give the state"):
        flow.inverse(flow(u))


@pytest.mark.parametrize("shape", [(2, 3, 5, 5), (2, 4, 5), (2, 4)])
def test_the_error_for_an_input_of_a_wrong_shape_shows_both_shapes(shape):
    flow = HamiltonianFlow(4, 2)
    with pytest.raises(ValueError, match=r"takes \(batch, 4, size, size\), but got \(2, "):
        flow(torch.zeros(shape))


def test_a_flow_that_cannot_be_built_says_why():
    with pytest.raises(ValueError, match="HamiltonianFlow splits its channels into 2 equal parts"):
        HamiltonianFlow(5, 2)
    with pytest.raises(ValueError, match="at least 1 channel, 1 step and 0 to 3 spatial axes"):
        HamiltonianFlow(4, 0)


@pytest.mark.parametrize("flow_class", [HamiltonianFlow, MidpointFlow])
def test_refinement_repeats_the_weights_in_time_at_half_the_step_size(flow_class):
    coarse = flow_class(4, 3)
    fine = coarse.refine()
    assert (fine.steps, fine.h) == (6, coarse.h / 2)
    for name in coarse.operators:
        stack, refined_stack = getattr(coarse, name), getattr(fine, name)
        assert isinstance(refined_stack, nn.Parameter)
        assert torch.equal(refined_stack[0::2], stack) and torch.equal(refined_stack[1::2], stack)
        assert refined_stack.data_ptr() != stack.data_ptr()
    assert coarse.steps == 3
    fine(torch.randn(2, 4, 5, 5)).sum().backward()
    assert coarse.K1.grad is None if hasattr(coarse, "K1") else coarse.K.grad is None


def test_refinement_keeps_shared_weights_and_modules_shared():
    class WithStepSize(SharedMomentumFlow):
        h = 0.1  # which refinement halves

    fine = WithStepSize(3, 1).refine()
    assert len(fine.f) == 1 and fine.steps == 2
    flow = LeapfrogFlow(3, 1).refine()
    assert flow.K.shape[0] == 1


def test_refinement_gives_each_new_step_a_module_of_its_own():
    flow = MomentumFlow(3, 2)
    flow.h = 1.0  # which refinement halves; momentum has no step size
    fine = flow.refine()
    assert len(fine.f) == 4
    assert fine.f[0][0].weight is not fine.f[1][0].weight
    assert torch.equal(fine.f[2][0].weight, flow.f[1][0].weight)


def test_refinement_solves_the_same_equation_more_finely():
    flow, u = build("hamiltonian", steps=4, h=0.05)
    outputs = [flow(u)]
    for _ in range(3):
        flow = flow.refine()
        outputs.append(flow(u))
    errors = [(out - outputs[-1]).norm() for out in outputs[:-1]]
    assert errors[0] > 1.8 * errors[1] > 3 * errors[2]  # order 1: half the error at each level


def test_a_scheme_without_a_step_size_cannot_be_refined():
    with pytest.raises(ValueError, match="MomentumFlow has no step size h to halve"):
        MomentumFlow(3, 2).refine()


def test_smoothness_is_the_squared_difference_quotient_summed_over_time():
    flow = HamiltonianFlow(4, 5, h=0.2).double()
    expected = sum(
        0.2 * ((K[j + 1] - K[j]) / 0.2).square().sum() for K in (flow.K1, flow.K2) for j in range(4)
    )
    torch.testing.assert_close(flow.smoothness(), expected)
    flow.smoothness().backward()
    assert flow.K1.grad.abs().sum() > 0 and flow.b1.grad is None
    assert MomentumFlow(3, 2).smoothness() == 0
    assert LeapfrogFlow(3, 4).smoothness() == 0


def test_the_weights_of_all_steps_are_a_few_stacked_tensors():
    assert len(list(HamiltonianFlow(4, 100).parameters())) == 4  # K1, b1, K2 and b2


def test_a_flow_can_be_copied_saved_and_loaded(tmp_path):
    flow, u = build("batch norms inside")
    flow(u).sum().backward()
    copied = copy.deepcopy(flow)
    torch.save(flow.state_dict(), tmp_path / "flow.pt")
    loaded, _ = build("batch norms inside")
    nn.init.zeros_(loaded.K1)
    loaded.load_state_dict(torch.load(tmp_path / "flow.pt"))
    flow.eval(), copied.eval(), loaded.eval()
    assert torch.equal(flow(u), copied(u)) and torch.equal(flow(u), loaded(u))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own
@pytest.mark.parametrize("flow_class", [HamiltonianFlow, MidpointFlow, MomentumFlow])
def test_evaluation_can_be_exported(flow_class):
    flow, u = flow_class(4, 3).eval(), torch.randn(2, 4, 6, 6)
    exported = torch.export.export(flow, (u,))
    torch.testing.assert_close(exported.module()(u), flow(u))


def test_a_missing_energy_stability_limit_or_bound_is_reported():
    flow = MomentumFlow(3, 2)
    state = flow.initial(torch.randn(1, 3, 4, 4))
    with pytest.raises(NotImplementedError, match="no energy is certified for MomentumFlow"):
        flow.energy(state)
    with pytest.raises(ValueError, match="no stability limit of h ω was derived for MomentumFlow"):
        flow.stability()
    with pytest.raises(NotImplementedError, match="no bound of the spectrum"):
        flow.frequency_bound()


@pytest.mark.parametrize("space", [0, 1, 2, 3])
def test_flows_run_in_any_number_of_dimensions(space):
    flow = HamiltonianFlow(4, 5, space=space) if space else None
    if flow is None:
        flow, u = build("exogenous input")
    else:
        u = torch.randn(2, 4, *(5,) * space, dtype=torch.float64)
    assert_invertible(flow.double(), u)
