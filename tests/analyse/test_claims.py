"""Claims of a file (`require`): proved, refuted or open; and warnings about unsuitable schemes."""

import pytest

from odenet.analyse import ClaimResult, Facts, advise, certify, check_claims
from odenet.derive import derive
from odenet.model.typed.program import Model
from tests.analyse.specs import load_model

HAMILTONIAN = "state Y, Z\nparam K : dense\nY' = K^T tanh(K Z)\nZ' = -K^T tanh(K Y)\n"
DISSIPATIVE = "state Y\nparam K : dense\nlet γ = 0.1\nY' = tanh((K - K^T - γ I) Y)\n"
ANTISYMMETRIC = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\n"
DIFFUSION = "state Y\nparam K : dense\nY' = -K^T tanh(K Y)\n"


def facts(model: Model) -> Facts:
    derivation = derive(model.scheme)
    return Facts(model=model, derivation_or_none=derivation, certificate=certify(model))


def claims(text: str, trials: int = 40) -> dict[str, ClaimResult]:
    """Claim -> result, for all claims of a spec, with `trials` random starts of each search."""
    model = load_model(text)
    return {result.name: result for result in check_claims(facts(model), trials)}


def require(*claims: str) -> str:
    return "\n" + "\n".join(f"require {claim}" for claim in claims)


def test_claims_that_hold_are_proved():
    text = HAMILTONIAN + "discretise verlet(h = 0.1) exact"  # steps are undone bit by bit
    text += require("reversible", "imaginary", "stable", "order(1)", "volume_preserving", "exact")
    results = claims(text)
    assert all(result.holds is True for result in results.values())
    assert str(results["imaginary"]).startswith("imaginary: proved: every eigenvalue")


def test_wrong_claims_are_refuted_at_their_line():
    text = HAMILTONIAN + "discretise verlet(h = 0.1)" + require("order(2)", "symmetric", "exact")
    results = claims(text)
    assert all(result.holds is False for result in results.values())
    assert results["order(2)"].span.line == 6 and "order 1" in results["order(2)"].reason
    assert "write `exact`" in results["exact"].reason
    results = claims(DISSIPATIVE + "discretise euler(h = 0.1)" + require("reversible"))
    cause = results["reversible"].cause
    assert results["reversible"].holds is False and cause is not None
    assert "Y" in cause.text


@pytest.mark.parametrize(
    ("text", "scheme", "claim"),
    [
        (DISSIPATIVE, "rk4", "imaginary"),
        (DISSIPATIVE, "rk4", "real"),
        (HAMILTONIAN, "verlet", "real"),
        (DIFFUSION, "euler", "imaginary"),
        ("state Y\nparam K, L : dense\nY' = L^T tanh(K Y)\n", "euler", "stable"),
        ("state Y\nmap f = conv(3) -> relu\nY' = f(Y)\n", "euler", "stable"),
    ],
)
def test_wrong_claims_about_the_spectrum_come_with_a_counterexample(text, scheme, claim):
    result = claims(f"{text}discretise {scheme}(h = 0.1){require(claim)}")[claim]
    assert result.holds is False and result.witness is not None
    assert "eigenvalue" in result.reason and "seed 0" in result.reason
    assert result.to_json()["witness"]["seed"] == 0


def test_without_a_search_what_is_not_proved_is_open():
    text = f"{DISSIPATIVE}discretise rk4(h = 0.1){require('imaginary')}"
    result = claims(text, trials=0)["imaginary"]
    assert result.holds is None
    assert (
        result.reason
        == "proved is only that no eigenvalue of the Jacobian has a positive real part"
    )


def test_the_result_of_a_claim_names_its_conditions():
    text = "state Y\nparam K : dense\nparam g : scalar\nY' = tanh((K - K^T - g I) Y)\n"
    result = claims(f"{text}discretise rk4(h = 0.1){require('stable')}")["stable"]
    assert result.holds is True and result.reason.endswith("provided that g ≥ 0")


def test_an_imaginary_and_real_spectrum_is_zero():
    text = "state Y, Z\nparam K : dense\nY' = tanh(K Z)\nZ' = 0\n"
    results = claims(f"{text}discretise euler(h = 0.1){require('imaginary', 'real', 'stable')}")
    assert all(result.holds for result in results.values())


def test_volume_and_reversibility_are_judged_with_the_constants_of_the_file():
    text = "state x\nmap f = conv(3)\nx' = f(x)\ndiscretise momentum(γ = GAMMA)"
    text += require("volume_preserving", "reversible")
    results = claims(text.replace("GAMMA", "0.9"))
    assert (
        results["volume_preserving"].holds is False and "0.9" in results["volume_preserving"].reason
    )
    assert claims(text.replace("GAMMA", "1"))["volume_preserving"].holds is True
    assert claims(text.replace("GAMMA", "0"))["reversible"].holds is False


# --- advice ---


def advice(text: str) -> str:
    """The warnings about the scheme of a spec, one per line."""
    warnings = advise(facts(load_model(text)))
    for warning in warnings:
        assert warning.severity == "warning" and warning.span is not None
    return "\n".join(f"{warning.message}: {warning.help}" for warning in warnings)


def test_euler_on_an_imaginary_spectrum_is_warned_of_with_what_to_use():
    message = advice(HAMILTONIAN + "discretise euler(h = 0.1)")
    assert message.startswith(
        "euler is unstable for every h on an imaginary spectrum, as tested on "
    )
    assert "verlet (hω < 2), stormer_verlet (hω < 2)" in message
    assert message.count("(") == 5  # five schemes, each with its limit


def test_midpoint_on_a_dissipative_spectrum_is_warned_of():
    message = advice(DISSIPATIVE + "discretise midpoint(h = 0.1)")
    assert message.startswith("midpoint is unstable for every h at negative real eigenvalues")
    assert "rk4 (hω ≤ 2.828 and hμ ≤ 2.785)" in message


def test_a_scheme_that_fits_gives_no_warning():
    assert advice(ANTISYMMETRIC + "discretise midpoint(h = 0.1)") == ""
    assert advice(HAMILTONIAN + "discretise verlet(h = 0.1)") == ""
    assert advice(DIFFUSION + "discretise euler(h = 0.1)") == ""
    assert advice("state Y\nmap f = conv(3)\nY' = f(Y)\ndiscretise euler(h = 0.1)") == ""


def test_steps_that_float32_cannot_undo_are_warned_of_with_the_cure():
    text = "state x\nmap f = conv(3)\nx' = f(x)\ndiscretise momentum(γ = 0.5)EXACT\n"
    text += "net = input(1, 8, 8) -> conv(3, 4) -> flow(STEPS) -> mean -> dense(2)\n"
    deep = text.replace("STEPS", "40")
    message = advice(deep.replace("EXACT", ""))
    assert message.startswith("40 steps are undone too coarsely to train by")
    assert "exact" in message and "stored activations" in message
    assert advice(deep.replace("EXACT", " exact")) == ""
    assert advice(text.replace("STEPS", "4").replace("EXACT", "")) == ""


def test_leapfrog_is_offered_for_second_order_equations():
    text = "state Y\nparam K : dense\nY'' = -K^T tanh(K Y)\ndiscretise heun(h = 0.1)"
    assert "leapfrog (hω < 2)" in advice(text)
