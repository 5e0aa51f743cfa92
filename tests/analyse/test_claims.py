"""`require`: proved, refuted with the reason, or left open; and advice on the scheme."""

import pytest

from odenet.analyse import ClaimResult, Facts, advise, certify, check_claims
from odenet.derive import derive
from odenet.model.typed.program import Model
from tests.analyse.specs import model

HAMILTONIAN = "state Y, Z\nparam K : dense\nY' = K^T tanh(K Z)\nZ' = -K^T tanh(K Y)\n"
DISSIPATIVE = "state Y\nparam K : dense\nlet γ = 0.1\nY' = tanh((K - K^T - γ I) Y)\n"
MIDPOINT = "state Y\nparam K : dense\nY' = tanh((K - K^T) Y)\n"
DIFFUSION = "state Y\nparam K : dense\nY' = -K^T tanh(K Y)\n"


def facts(program: Model) -> Facts:
    derived = derive(program.scheme)
    return Facts(model=program, derivation_or_none=derived, certificate=certify(program))


def claims(text: str, trials: int = 40) -> dict[str, ClaimResult]:
    program = model(text)
    found = check_claims(facts(program), trials)
    return {result.name: result for result in found}


def require(*names: str) -> str:
    return "\n" + "\n".join(f"require {name}" for name in names)


def test_claims_that_hold_are_proved():
    text = HAMILTONIAN + "discretise verlet(h = 0.1) exact"
    text += require("reversible", "imaginary", "stable", "order(1)", "volume_preserving", "exact")
    found = claims(text)
    assert all(result.holds is True for result in found.values())
    assert str(found["imaginary"]).startswith("imaginary: proved: every eigenvalue")


def test_wrong_claims_are_refuted_at_their_line():
    text = HAMILTONIAN + "discretise verlet(h = 0.1)" + require("order(2)", "symmetric", "exact")
    found = claims(text)
    assert all(result.holds is False for result in found.values())
    assert found["order(2)"].span.line == 6 and "order 1" in found["order(2)"].reason
    assert "write `exact`" in found["exact"].reason
    found = claims(DISSIPATIVE + "discretise euler(h = 0.1)" + require("reversible"))
    cause = found["reversible"].cause
    assert found["reversible"].holds is False and cause is not None
    assert "Y[n]" in cause.text or "Y" in cause.text


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
    found = claims(f"{text}discretise {scheme}(h = 0.1){require(claim)}")[claim]
    assert found.holds is False and found.witness is not None
    assert "eigenvalue" in found.reason and "seed 0" in found.reason
    assert found.to_json()["witness"]["seed"] == 0


def test_without_a_search_what_is_not_proved_is_open():
    text = f"{DISSIPATIVE}discretise rk4(h = 0.1){require('imaginary')}"
    found = claims(text, trials=0)["imaginary"]
    assert found.holds is None
    assert (
        found.reason == "proved is only that no eigenvalue of the Jacobian has a positive real part"
    )


def test_conditions_are_part_of_the_answer():
    text = "state Y\nparam K : dense\nparam g : scalar\nY' = tanh((K - K^T - g I) Y)\n"
    found = claims(f"{text}discretise rk4(h = 0.1){require('stable')}")["stable"]
    assert found.holds is True and found.reason.endswith("provided that g ≥ 0")


def test_an_imaginary_and_real_spectrum_is_zero():
    text = "state Y, Z\nparam K : dense\nY' = tanh(K Z)\nZ' = 0\n"
    found = claims(f"{text}discretise euler(h = 0.1){require('imaginary', 'real', 'stable')}")
    assert all(result.holds for result in found.values())


def test_volume_is_judged_with_the_constants_of_the_file():
    text = "state x\nmap f = conv(3)\nx' = f(x)\ndiscretise momentum(γ = GAMMA)"
    text += require("volume_preserving", "reversible")
    found = claims(text.replace("GAMMA", "0.9"))
    assert found["volume_preserving"].holds is False and "0.9" in found["volume_preserving"].reason
    assert claims(text.replace("GAMMA", "1"))["volume_preserving"].holds is True
    assert claims(text.replace("GAMMA", "0"))["reversible"].holds is False


# --- advice ---


def advice(text: str) -> str:
    program: Model = model(text)
    found = advise(facts(program))
    for warning in found:
        assert warning.severity == "warning" and warning.span is not None
    return "\n".join(f"{warning.message}: {warning.help}" for warning in found)


def test_euler_on_an_imaginary_spectrum_is_warned_of_with_what_to_use():
    found = advice(HAMILTONIAN + "discretise euler(h = 0.1)")
    assert found.startswith("euler is unstable for every h on an imaginary spectrum, as tested on ")
    assert "verlet (hω < 2), stormer_verlet (hω < 2)" in found
    assert found.count("(") == 5


def test_midpoint_on_a_dissipative_spectrum_is_warned_of():
    found = advice(DISSIPATIVE + "discretise midpoint(h = 0.1)")
    assert found.startswith("midpoint is unstable for every h at negative real eigenvalues")
    assert "rk4 (hω ≤ 2.828 and hμ ≤ 2.785)" in found


def test_a_scheme_that_fits_gives_no_warning():
    assert advice(MIDPOINT + "discretise midpoint(h = 0.1)") == ""
    assert advice(HAMILTONIAN + "discretise verlet(h = 0.1)") == ""
    assert advice(DIFFUSION + "discretise euler(h = 0.1)") == ""
    assert advice("state Y\nmap f = conv(3)\nY' = f(Y)\ndiscretise euler(h = 0.1)") == ""


def test_steps_that_are_not_undone_in_float32_are_warned_of_with_the_cure():
    text = "state x\nmap f = conv(3)\nx' = f(x)\ndiscretise momentum(γ = 0.5)EXACT\n"
    text += "net = input(1, 8, 8) -> conv(3, 4) -> flow(STEPS) -> mean -> dense(2)\n"
    deep = text.replace("STEPS", "40")
    found = advice(deep.replace("EXACT", ""))
    assert found.startswith("40 steps are undone too coarsely to train by")
    assert "exact" in found and "stored activations" in found
    assert advice(deep.replace("EXACT", " exact")) == ""
    assert advice(text.replace("STEPS", "4").replace("EXACT", "")) == ""


def test_leapfrog_is_offered_for_second_order_equations():
    text = "state Y\nparam K : dense\nY'' = -K^T tanh(K Y)\ndiscretise heun(h = 0.1)"
    assert "leapfrog (hω < 2)" in advice(text)
