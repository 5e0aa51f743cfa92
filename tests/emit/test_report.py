"""The report of a scheme is consistent where its constants leave it without an inverse."""

import json
import re

import pytest

import odenet

SPEC = "state x\nparam K : dense\nx' = -K^T tanh(K x)\ndiscretise momentum(γ = {})\n"


def test_a_scheme_without_inverse_at_these_constants_shows_none_and_claims_none():
    program = odenet.loads(SPEC.format(0) + "require reversible\n")
    (claim,) = program.claims
    report, derivation_json = str(program), program.derivation.to_json()
    assert claim.holds is False and claim.reason in report
    assert "none here: it has an inverse only where γ ≠ 0" in report
    assert "proof that it is the inverse" not in report and "volume" not in report
    assert (
        derivation_json["reversible"],
        derivation_json["inverse"],
        derivation_json["proof"],
    ) == (False, None, None)
    assert json.dumps(derivation_json, ensure_ascii=False).count("only where γ ≠ 0") == 1
    assert f"Not reversible: {claim.reason}." in program.source()
    assert "No explicit inverse" in program.derivation.latex()


@pytest.mark.parametrize("gamma", [1, -1, 2])  # momentum is unstable with each of these
def test_an_unstable_scheme_may_be_recommended_with_its_default_constants(gamma):
    (warning,) = odenet.loads(SPEC.format(gamma)).warnings
    assert "use momentum(γ = 0.9) (μ ≤ 38), " in warning.help


def test_an_unstable_scheme_whose_constants_are_the_defaults_is_not_recommended_itself():
    text = "state Y\nparam K : dense\nY' = (K - K^T) Y\ndiscretise euler(h = 0.1)\n"
    (warning,) = odenet.loads(text).warnings
    assert "use " in warning.help
    assert not re.search(r"\beuler \(", warning.help)  # coupled_euler is another scheme
