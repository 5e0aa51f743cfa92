"""Schemes whose constants (h, γ, …) vary from step to step: order, stability, round trip, claims."""

import math

import numpy as np
import pytest

import odenet
from odenet.analyse.scheme_on_dynamics import (
    estimate_round_trip,
    flow_depth,
    scheme_stability,
)
from odenet.analyse.step_constants import MAX_STEPS, distinct_steps, invertible_range, sample_steps
from odenet.diagnostics import SpecError
from odenet.emit.numerics import numerics

# The scheme `own` has an inverse unless a b = 1 or a h = 2.
SPEC = """
state  Y
param  K : conv(3)
Y' = tanh((K - K^T) Y)
discretise {scheme}
net = input(1, 8, 8) -> conv(3, 4) -> {flows} -> mean -> dense(10)
{more}
scheme own(a = 1, b = 1) {{
    for Y' = F(Y)
    aux Z
    start Z[0] = 0
    let d = 1 - a b
    Z[n+1] = d Z[n] + h F(Y[n])
    Y[n+1] = (2 - a h) Y[n] + (3 - a) Z[n+1]
}}
scheme theta(a = 1) {{
    for Y' = F(Y)
    k      = F(Y[n])
    Y[n+1] = Y[n] + h (1 - a) k + h a F(Y[n] + h k)
}}
"""


def compile_spec(scheme, flows="flow(3)", more=""):
    return odenet.loads(SPEC.format(scheme=scheme, flows=flows, more=more))


@pytest.mark.parametrize(
    "scheme, order",
    [
        ("heun(h = geometric(0.5, ratio = 0.9))", 2),
        ("rk4(h = [0.1, 0.2, 0.3])", 4),
        ("theta(a = [0.5, 0.5, 0.5], h = 0.1)", 1),  # 2 for a = 1/2, but 1 for all other values
        ("theta(a = learned(0.5), h = 0.1)", 1),
        ("midpoint(h = [0.1, 0.2, 0.3])", None),
        ("reversible_heun(h = geometric(0.1, ratio = 2))", None),
        ("coupled_heun(λ = uniform(0.8, 0.9), h = 0.1)", None),
    ],
)
def test_an_order_is_derived_where_steps_read_only_the_last_state(scheme, order):
    derivation = compile_spec(scheme).derivation
    assert derivation.order == order
    assert derivation.order_at({}).value == order
    if order is None:
        assert "from step to step, and steps read more than Y[n]" in derivation.accuracy.reason


def errors_on_uneven_grids(integrate):
    """Errors at t = 1 on Y' = i Y with steps h, 3h, h, 3h, …, on a coarse and on a fine grid."""
    grids = [np.where(np.arange(count) % 2, 1.5, 0.5) / count for count in (200, 400)]
    return [abs(integrate(steps) - np.exp(1j)) for steps in grids]


def test_uneven_grids_keep_the_order_of_heun_and_not_that_of_midpoint():
    def heun(steps):
        y = 1 + 0j
        for h in steps:
            y = y * (1 + 1j * h - h * h / 2)
        return y

    def midpoint(steps):
        previous, y = np.exp(-1j * steps[1]), 1 + 0j
        for h in steps:
            previous, y = y, previous + 2 * h * 1j * y
        return y

    coarse, fine = errors_on_uneven_grids(heun)
    assert math.log2(coarse / fine) == pytest.approx(2, abs=0.1)
    # steps of midpoint converge to the solution of another equation
    assert min(errors_on_uneven_grids(midpoint)) > 0.4


def test_the_claim_of_an_order_is_open_where_none_is_derived():
    (claim,) = compile_spec("midpoint(h = [0.1, 0.2, 0.3])", more="require order(2)").claims
    assert claim.holds is None
    assert "h differs from step to step" in claim.reason


def test_the_stability_limit_is_the_smallest_of_all_steps():
    def stability(scheme):
        program = compile_spec(scheme)
        return scheme_stability(program.model, program.derivation)

    single = [stability(f"coupled_heun(λ = {a}, h = 0.1)") for a in (0.9, 0.6, 0.8)]
    varying = stability("coupled_heun(λ = [0.9, 0.6, 0.8], h = 0.1)")
    for axis in ("imaginary", "real"):
        limits = [getattr(one, f"{axis}_axis").limit for one in single]
        assert getattr(varying, f"{axis}_axis").limit == min(limits) < max(limits)
    z = np.array([-0.1, 0.3j, 0.5j, -0.5])
    inside = [one.region(z) for one in single]
    assert (varying.region(z) == np.logical_and.reduce(inside)).all()
    program = compile_spec("coupled_heun(λ = [0.9, 0.6, 0.8], h = 0.1)")
    assert f"stability_limit = {varying.imaginary_axis.limit}" in program.source()
    assert any("products of stable steps" in line for line in _numerics_lines(program))


def _numerics_lines(program):
    return numerics(program.model, program.derivation)


def test_of_many_different_steps_some_are_examined_and_the_text_says_how_many():
    program = compile_spec("momentum(γ = uniform(0.5, 0.9, seed = 2))", "flow(60)")
    sampled, distinct = sample_steps(program.model), distinct_steps(program.model)
    assert len(sampled) <= MAX_STEPS < len(distinct)
    values = [step.values["gamma"] for step in distinct]
    assert {min(values), max(values)} <= {step.values["gamma"] for step in sampled}
    kinds = f"{len(sampled)} of {len(distinct)} kinds"
    assert any(kinds in line for line in _numerics_lines(program))


def test_the_round_trip_error_is_that_of_the_constants_of_each_step():
    def estimate(scheme):
        program = compile_spec(scheme, "flow(8)")
        depth = flow_depth(program.model)
        return estimate_round_trip(program.model, program.derivation, depth).error.estimate

    uniform = estimate("momentum(γ = 0.5)")
    listed = estimate("momentum(γ = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])")
    assert listed == pytest.approx(uniform)
    varying = estimate("momentum(γ = [0.9, 0.5, 0.9, 0.5, 0.9, 0.5, 0.9, 0.5])")
    assert estimate("momentum(γ = 0.9)") < varying < uniform


@pytest.mark.parametrize(
    "scheme, low, high",
    [
        # `momentum` has no inverse for γ = 0, `own` none for a = 1/b and a = 2/h
        ("momentum(γ = learned(0.9))", 0, math.inf),
        ("momentum(γ = learned(-0.9))", -math.inf, 0),
        ("own(a = learned(0.6), b = 2, h = 0.1)", 0.5, 20),
        ("own(a = learned(0.1), b = [2, -4, 5], h = 0.1)", -0.25, 0.2),
        ("own(a = learned(7), b = 2, h = [0.1, 0.2, 0.05])", 0.5, 10),
        ("euler(h = learned(0.2))", 0, math.inf),
    ],
)
def test_a_learned_constant_stays_between_the_values_without_an_inverse(scheme, low, high):
    program = compile_spec(scheme)
    varying = program.model.discretisation.varying
    name = "a" if scheme.startswith("own") else next(iter(varying))
    assert invertible_range(program.model, program.derivation, name) == pytest.approx((low, high))


def test_a_learned_constant_cannot_begin_where_there_is_no_inverse():
    with pytest.raises(SpecError, match=r"a = 0.5: the inverse needs .* ≠ 0"):
        compile_spec("own(a = learned(0.5), b = 2, h = 0.1)")


def test_a_ramp_that_starts_without_an_inverse_is_not_called_reversible():
    more = "require reversible\ntrain { epochs = 20 }"
    for start, holds in (("0", False), ("0.1", True)):
        (claim,) = compile_spec(f"momentum(γ = ramp({start}, 0.9, epochs = 10))", more=more).claims
        assert claim.holds is holds
        assert holds or "at the start of the ramp it needs γ ≠ 0" in claim.reason


def test_lost_bits_and_volume_are_those_of_all_steps():
    more = "require exact\nrequire volume_preserving"
    exact, volume = compile_spec("momentum(γ = [1, 0.5, 0.25]) exact", more=more).claims
    assert exact.holds and "1 bit per value and step" in exact.reason
    assert volume.holds is False and "0.25" in volume.reason


def test_a_setting_may_change_the_kind_of_a_constant():
    def constants(scheme, **settings):
        text = SPEC.format(scheme=scheme, flows="flow(3)", more="")
        return dict(odenet.loads(text, set=settings).model.discretisation.displayed_constants)

    assert constants("momentum(γ = 0.9)", γ="learned(0.8)") == {"gamma": "learned(0.8)"}
    assert constants("momentum(γ = [1, 2, 3])", γ=0.5) == {"gamma": "0.5"}
    assert constants("momentum", γ=[1, 2, 3]) == {"gamma": "[1, 2, 3]"}
    assert constants("midpoint(h = 1)", h="geometric(0.5, 0.9)") == {"h": "geometric(0.5, 0.9)"}
    # h follows from the final time T
    assert constants("midpoint(h = [1, 2, 3])", T=1) == {"T": "1"}
