"""The stability limits and round-trip errors stated of a discretisation, against steps in float32."""

import re
from pathlib import Path

import pytest
import torch

import odenet
from odenet.analyse.scheme_on_dynamics import flow_depth
from odenet.emit.numerics import numerics

SPECS = Path(__file__).parents[2] / "specs"


def numerics_lines(spec, **settings):
    """The lines that are stated of the discretisation of a spec with these settings."""
    program = odenet.load(SPECS / f"{spec}.ode", set=settings)
    return numerics(program.model, program.derivation)


def test_the_limits_of_the_axes_are_those_of_the_scheme():
    assert numerics_lines("hamiltonian")[0] == (
        "stable for hω < 2 on the imaginary axis of y' = ω z, z' = -ω y"
    )
    assert numerics_lines("dissipative")[0] == (
        "stable for hω ≤ 1 on the imaginary axis of y' = λ y - γ y"
    )
    assert numerics_lines("resnet") == [
        "unstable for every h on the imaginary axis of y' = λ y",
        "stable for hμ ≤ 2 on the negative real axis of y' = λ y",
    ]


def test_nothing_is_stated_of_steps_that_a_solver_chooses():
    assert numerics_lines("neural_ode") == []


def test_the_steps_are_those_of_the_longest_flow():
    program = odenet.load(SPECS / "hamiltonian.ode", set={"n": 18})
    assert flow_depth(program.model) == 18
    _, round_trip, *_ = numerics_lines("hamiltonian", n=18)
    assert round_trip.startswith("18 steps are undone to an estimated ")


@pytest.mark.parametrize("spec", ["hamiltonian", "momentum", "leapfrog"])
def test_a_round_trip_in_float32_is_as_exact_as_stated(spec):
    program = odenet.load(SPECS / f"{spec}.ode")
    stated = re.search(
        r"(\d+) steps .* estimated (\S+) in float32", "\n".join(numerics_lines(spec))
    )
    steps, bound = int(stated[1]), float(stated[2])
    torch.manual_seed(0)
    flow = program.flow(channels=8, steps=steps).eval()
    u = torch.randn(4, 8, 6, 6)
    with torch.no_grad():
        start = flow.initial(u)
        end = flow.evolve(start)
        restored = flow.inverse(end)
    scale = max(state.abs().max() for state in [*start, *end])
    error = max((a - b).abs().max() for a, b in zip(start, restored, strict=True))
    assert 0 < error / scale < bound


def test_the_bits_that_exact_arithmetic_keeps_are_stated():
    text = (
        (SPECS / "momentum.ode").read_text().replace("momentum(γ = 0.9)", "momentum(γ = 0.5) exact")
    )
    program = odenet.loads(text)
    assert numerics(program.model, program.derivation)[-1] == (
        "every step is undone bit for bit, in fixed point, with 1 bit per value and step kept: "
        "5 after 5 steps"
    )


def test_a_slope_below_minus_one_counts_in_the_bound_of_the_spectrum():
    text = "state Y\nparam K : dense\nY' = leaky_relu(-2)(K Y)\ndiscretise euler(h = 0.1)\n"
    flow = odenet.loads(text).flow(channels=3, steps=1, space=0).double()
    flow.load_state_dict({"K": -torch.eye(3, dtype=torch.float64)[None]})
    y = torch.ones(1, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda y: flow.field((y,))[0], y)[0, :, 0]
    largest = torch.linalg.eigvals(jacobian).abs().max()
    assert largest == 2
    assert flow.frequency_bound() >= largest * (1 - 1e-6)
