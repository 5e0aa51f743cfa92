"""Verdicts that depend on the sign of a parameter.

The sign is a condition of the verdict, which is compared with the initial value, or it is kept by
construction, as by scalar(positive).
"""

import numpy as np
import pytest
import torch

import odenet
from odenet.analyse import certify
from odenet.analyse.claims import check_claims
from odenet.analyse.jacobian import FormulaEvaluator
from odenet.analyse.sampling import draw_point, state_sizes
from odenet.diagnostics import SpecError
from odenet.runtime.learned.parameters import diagonal, inverse_softplus, scalar
from tests.analyse.numpy_checks import check_certificate
from tests.analyse.specs import load_model

K = "state Y\nparam K : dense\n"
DAMPED = "Y' = tanh((K - K^T - γ I) Y)\ndiscretise euler(h = 0.1)\nrequire stable"


def claim_result(text: str):
    """The result of the only claim of a spec."""
    program = odenet.loads(text)
    (result,) = check_claims(program.facts, trials=4)
    return result


# --- conditions come before counterexamples ---

# what d is -> declaration of d, right-hand side, verdict, its conditions; a rotation is K - K^T
CONDITIONAL = {
    "a diagonal before a rotation": ("d : diag", "d (K - K^T) tanh(Y)", "imaginary", ("d ≥ 0",)),
    "a diagonal squared before a rotation": ("d : diag", "d d (K - K^T) tanh(Y)", "imaginary", ()),
    "a diagonal inside an activation": ("d : diag", "tanh((K - K^T) d Y)", "imaginary", ("d ≥ 0",)),
    "a diagonal before diffusion": ("d : diag", "-d K K^T tanh(Y)", "real", ("d ≥ 0",)),
    "a number before a rotation": ("d : scalar", "d (K - K^T) tanh(Y)", "imaginary", ()),
    "a number before diffusion": ("d : scalar", "-d K^T tanh(K Y)", "real", ("d ≥ 0",)),
    "a gate before a rotation": ("d : bias", "d * ((K - K^T) tanh(Y))", "imaginary", ("d ≥ 0",)),
}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_single_unit_is_proved_under_its_condition_and_not_refuted(name: str):
    param, rate, verdict, conditions = CONDITIONAL[name]
    model = load_model(f"{K}param {param}\nY' = {rate}")
    certificate = certify(model)
    assert (certificate.verdict, certificate.conditions) == (verdict, conditions)
    for seed in range(20):
        check_certificate(model, certificate, np.random.default_rng(seed))


# --- initial values ---


@pytest.mark.parametrize(
    ("init", "start"),
    [
        ("-1", "γ starts at -1"),
        ("-1/2", "γ starts at -0.5"),
        ("normal(1)", "γ starts at random values of either sign"),
        ("uniform(1)", "γ starts at random values of either sign"),
    ],
)
def test_a_condition_that_does_not_hold_at_the_start_proves_no_claim(init: str, start: str):
    result = claim_result(f"{K}param γ : scalar(init = {init})\n{DAMPED}")
    assert result.holds is None
    assert result.reason == (
        f"proved if γ ≥ 0; {start}, where this does not hold; scalar(positive) keeps it"
    )
    assert result.cause is not None and result.cause.text == "γ"


@pytest.mark.parametrize("init", ["zeros", "ones", "0", "1/2"])
def test_a_condition_that_holds_at_the_start_is_named(init: str):
    result = claim_result(f"{K}param γ : scalar(init = {init})\n{DAMPED}")
    assert result.holds and result.reason.endswith("provided that γ ≥ 0")


def test_the_summary_of_a_verdict_says_that_its_condition_fails_at_the_start():
    certificate = certify(load_model(f"{K}param γ : scalar(init = -1)\n{DAMPED}"))
    assert certificate.summary == (
        "spectrum in the closed left half plane "
        "(proved, if γ ≥ 0; γ starts at -1, where this does not hold)"
    )


def test_a_gain_that_begins_below_zero_proves_no_claim():
    text = f"{K}param N : norm(batch, init = -1)\nY' = -K^T tanh(N(K Y))\n"
    result = claim_result(f"{text}discretise euler(h = 0.1)\nrequire real")
    assert result.holds is None and "norm(batch, positive) keeps it" in result.reason


# --- by construction ---

POSITIVE = f"{K}param γ : scalar(positive, init = 1/4)\nparam d : diag(positive)\n"


def test_what_is_positive_by_construction_needs_no_condition():
    text = f"{POSITIVE}Y' = d tanh((K - K^T - γ I) d Y)\ndiscretise euler(h = 0.1)\nrequire stable"
    assert claim_result(text).holds
    certificate = certify(load_model(text))
    assert certificate.conditions == ()
    assert [a.text for a in certificate.assumptions if a.by_construction] == ["d ≥ 0", "γ ≥ 0"]
    for seed in range(20):
        check_certificate(load_model(text), certificate, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", ["scalar", "diag", "norm(batch)"])
@pytest.mark.parametrize("init", ["-1", "0", "zeros", "normal(1)", "he"])
def test_a_parameter_that_is_kept_positive_must_begin_above_zero(kind: str, init: str):
    # the parenthesis is closed after `init`
    kind = kind.replace("(batch)", "(batch, positive") if "(" in kind else f"{kind}(positive"
    rate = "N(Y)" if "norm" in kind else "N Y"
    with pytest.raises(SpecError, match="begins above 0"):
        load_model(f"state Y\nparam N : {kind}, init = {init})\nY' = {rate}")


def test_the_module_begins_at_the_stated_value_and_computes_with_positive_values():
    text = f"{POSITIVE}Y' = d tanh((K - K^T - γ I) d Y) - γ Y\ndiscretise euler(h = 0.1)"
    program = odenet.loads(text)
    flow = program.flow(4, 1).double()
    parameters, softplus = flow.state_dict(), torch.nn.functional.softplus
    assert torch.allclose(softplus(parameters["gamma"]), torch.full((1,), 0.25).double(), atol=1e-6)
    assert torch.allclose(softplus(parameters["d"]), torch.ones(1, 4).double(), atol=1e-6)
    size = state_sizes(program.model)[-1]
    flow = program.flow(size.channels, 1, space=0).double()
    for seed in range(5):
        point = draw_point(program.model, size, np.random.default_rng(seed))
        assert point.weights["gamma"] > 0 and (point.weights["d"] > 0).all()
        with torch.no_grad():
            parameters = {name: torch.as_tensor(value) for name, value in point.weights.items()}
            parameters |= {name: inverse_softplus(parameters[name]) for name in ("gamma", "d")}
            for name, value in flow.state_dict().items():
                value.copy_(parameters[name])
        expected = FormulaEvaluator(program.model, point, size).value_and_jacobian()[0]
        rate = flow.field((torch.as_tensor(point.state).reshape(1, -1),))[0]
        assert np.allclose(rate.detach().numpy().reshape(-1), expected)


def test_positive_values_are_inverted_without_overflow():
    values = torch.tensor([1e-6, 0.25, 1.0, 50.0, 1e4], dtype=torch.float64)
    stored = inverse_softplus(values)
    assert torch.allclose(torch.nn.functional.softplus(stored), values)
    assert (
        scalar(3, positive=True, init=("constant", 2.0)) == inverse_softplus(torch.tensor(2.0))
    ).all()
    assert diagonal(2, 3, positive=True).shape == (2, 3, 1, 1)


# --- on the weights of a flow ---


def test_a_flow_tells_whether_its_weights_meet_the_conditions():
    text = f"{K}param γ : scalar\nparam N : norm(batch)\nY' = tanh(N((K - K^T - γ I) Y))\n"
    flow = odenet.loads(f"{text}discretise euler(h = 0.1)").flow(4, 3)
    assert flow.conditions() == [("the gain of N is ≥ 0", True), ("γ ≥ 0", True)]
    parameters = flow.state_dict()
    parameters["gamma"][1], parameters["N.2.weight"][0] = -0.1, -1  # of the second and third step
    assert flow.conditions() == [("the gain of N is ≥ 0", False), ("γ ≥ 0", False)]
    assert (
        odenet.loads(f"{K}Y' = tanh((K - K^T) Y)\ndiscretise euler(h = 0.1)")
        .flow(4, 3)
        .conditions()
        == []
    )


# --- gates ---

# name -> right-hand side, verdict
GATES = {
    "a step size of its own": ("-(softplus(V u) * (a a Y)) + softplus(V u) * (B u)", "real"),
    "a liquid time constant": ("-Y - sigmoid(V u + b) * Y", "real"),
    "a gate before diffusion": ("-relu(V u) * (K K^T tanh(Y))", "real"),
    "a gate before a rotation": ("sigmoid(V u) * ((K - K^T) tanh(Y))", "imaginary"),
    "a product of gates": ("-(sigmoid(V u) * softplus(b)) * Y", "real"),
    "a sum of gates": ("-(sigmoid(V u) + 2 softplus(b)) * Y", "real"),
    "a gate times itself": ("-(V u * V u) * Y", "real"),
    "a gate of any sign": ("-tanh(V u) * Y", "open"),
    "a gate in a chain": ("-K^T tanh(sigmoid(V u) * tanh(K Y))", "real"),
    "a gate of any sign in a chain": ("-K^T tanh(tanh(V u) * tanh(K Y))", "open"),
    "a growing gate": ("sigmoid(V u) * Y", "open"),
    "a difference of gates": ("-(sigmoid(V u) - softplus(b)) * Y", "open"),
}


@pytest.mark.parametrize("name", GATES)
def test_gates_are_proved_without_conditions_where_they_are_never_negative(name: str):
    rate, verdict = GATES[name]
    types = {"K": "dense", "V": "dense", "B": "dense", "a": "diag", "b": "bias"}
    used = [
        f"param {n} : {t}" for n, t in types.items() if f"{n} " in rate + " " or f"{n})" in rate
    ]
    model = load_model("\n".join(["state Y", *used, f"Y' = {rate}"]))
    certificate = certify(model)
    assert certificate.verdict == verdict and certificate.conditions == ()
    for seed in range(20):
        check_certificate(model, certificate, np.random.default_rng(seed))
