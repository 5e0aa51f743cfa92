"""Proofs for systems that the plain theorems do not cover.

They use bounds on the slopes of activations, decays that outweigh them, scalings C of equations
with numeric coefficients, and changes of variables. Independent routes: eigenvalues in numpy
(tests/analyse/numpy_checks.py), and slopes of activations measured on a grid.
"""

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odenet.analyse import certify, decide
from odenet.analyse.lyapunov import RationalMatrix, is_positive_definite, scaling_candidates
from odenet.model.tables.activations import ROWS
from tests.analyse.numpy_checks import check_certificate
from tests.analyse.specs import RandomSpec, load_model

K = "param K : dense\n"
A = "param A : dense\n"
D = "param d : diag\n"
AK = "param A, K : dense\n"

# declarations and equations -> verdict, and the r > 0 for which Re λ <= -r is proved of every
# eigenvalue λ; None if there is no such proof
PROVED = {
    "Y' = -2 Y + relu(Y)": ("real", "1"),
    "Y' = -Y + tanh(Y)": ("real", None),
    "Y' = -Y + 3 sigmoid(Y)": ("real", "1/4"),
    "Y' = -Y + 4 sigmoid(Y)": ("real", None),
    "Y' = -2 Y + sin(Y)": ("real", "1"),
    "Y' = -1.2 Y + gelu(Y)": ("real", "7/100"),
    "Y' = -3 Y - tanh(-3 tanh(Y))": ("real", None),
    "Y' = -2 Y + leaky_relu(1.5)(Y)": ("real", "1/2"),
    f"{K}Y' = -Y + tanh(Y + (K - K^T) Y)": ("stable", None),
    f"{AK}let m = 0.1\nY' = -Y + relu((1-m) Y - A^T A Y + (K - K^T) Y + u)": ("stable", "m"),
    f"{A}Y' = -Y + shrink(0.1)(Y - A^T A Y + A^T u)": ("real", None),
    f"{A}Y' = -2 A^T A Y + A^T tanh(A Y)": ("real", None),
    f"{K}Y' = -1/2 Y + tanh((K - K^T) Y)": ("stable", "1/2"),
    "Y'' = -3 Y' - 2 Y + tanh(Y)": ("stable", None),
    "Y'' = -2 Y + tanh(Y)": ("imaginary", None),
    f"{K}Y'' = -K^T (K Y - tanh(K Y)) - Y'": ("stable", None),
    f"{K}Y' = -K^T (gelu(K Y) + 0.2 K Y)": ("real", None),
    f"{K}Y' = -K^T (silu(K Y) + 0.1 K Y)": ("real", None),
    f"{K}Y'' = -K^T (gelu(K Y) + 0.13 K Y) - 2 Y'": ("stable", None),
    f"{K}{D}Y' = d d (K - K^T) tanh(Y)": ("imaginary", None),
    f"{K}{D}Y' = d (K - K^T) tanh(Y)": ("imaginary", None),
    f"{K}{D}Y' = -d d K^T K tanh(Y)": ("real", None),
    f"{K}{D}Y' = d (K - K^T) d d tanh(Y)": ("imaginary", None),
    f"{AK}Y'' = -A^T A K^T tanh(K Y) - Y'": ("stable", None),
    f"{AK}Y'' = -A A^T A A^T K^T tanh(K Y)": ("imaginary", None),
    "X' = V\nV' = A\nA' = -3 A - 3 V - X": ("stable", None),
    "X' = V\nV' = A\nA' = -6 A - 11 V - 6 X": ("real", None),
    "X' = X - 2 Y\nY' = X - Y": ("imaginary", None),
    "let k = 3\nX' = V\nV' = A\nA' = -k A - k V - X": ("stable", None),
    # beside other states; a state that no rate depends on gives the eigenvalue 0, hence no r > 0
    "Y'' = -2 Y' + tanh(Y')": ("real", None),
    "param b : bias\nY' = b\nZ' = -2 Z + tanh(Z)": ("real", None),
    f"{K}Y' = -2 Y + tanh(Y)\nZ' = -K^T tanh(K Z) + K Y": ("real", None),
    f"{K}Y' = -2 Y + tanh(Y)\nZ' = -3 Z + relu(Z) + K tanh(Y)": ("real", "1"),
    f"{K}X' = V\nV' = A\nA' = -3 A - 3 V - X\nY' = tanh((K - K^T) Y) + K X": ("stable", None),
    f"{AK}Y'' = -A^T A K^T tanh(K Y) - Y'\nZ' = -Z + tanh(Z) + Y": ("stable", None),
}

# systems that are just outside what is true: some weights and inputs make them unstable
NEAR_MISSES = [
    "Y' = -0.99 Y + relu(Y)",
    "Y' = -Y + 4.1 sigmoid(Y)",
    "Y' = -Y + gelu(Y)",
    "Y' = -1.09 Y + silu(Y)",
    "Y' = -1.9 Y + tanh(2 tanh(Y))",
    "Y' = -2.9 Y - tanh(-3 tanh(Y))",
    "Y' = -1.4 Y + leaky_relu(1.5)(Y)",
    "Y' = -Y - 9 gelu(Y)",
    f"{K}Y' = -Y + tanh(1.1 Y + (K - K^T) Y)",
    f"{A}Y' = -Y + shrink(0.1)(Y + A^T A Y)",
    f"{A}Y' = -0.99 A^T A Y + A^T tanh(A Y)",
    f"{K}Y' = -K^T (gelu(K Y) + 0.125 K Y)",
    f"{K}Y' = -K^T (silu(K Y) + 0.095 K Y)",
    "Y'' = -3 Y' - 0.98 Y + tanh(Y)",
    "Y' = Z - Y\nZ' = Y + tanh(Z) - Z",
    f"{K}{D}Y' = d (K - K^T) tanh(Y) + d tanh(Y)",
    f"{K}{D}Y' = d (K - K^T) d tanh(K Y)",
    f"{AK}Y'' = -A^T K^T tanh(K Y) - Y'",
    f"{AK}Y'' = -A^T A K^T tanh(K Y) + 1/10 Y'",
    "X' = V\nV' = A\nA' = -2 A - 1/3 V - X",
    "X' = X - 2 Y\nY' = X - 99/100 Y",
    "X' = X - Y\nY' = X - Y - 1/1000 X",
]


def with_states(text: str) -> str:
    """The text with a line in front that declares its states."""
    lines = text.splitlines()
    states = [
        line.split("'")[0] for line in lines if "'" in line and "' =" in line.replace("''", "'")
    ]
    return f"state {', '.join(states)}\n{text}"


@pytest.mark.parametrize("text", PROVED)
def test_a_true_verdict_is_proved_with_its_rate_of_decay(text: str):
    verdict, decay_rate = PROVED[text]
    model = load_model(with_states(text))
    certificate = certify(model)
    assert certificate.verdict == verdict, certificate
    assert (None if certificate.rate is None else str(certificate.rate)) == decay_rate
    for seed in range(8):
        check_certificate(model, certificate, np.random.default_rng(seed))


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_is_refuted(text: str):
    assert decide(load_model(with_states(text)), trials=60).verdict == "refuted"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_slopes_lie_between_the_bounds_of_the_table_which_are_tight(row):
    constants = [0.3] * len(row.constants)
    x = np.linspace(-6, 6, 24_001)
    slopes = np.array([row.derivative(value, *constants) for value in x])
    # 0.002: between two points of the grid a slope may be larger, and bounds are rounded
    assert slopes.max() <= row.slope(*constants) <= 1.002 * slopes.max() + 1e-3
    if row.nondecreasing(*constants):
        assert slopes.min() >= 0
    else:
        assert slopes.min() - 2e-3 <= row.least_slope(*constants) <= slopes.min()


# least and largest slopes, computed without odenet; the largest of gelu is Φ(√2) + √2 φ(√2), with
# the distribution function Φ and the density φ of the normal distribution
SLOPES = {
    "relu": (0.0, 1.0),
    "tanh": (0.0, 1.0),
    "sigmoid": (0.0, 0.25),
    "gelu": (-0.1289041465, 1.1289041465),
    "silu": (-0.0998393, 1.0998393),
    "sin": (-1.0, 1.0),
    "leaky_relu(1.5)": (1.0, 1.5),
}
FACTORS = st.fractions(Fraction(1, 4), Fraction(4), max_denominator=16)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(SLOPES)),
    FACTORS,
    st.sampled_from([-1, 1]),
    st.sampled_from(["0.9", "0.99", "1", "1.01", "1.2"]),
)
def test_one_dimensional_flows_are_proved_up_to_the_boundary_and_no_further(
    name: str, factor: Fraction, sign: int, decay_ratio: str
):
    """Y' = -γ Y ± c φ(Y) is stable exactly if γ >= ± c φ' everywhere."""
    least, most = SLOPES[name]
    worst = float(factor) * (most if sign > 0 else -least)
    if worst <= 0:
        return
    decay = Fraction(worst).limit_denominator(10**6) * Fraction(decay_ratio)
    text = f"state Y\nY' = -({decay}) Y {'+' if sign > 0 else '-'} ({factor}) {name}(Y)"
    certificate = certify(load_model(text))
    if Fraction(decay_ratio) < 1:
        assert not certificate.proved
    # the bounds of gelu and silu in the table are rounded up, by less than 0.002
    if float(decay) > worst + 0.002 * float(factor) or (
        name not in ("gelu", "silu") and decay_ratio == "1"
    ):
        assert certificate.verdict == "real", certificate
    if certificate.rate is not None:
        assert float(decay) - worst >= float(as_fraction(certificate.rate)) - 1e-6


def as_fraction(scalar) -> Fraction:
    return Fraction(str(scalar))


# --- random systems near the conditions ---


class NearMissSpec(RandomSpec):
    """A random spec with a decay against a driving unit, just inside or outside the conditions."""

    def __init__(self, rnd: Random):
        super().__init__(rnd)
        self.states = ("Y", "Z")[: rnd.choice([1, 1, 2])]
        families = [
            self.equilibrium,
            self.potential,
            self.diagonally_weighted,
            self.left_transformed,
        ]
        self.equations = [line for line in rnd.choice(families)() if line]

    def near_one(self) -> str:
        return self.rnd.choice(["0.9", "0.99", "1", "1.01", "2"])

    def equilibrium(self) -> list[str]:
        """Y' = -a Y + c φ(… Y), perhaps with a second state that Y drives."""
        name = self.rnd.choice(list(SLOPES))
        word = self.word()
        skew = f"({word} - {self.adjoint(word)})"
        square = f"{self.adjoint(word)} {word}"
        inside = self.rnd.choice(["Y", f"(I - {square}) Y", f"(I + {skew}) Y", f"{skew} Y"])
        drive = f"{self.near_one()} {name}({inside})"
        second = f"Z' = -{self.near_one()} Z + tanh({self.near_one()} relu(Z)) + {self.word()} Y"
        return [f"Y' = -{self.near_one()} Y + {drive}", second if len(self.states) > 1 else ""]

    def potential(self) -> list[str]:
        """Y' = -a Kᵀ K Y ± c Kᵀ φ(K Y), or the same with friction in second order."""
        self.states = ("Y",)
        word, name = self.word(), self.rnd.choice(list(SLOPES))
        force = f"{self.near_one()} {self.adjoint(word)} {word} Y"
        unit = f"{self.rnd.choice(['0.1', '1', '8'])} {self.adjoint(word)} {name}({word} Y)"
        sign = self.rnd.choice("+-")
        order = self.rnd.choice(["Y' =", "Y'' = - Y' "])
        return [f"{order} -{force} {sign} {unit}"]

    def diagonally_weighted(self) -> list[str]:
        """Y' = d (K ± Kᵀ) d φ(Y), with powers of d."""
        self.states = ("Y",)
        word, left_factor = self.word(), self.rnd.choice(["d1", "d1 d1", "d1 d1 d1"])
        right_factor = self.rnd.choice(["", "d1 ", "d1 d1 "])
        sign = self.rnd.choice("-+-")
        matrix = f"({word} {sign} {self.adjoint(word)})"
        return [f"Y' = {left_factor} {matrix} {right_factor}{self.unit('Y')}"]

    def left_transformed(self) -> list[str]:
        """Y'' = -Aᵀ A Kᵀ φ(K Y) - Y', a force that is seen through Aᵀ A."""
        self.states = ("Y",)
        word, other = self.word(1), self.word(1)
        unit = f"{self.adjoint(other)} {self.unit(f'{other} Y')}"
        friction = self.rnd.choice(["- Y'", "", "- 0.1 Y'", "+ 0.1 Y'"])
        return [f"Y'' = - {self.adjoint(word)} {word} {unit} {friction}"]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_no_verdict_near_the_conditions_is_contradicted(rnd: Random, seed: int):
    model = load_model(NearMissSpec(rnd).text())
    check_certificate(model, certify(model), np.random.default_rng(seed))


# --- scalings C whose entries are numbers ---


def rational(rows: list[list[int]]) -> RationalMatrix:
    return tuple(tuple(Fraction(entry) for entry in row) for row in rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.randoms(use_true_random=False))
def test_a_scaling_exists_for_every_hurwitz_matrix_and_for_no_unstable_one(size: int, rnd: Random):
    """C > 0 with C M + (C M)ᵀ ≤ 0 exists if M is Hurwitz (Lyapunov), and not if M is unstable."""
    matrix = [[rnd.randint(-3, 3) for _ in range(size)] for _ in range(size)]
    scalings = list(scaling_candidates(rational(matrix)))
    largest = max(np.linalg.eigvals(np.array(matrix, dtype=float)).real)
    if largest < -1e-9:
        assert scalings
    for c in scalings:
        assert is_positive_definite(c)
        assert np.linalg.eigvalsh(np.array(c, dtype=float)).min() > 0
    if largest > 1e-9:
        products = [np.array(c, dtype=float) @ np.array(matrix) for c in scalings]
        assert all(np.linalg.eigvalsh(CM + CM.T).max() > 0 for CM in products)


def test_a_scaling_of_numbers_proves_nothing_where_decays_differ():
    """The determinant of the 3 x 3 Jacobian is 1/10 > 0, so an eigenvalue is positive."""
    text = "state X, Y, Z\nX' = -1/10 X + 2 Y\nY' = -X + Z\nZ' = Y"
    assert not certify(load_model(text)).proved


@pytest.mark.parametrize(
    ("rows", "definite"),
    [([[2, 1], [1, 1]], True), ([[1, 1], [1, 1]], False), ([[1, 2], [2, 1]], False),
     ([[1, 0], [1, 1]], False), ([[-1, 0], [0, 1]], False)],
)  # fmt: skip
def test_definiteness_is_decided_exactly(rows: list[list[int]], definite: bool):
    assert is_positive_definite(rational(rows)) == definite


def test_a_bound_is_not_used_where_a_norm_scales_the_slopes():
    text = "state Y\nparam N : norm(batch)\nY' = -9 Y + tanh(N(Y))"
    assert not certify(load_model(text)).proved


def test_a_learned_number_inside_a_chain_has_no_bound():
    text = "state Y\nparam g : scalar\nY' = -9 Y + tanh(g g tanh(Y))"
    assert not certify(load_model(text)).proved
    assert certify(load_model(text.replace("g g", "8").replace("param g : scalar\n", ""))).proved


def test_a_change_of_variables_from_the_left_gives_no_energy():
    certificate = certify(load_model(with_states(f"{AK}Y'' = -A^T A K^T tanh(K Y) - Y'")))
    (part,) = certificate.parts
    assert certificate.energy is None and part.expanded_unit is not None


def test_the_certificate_carries_the_scaling_and_the_allowance():
    """The allowance of a unit is what a decay γ makes up for, γ/s for slopes of at most s."""
    certificate = certify(load_model(with_states("X' = V\nV' = A\nA' = -3 A - 3 V - X"))).to_json()
    assert certificate["parts"][0]["scaling"][0] == ["13/4 I", "13/16 I", "31/16 I"]
    certificate = certify(load_model(with_states("Y' = -Y + 3 sigmoid(Y)"))).to_json()
    part = certificate["parts"][0]
    assert (part["allowance"], part["rate"], part["slopes"]) == (["3"], "1/4", [["0", "1/4"]])
