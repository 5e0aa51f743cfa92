"""Schemes that integrate a linear decay -γ Y by themselves: systems that fit, and what is derived."""

import numpy as np
import pytest

import odenet
from odenet.analyse import fitting_schemes
from odenet.diagnostics import SpecError
from tests.derive.numeric import SCHEMES, step_matrix

FIRST_ORDER = "state Y\nparam K : dense\nlet γ = 0.3\nY' = tanh((K - K^T) Y) - γ Y\n"
SECOND_ORDER = "state Y\nparam K : dense\nlet γ = 0.3\nY'' = -K^T tanh(K Y) - γ Y'\n"
PAIR = "state Y, Z\nparam K : dense\nlet γ = 0.3\nY' = K^T tanh(K Z)\nZ' = -K^T tanh(K Y) - γ Z\n"
SYSTEMS = {"damped_midpoint": FIRST_ORDER, "damped_leapfrog": SECOND_ORDER, "damped_verlet": PAIR}
# largest h ω at which the scheme is stable on an oscillator of frequency ω without damping
FREQUENCY_LIMITS = {"damped_midpoint": 1.0, "damped_leapfrog": 2.0, "damped_verlet": 2.0}


def program(scheme, h=0.2, system=None):
    """A system, by default the one of SYSTEMS, compiled with a scheme given by its name."""
    return odenet.loads(f"{system or SYSTEMS[scheme]}discretise {scheme}(h = {h})\n")


@pytest.mark.parametrize("name", SYSTEMS)
def test_damped_schemes_are_symmetric_and_as_stable_as_without_damping(name):
    compiled = program(name)
    derivation = compiled.derivation
    assert derivation.reversible and derivation.symmetric and not derivation.violated_conditions({})
    assert derivation.order_at(compiled.model.discretisation.constants).value == 2
    assert compiled.model.discretisation.constants == {"gamma": pytest.approx(0.3)}
    values = {"gamma": 0.3, "h": 0.2}
    assert derivation.stability_at(values).imaginary_axis.limit >= FREQUENCY_LIMITS[name]
    assert derivation.bits_lost(values) > 0 and compiled.warnings == []


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("gamma", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("limit_ratio", [0.01, 0.5, 0.99, 1.1])
def test_a_damped_oscillator_is_stable_up_to_the_limit_of_the_undamped_one(
    name, gamma, limit_ratio
):
    scheme, h = SCHEMES[name], 0.25
    omega = limit_ratio * FREQUENCY_LIMITS[name] / h
    # the coefficients of linear right-hand sides: Y' = iω Y, Y'' = -ω² Y or Y' = ω Z, Z' = -ω Y
    rates = {"damped_midpoint": {"F": (1j * omega,)}, "damped_leapfrog": {"F": (-(omega**2),)}}
    pair = {"F": (omega,), "G": (-omega,)}
    step = step_matrix(scheme, rates.get(name, pair), h, gamma=gamma)
    spectral_radius = np.abs(np.linalg.eigvals(step)).max()
    if limit_ratio < 1:
        assert spectral_radius < 1
    else:
        assert spectral_radius > 1


@pytest.mark.parametrize("name", SYSTEMS)
def test_damped_schemes_are_offered_first_for_a_damped_system(name):
    fitting = fitting_schemes(program(name).model, program(name).certificate)
    first_lines = [scheme.line for scheme in fitting[:2]]  # damped_verlet fits Y'' as well
    assert fitting[0].reversible and f"discretise {name}(h = 0.1)" in first_lines
    assert odenet.loads(SYSTEMS[name] + first_lines[0]).warnings == []


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_without_a_decay_or_with_a_learned_one_are_refused(name):
    undamped = SYSTEMS[name].replace(" - γ Y'", "").replace(" - γ Y", "").replace(" - γ Z", "")
    with pytest.raises(SpecError, match="cannot be grouped so"):
        program(name, system=undamped.replace("let γ = 0.3\n", ""))
    learned_decay = SYSTEMS[name].replace("let γ = 0.3", "param γ : scalar")
    with pytest.raises(SpecError, match="needs it as a number"):
        program(name, system=learned_decay)


def test_states_that_are_one_unknown_of_a_scheme_have_the_same_decay():
    text = "state A, B\nparam K : dense\nA' = tanh(K B) - 0.1 A\nB' = -tanh(K^T A) - {} B\n"
    assert program("damped_midpoint", system=text.format("0.1"))
    with pytest.raises(SpecError, match="cannot be grouped so"):
        program("damped_midpoint", system=text.format("0.2"))


def test_the_decay_is_found_however_its_terms_are_written():
    for term in ("- 0.2 Y", "- Y/5", "- (1/10) Y - 0.1 Y", "+ (-0.2) Y"):
        text = f"state Y\nparam K : dense\nY' = tanh((K - K^T) Y) {term}\n"
        decay = program("damped_midpoint", system=text).model.discretisation.constants["gamma"]
        assert decay == pytest.approx(0.2)


def test_a_scheme_may_only_split_off_a_decay_of_the_unknown_itself():
    text = FIRST_ORDER + "discretise s(h = 0.1)\nscheme s {\nfor Y' = F(Y) - γ Y'\nY[n+1] = Y[n]\n}"
    with pytest.raises(SpecError, match="a decay is one of the equation's own unknown"):
        odenet.loads(text)


def test_a_number_of_the_file_and_a_constant_of_the_scheme_may_have_one_name():
    text = (
        "state x\nlet γ = 0.3\nparam K : dense\nx' = tanh(K x) - γ x\ndiscretise momentum(γ = 0.9)"
    )
    flow = odenet.loads(text).flow(2, 1, space=0)
    assert flow.gamma == 0.9 and "0.3" in odenet.loads(text).source(space=0)
