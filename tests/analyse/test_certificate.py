"""Certificates: verdicts on worked examples, and how proofs and energies are printed."""

from fractions import Fraction

import pytest

from odenet.analyse import certify
from odenet.model.expressions import expr
from odenet.model.expressions.numbers import evaluate
from tests.analyse.specs import load_model

K = "param K : conv(3)\n"
# name -> spec, M and the diagonal of C as they are printed, verdict
WORKED_EXAMPLES = {
    "two-layer Hamiltonian": (
        "state Y, Z\nparam K1, K2 : conv(3)\nY' = K1^T relu(K1 Z)\nZ' = -K2^T relu(K2 Y)",
        [["0", "-K1 K2ᵀ"], ["K2 K1ᵀ", "0"]], ["I", "I"], "imaginary",
    ),
    "one-layer Hamiltonian": (
        f"state Y, Z\n{K}Y' = relu(K Z)\nZ' = -relu(K^T Y)",
        [["0", "-K"], ["Kᵀ", "0"]], ["I", "I"], "imaginary",
    ),
    "antisymmetric": (
        f"state Y\n{K}Y' = relu((K - K^T) Y)", [["K - Kᵀ"]], ["I"], "imaginary",
    ),
    "second order": (
        f"state Y\n{K}Y'' = -K^T relu(K Y)", [["0", "-Kᵀ"], ["K", "0"]], ["I", "I"], "imaginary",
    ),
    "unequal factors": (
        f"state Y, Z\n{K}Y' = 2 K^T relu(K Z)\nZ' = -3 K^T relu(K Y)",
        [["0", "-3 K Kᵀ"], ["2 K Kᵀ", "0"]], ["2 I", "3 I"], "imaginary",
    ),
    "dissipative": (
        f"state Y\n{K}let γ = 0.1\nY' = relu((K - K^T - γ I) Y)",
        [["K - Kᵀ - γ I"]], ["I"], "stable",
    ),
    "diffusion": (f"state Y\n{K}Y' = -K^T relu(K Y)", [["-K Kᵀ"]], ["I"], "real"),
    "friction": (
        f"state x\n{K}let ε = 1/3\nx'' = -(1/ε) x' - (1/ε) K^T relu(K x)",
        [["-1/ε I", "-1/ε Kᵀ"], ["K", "0"]], ["ε I", "I"], "stable",
    ),
    "not certified": (
        "state Y\nparam K1, K2 : conv(3)\nY' = K2^T relu(K1 Y)", None, None, "open",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKED_EXAMPLES)
def test_worked_examples_have_the_stated_matrices_and_verdicts(name: str):
    text, matrix, weights, verdict = WORKED_EXAMPLES[name]
    certificate = certify(load_model(text))
    assert certificate.verdict == verdict
    if matrix is None:
        assert certificate.matrix is None and certificate.weights is None
        return
    assert [[str(entry) for entry in row] for row in certificate.matrix or ()] == matrix
    assert [str(weight) for weight in certificate.weights or ()] == weights


def test_a_printed_proof_shows_every_step_of_the_argument():
    text = "state Y, Z\nparam K1, K2 : conv(3)\nparam b1, b2 : bias\nlet σ = relu\n"
    text += "Y' =  K1^T σ(K1 Z + b1)\nZ' = -K2^T σ(K2 Y + b2)"
    assert (
        str(certify(load_model(text, "verlet")))
        == """\
spectrum imaginary (proved)
  s' = L φ(R s + b) with the units
    φ1 = σ(K1 Z + b1), carried to Y' by K1ᵀ
    φ2 = σ(K2 Y + b2), carried to Z' by -K2ᵀ
  M = R L = [ 0        -K1 K2ᵀ ]
            [ K2 K1ᵀ   0       ]
  C = diag(1, 1) > 0 gives C M + (C M)ᵀ = 0.
  J = L D R with D = diag(φ') ≥ 0 since relu is nondecreasing.
  Its nonzero eigenvalues are those of D^½ M D^½, which the similarity C^½ · C^-½ makes
  antisymmetric: all are imaginary.
  (Haber & Ruthotto 2017; Chang et al. 2018, AAAI, appendix, is C = I with two units. \
Theorems in docs/certificates.md.)
  energy: E = 1ᵀΨ(K1 Z + b1) + 1ᵀΨ(K2 Y + b2),  dE/dt = 0
  assuming: the weights are constant within a step"""
    )


def test_a_proof_in_blocks_names_each_block():
    text = f"state Y, Z\n{K}param A, L : conv(3)\nlet γ = 2\n"
    text += "Y' = relu((K - K^T) Y)\nZ' = A relu(Y) - L^T relu(L Z) - γ Z"
    certificate = certify(load_model(text))
    assert certificate.verdict == "stable" and certificate.energy is None
    lines = certificate.proof
    assert lines[0].startswith("J is block triangular")
    assert any(line.startswith("block 1: ") for line in lines)
    assert certificate.matrix is None
    assert all(f"J_{{{n}}}\\colon" in certificate.latex() for n in (1, 2))


def test_a_proof_splits_off_decay_first_and_puts_it_back_last():
    text = f"state Y, Z\n{K}let γ = 0.1\nY' = relu(K Z)\nZ' = -relu(K^T Y) - γ Z - 2 Z"
    certificate = certify(load_model(text))
    assert certificate.verdict == "stable" and certificate.energy is None
    assert certificate.proof[0] == "J = J₀ - Γ with Γ = (2 + γ) I ≥ 0 on Z; the rest is about J₀."
    assert certificate.proof[-2] == "of J, none has a positive real part."
    assert "J &= J_0 - \\Gamma" in certificate.latex()
    assert certify(load_model(text.replace("γ = 0.1", "γ = -3"))).verdict == "open"


def test_a_printed_proof_shows_the_squares_that_make_a_matrix_negative():
    text = f"state Y\n{K}let γ = 0.1\nY' = -γ Y - K^T relu(K Y)"
    assert "C M = (C M)ᵀ = -WᵀW ≤ 0 with W = [γ I, Kᵀ]" in str(certify(load_model(text)))


def test_a_certificate_is_written_as_latex():
    text = f"state Y\n{K}let γ = 0.1\nY' = relu((K - K^T - γ I) Y)"
    display = certify(load_model(text)).latex()
    assert "\\begin{bmatrix} K - K^{\\top} - \\gamma\\,I \\end{bmatrix}" in display
    assert display.count("{") == display.count("}")
    opaque = certify(load_model("state Y\nmap f_1 = conv(3)\nY' = f_1(Y)")).latex()
    assert "f\\_1" in opaque and "\\[" not in opaque


def test_the_json_of_a_certificate_has_its_matrix_and_assumptions():
    text = f"state Y\n{K}param g : scalar\nY' = relu((K - K^T - g I) Y)"
    certificate = certify(load_model(text)).to_json()
    assert certificate["verdict"] == "stable"
    assert certificate["parts"][0]["matrix"] == [["K - Kᵀ - g I"]]
    assert {
        "kind": "sign",
        "subject": "g",
        "text": "g ≥ 0",
        "by_construction": False,
        "start": "",
    } in certificate["assumptions"]


# --- assumptions ---


def conditions(text: str) -> tuple[str, ...]:
    """The conditions under which the verdict on a spec is proved."""
    certificate = certify(load_model(text))
    assert certificate.proved
    return certificate.conditions


def test_signs_of_learned_numbers_are_assumed_only_where_needed():
    text = f"state Y\n{K}param g, f : scalar\n"
    assert conditions(text + "Y' = relu((f K - f K^T - g I) Y)") == ("g ≥ 0",)
    assert conditions(text + "Y' = relu((f K - f K^T - g g I) Y)") == ()
    assert conditions(text + "Y' = -f f K^T relu(g K Y) / g") == ()


def test_a_bias_that_multiplies_is_a_diagonal():
    text = f"state Y, Z\n{K}param b : bias\nY' = K^T (b * relu(K Z))\nZ' = -K^T (b * relu(K Y))"
    certificate = certify(load_model(text))
    assert certificate.verdict == "imaginary" and certificate.conditions == ("b ≥ 0",)
    assert certificate.assumptions[-1].subject == "b"


def test_a_negative_constant_does_not_dissipate():
    text = f"state Y\n{K}let γ = -0.1\nY' = relu((K - K^T - γ I) Y)"
    assert certify(load_model(text)).verdict == "open"
    assert certify(load_model(text.replace("- γ I", "+ γ I"))).verdict == "stable"
    assert certify(load_model(text.replace("-0.1", "0"))).verdict == "imaginary"


def test_norms_are_frozen_and_have_gains_that_are_not_negative():
    text = f"state Y\n{K}param N : norm(batch)\nY' = -K^T relu(N(K Y))"
    certificate = certify(load_model(text))
    kinds = [a.kind for a in certificate.assumptions]
    assert kinds == ["constant weights", "frozen statistics", "gain"]
    assert "in training they come from the batch" in str(certificate)
    assert certificate.conditions == ("the gain of N is ≥ 0",)
    assert conditions(text.replace("batch", "batch, positive")) == ()
    assert certificate.energy is not None and certificate.energy.terms == ()
    assert "frozen statistics" in certificate.energy.obstacle


@pytest.mark.parametrize(
    ("right_hand_side", "obstacle"),
    [
        ("relu(N(K Y))", "group norm"),
        ("f(Y)", "map `f` is opaque"),
        ("K^T relu(K relu(Y))", "inside another"),
        ("Y * relu(Y)", "product of two fields"),
        ("gelu((K - K^T) Y)", "gelu is not nondecreasing"),
        ("leaky_relu(-0.1)((K - K^T) Y)", "leaky_relu is not nondecreasing"),
        ("relu(K Y)", "neither antisymmetric nor minus a sum of squares"),
    ],
)
def test_the_obstacle_to_a_proof_is_named_with_its_place(right_hand_side: str, obstacle: str):
    # p[0] is the name, K or N
    params = [p for p in ("K : dense", "N : norm(group = 1)") if p[0] in right_hand_side]
    maps = ["map f = conv(3)"] if "f(" in right_hand_side else []
    text = "\n".join(["state Y", *(f"param {p}" for p in params), *maps, f"Y' = {right_hand_side}"])
    certificate = certify(load_model(text))
    assert certificate.verdict == "open" and obstacle in certificate.reason
    assert certificate.span is not None and certificate.span.line == len(text.splitlines())


def test_chains_of_activations_and_numbers_are_one_unit():
    text = f"state Y\n{K}param b : bias\nY' = K^T relu(-2 tanh(K Y + b) + b)"
    assert certify(load_model(text)).verdict == "real"
    assert certify(load_model(text.replace("-2", "2"))).verdict == "open"


def test_names_are_spelled_as_in_the_spec():
    text = "state θ\nparam K₁ : conv(3)\nlet γ₂ = 1\nθ'' = -K₁ᵀ tanh(K₁ θ) - γ₂ θ'"
    certificate = certify(load_model(text))
    assert "carried to θ' by I and to θ'' by -γ₂ I" in str(certificate)
    assert certificate.energy is not None
    assert str(certificate.energy).startswith("E = ½ |θ'|² + 1ᵀΨ(K₁ θ)")
    assert certificate.energy.terms[0].argument == expr.State("theta", 1)


def test_equal_units_are_merged():
    text = f"state Y, Z\n{K}Y' = K^T relu(K Y + K Z)\nZ' = -K^T relu(K Y + K Z)"
    certificate = certify(load_model(text))
    assert certificate.has_zero_spectrum and len(certificate.parts[0].units) == 1


# --- energy ---


def test_the_terms_of_an_energy_are_formulas_and_activations():
    text = f"state y\n{K}param b : bias\nlet ε = 1/3\ny'' = -1/ε y' - 1/ε K^T tanh(K y + b)"
    model = load_model(text)
    energy = certify(model).energy
    assert energy is not None and not energy.conserved
    kinetic, potential = energy.terms
    assert kinetic.argument == expr.State("y", 1) and kinetic.activation.name == "identity"
    assert evaluate(kinetic.coefficient, model.constants) == Fraction(1, 3)
    assert potential.activation.name == "tanh"
    assert potential.argument.span is not None and potential.argument.span.text == "K y + b"
    assert str(energy) == "E = ε/2 |y'|² + 1ᵀΨ(K y + b),  dE/dt = -|φ1|² ≤ 0"


def test_weights_of_the_energy_do_not_divide_by_diagonals():
    text = "state y\nparam w : diag\nlet α = 2\ny'' = -tanh(w y) - α y"
    certificate = certify(load_model(text))
    assert [str(weight) for weight in certificate.weights or ()] == ["w", "α w", "I"]
    assert certificate.energy is not None
    assert [term.diagonal for term in certificate.energy.terms] == [(("w", 1),), (("w", 1),), ()]


def test_a_forcing_outside_the_units_leaves_no_energy():
    text = f"state Y, Z\n{K}param b : bias\nY' = K^T relu(K Z) + b\nZ' = -K^T relu(K Y)"
    certificate = certify(load_model(text))
    assert certificate.verdict == "imaginary" and certificate.energy is None


def test_the_energy_does_not_need_monotone_activations():
    certificate = certify(load_model(f"state Y\n{K}Y'' = -K^T sin(K Y)"))
    assert certificate.verdict == "open"
    assert certificate.energy is not None and certificate.energy.conserved


def test_the_weights_of_an_energy_are_formulas():
    text = f"state Y, Z\n{K}let a = 3\nparam g : scalar\n"
    text += "Y' = a g K^T relu(K Z)\nZ' = -(2/a) g K^T relu(K Y)"
    model = load_model(text)
    energy = certify(model).energy
    assert energy is not None
    weights = [evaluate(term.coefficient, model.constants) for term in energy.terms]
    assert weights[0] / weights[1] == Fraction(9, 2)  # type: ignore[operator]
