"""Flows of shipped specs against the papers' systems in plain torch: outputs, gradients, inverses.

Those in plain torch are written out in tests/systems/handwritten.py.
"""

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import odenet
from tests.systems.handwritten import SYSTEMS

SPECS = Path(__file__).parents[2] / "specs"
STRATEGIES = {
    "channels": st.sampled_from([2, 4]),
    "steps": st.integers(1, 4),
    "size": st.tuples(st.integers(2, 5), st.integers(2, 5)),
    "h": st.sampled_from([0.05, 0.1, 0.5]),
    "seed": st.integers(0, 1000),
}


@cache
def load_spec(name):
    return odenet.load(SPECS / f"{name}.ode")


def random_flow(name, channels, steps, size, h, seed):
    """The flow of a spec with perturbed weights, and a random input."""
    torch.manual_seed(seed)
    has_step_size = load_spec(name).model.scheme.uses_step_size
    flow = load_spec(name).flow(channels, steps, **({"h": h} if has_step_size else {})).double()
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    u = torch.randn(3, channels, *size, dtype=torch.float64, requires_grad=True)
    return flow, u


def gradients(output, flow, u):
    inputs = [u, *flow.parameters()]
    return torch.autograd.grad(output.square().sum(), inputs, allow_unused=True)


@pytest.mark.parametrize("name", SYSTEMS)
@given(**STRATEGIES)
@settings(max_examples=8, deadline=None)
def test_outputs_and_gradients_are_those_of_the_equations(name, channels, steps, size, h, seed):
    flow, u = random_flow(name, channels, steps, size, h, seed)
    expected = SYSTEMS[name](flow, u, h, steps)
    output = flow(u)
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    pairs = zip(gradients(output, flow, u), gradients(expected, flow, u), strict=True)
    for actual, reference in pairs:
        torch.testing.assert_close(actual, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SYSTEMS)
@given(**STRATEGIES)
@settings(max_examples=8, deadline=None)
def test_reversible_steps_are_undone_and_others_are_refused(name, channels, steps, size, h, seed):
    flow, u = random_flow(name, channels, steps, size, h, seed)
    if not flow.reversible:
        with pytest.raises(NotImplementedError, match="cannot be reversed"):
            flow.retreat(flow.initial(u))
        return
    flow.eval()
    with torch.no_grad():
        states = [flow.initial(u)]
        for step in range(steps):
            states.append(flow.advance(states[-1], step))
        state = states[-1]
        for step in reversed(range(steps)):
            state = flow.retreat(state, step)
            for actual, earlier in zip(state, states[step], strict=True):
                torch.testing.assert_close(actual, earlier, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["hamiltonian", "leapfrog", "hamiltonian_one_layer"])
def test_a_generated_step_equals_the_handwritten_one_bit_for_bit(name):
    flow, u = random_flow(name, channels=4, steps=3, size=(5, 4), h=0.1, seed=7)
    flow = flow.float().eval()
    u = u.detach().float()
    with torch.no_grad():
        state = flow.initial(u)
        for step in range(3):
            state = flow.advance(state, step)
        assert torch.equal(flow.readout(state), SYSTEMS[name](flow, u, h=0.1, steps=3))
        # A whole flow computes with channels innermost, where convolutions round differently.
        u = u.to(memory_format=torch.channels_last)
        assert torch.equal(flow(u), SYSTEMS[name](flow, u, h=0.1, steps=3))
