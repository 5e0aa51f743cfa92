"""Dynamics are split into units φ(R s + b) whose sum Σ L φ(R s + b) has the Jacobian of the spec.

The oracle is the numerical Jacobian of the spec (odenet/analyse/jacobian.py), with the operators L
and R as matrices at a random point. Verdicts and energies are compared with numpy as well.
"""

import re
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odenet.analyse import Certificate, certify
from odenet.analyse.jacobian import FormulaEvaluator
from odenet.analyse.operator_algebra import Letter, Operator
from odenet.analyse.read_formulas import FormulaReader, Gate, OutsideTheorems
from odenet.analyse.read_units import read_system
from odenet.analyse.refute import LEAST_EXCESS, worst_eigenvalue
from odenet.analyse.sampling import draw_point, state_sizes
from odenet.analyse.units import System
from odenet.model.expressions import expr
from tests.analyse.numpy_checks import check_certificate
from tests.analyse.specs import join_terms, load_model


class OperatorMatrices:
    """Operators of the algebra as matrices, with the weights of one point."""

    def __init__(self, reader: FormulaReader, evaluator: FormulaEvaluator):
        self.reader = reader
        self.evaluator = evaluator

    def matrix(self, operator: Operator) -> np.ndarray:
        total = 0
        for word, scalar in operator.terms:
            matrix = np.eye(self.evaluator.size.channels * self.evaluator.size.grid_points)
            for letter in reversed(word):
                matrix = self.multiply(letter, matrix)
            total = total + self.evaluator.number(self.reader.number_formula(scalar)) * matrix
        return total  # type: ignore[return-value]

    def multiply(self, letter, matrix: np.ndarray) -> np.ndarray:
        """The product of a letter, an operator or a power of a diagonal, with a matrix."""
        if isinstance(letter, Letter):
            factor = self.evaluator._operator_matrix(str(self.reader.meanings[letter.name]))
            return (factor.T if letter.adjoint else factor) @ matrix
        for name, power in letter.powers:
            target = self.reader.meanings[name]
            if isinstance(target, Gate):
                assert not target.word
                leaf = target.leaf
                node = leaf if isinstance(leaf, expr.Node) else leaf.node
                values = self.evaluator.feature_map(node).value.reshape(-1)
                values = values * (getattr(leaf, "sign", 1))
            else:
                values = np.diag(self.evaluator._operator_matrix(str(target)))
            matrix = (values ** int(power))[:, None] * matrix
        return matrix


def assert_units_are_dynamics(model, system: System, reader: FormulaReader, seed: int) -> None:
    """Linear terms and Σ L_k dφ_k/ds add up to the Jacobian, and dφ_k/ds = D R_k with D >= 0."""
    rng = np.random.default_rng(seed)
    sizes = state_sizes(model)
    size = sizes[int(rng.integers(len(sizes)))]
    point = draw_point(model, size, rng)
    evaluator = FormulaEvaluator(model, point, size)
    matrices, width = OperatorMatrices(reader, evaluator), size.channels * size.grid_points
    jacobian = evaluator.value_and_jacobian()[1]
    start = {state: i * width for i, state in enumerate(system.states)}
    total = np.zeros_like(jacobian)
    for (i, j), operator in system.linear_terms.items():
        entries = np.s_[start[i] : start[i] + width, start[j] : start[j] + width]
        total[entries] += matrices.matrix(operator)
    for unit in system.units:
        assert unit.formula is not None
        derivative = evaluator.feature_map(unit.formula).derivative.reshape(width, -1)
        slopes = unit.formula_sign * derivative
        for i, operator in unit.column.items():
            total[start[i] : start[i] + width] += matrices.matrix(operator) @ slopes
        row = np.zeros((width, len(jacobian)))
        for state, operator in unit.row.items():
            row[:, start[state] : start[state] + width] = matrices.matrix(operator)
        squared_norms = (row**2).sum(1)
        ratios = (row * slopes).sum(1) / np.where(squared_norms > 0, squared_norms, 1)
        scale = 1 + abs(slopes).max()
        assert (ratios > -1e-9 * scale).all(), f"{unit.text} decreases"
        assert np.allclose(ratios[:, None] * row, slopes, atol=1e-8 * scale), unit.text
    assert np.allclose(total, jacobian, atol=1e-8 * (1 + abs(jacobian).max())), model.source.text


class RandomChains:
    """A random spec of one or two states: sums of chains of activations that are nearly equal."""

    def __init__(self, rnd: Random):
        self.rnd = rnd

    def text(self) -> str:
        states = ["Y", "Z"][: self.rnd.choice([1, 2])]
        declarations = [
            f"state {', '.join(states)}", "param K : dense", "param d : diag", "param b1, b2 : bias",
            "param g : scalar", "let a = -0.7", "param N : norm(batch)"]  # fmt: skip
        equations = []
        for state in states:
            terms = [self.term(self.rnd.choice(states)) for _ in range(self.rnd.randint(1, 4))]
            equations.append(f"{state}' = {join_terms(terms)}")
        if len(states) > 1:  # u is as wide as all states together
            equations = [re.sub(r"\bu\b", "b2", line) for line in equations]
        body = " ".join(equations)
        kept = [
            line for line in declarations
            if not line.startswith(("param", "let"))
            or any(_occurs(name, body) for name in _declared_names(line))
        ]  # fmt: skip
        kept = [_without_unused(line, body) for line in kept]
        return "\n".join([*kept, *equations])

    def term(self, state: str) -> str:
        gate = self.rnd.choice(["", "", "", "b1 * ", "tanh(u + b2) * ", "sigmoid(b1 + u) * "])
        operator = self.rnd.choice(["", "K^T ", "2 K^T ", "g K ", "d K^T "])
        return f"{self.rnd.choice('+-')} {operator}({gate}{self.chain(state)})"

    def chain(self, state: str) -> str:
        inside = self.rnd.choice([f"K {state}", f"-K {state}", f"K {state} + b1", state])
        for _ in range(self.rnd.randint(1, 3)):
            name = self.rnd.choice(["tanh", "tanh", "sigmoid", "relu", "leaky_relu(0.1)",
                                    "leaky_relu(0.2)", "N", "identity"])  # fmt: skip
            number = self.rnd.choice(["", "", "2 ", "-2 ", "a ", "1/2 "])
            offset = self.rnd.choice(["", "", "", " + b1", " - b2", " + u", " + 2 b1"])
            inside = f"{number}{name}({inside}){offset}".replace("- -", "+ ")
        return f"({inside})"


def _declared_names(line: str) -> list[str]:
    declaration = line.split(":")[0].split("=")[0]
    return declaration.replace("param", "").replace("let", "").replace(" ", "").split(",")


def _occurs(name: str, body: str) -> bool:
    return re.search(rf"\b{name}\b", body) is not None


def _without_unused(line: str, body: str) -> str:
    """A `param` line without the names that do not occur in the equations."""
    if not line.startswith("param"):
        return line
    kind = line.split(":")[1]
    return f"param {', '.join(n for n in _declared_names(line) if _occurs(n, body))} :{kind}"


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_units_add_up_to_the_dynamics(rnd: Random, seed: int):
    model = load_model(RandomChains(rnd).text())
    for keep_affine in (False, True):
        reader = FormulaReader(model)
        try:
            system = read_system(model, reader, keep_affine)
        except OutsideTheorems:
            return
        assert_units_are_dynamics(model, system, reader, seed)
    check_certificate(model, certify(model), np.random.default_rng(seed))


def test_most_random_chains_are_within_the_theorems():
    inside = 0
    for seed in range(60):
        model = load_model(RandomChains(Random(seed)).text())
        try:
            read_system(model, FormulaReader(model))
            inside += 1
        except OutsideTheorems:
            pass
    assert inside >= 40


CHAIN = "tanh(sigmoid(2 tanh(K Y)))"
# what they differ in -> two functions
UNEQUAL = {
    "numbers": (CHAIN, "tanh(2 sigmoid(tanh(K Y)))"),
    "numbers outside": (CHAIN, "2 tanh(sigmoid(tanh(K Y)))"),
    "offsets": ("tanh(sigmoid(K Y) + b)", "tanh(sigmoid(K Y + b))"),
    "offsets of an inner stage": ("tanh(relu(tanh(K Y) + b))", "tanh(relu(tanh(K Y)) + b)"),
    "numbers of offsets": ("tanh(sigmoid(K Y) + 2 b)", "tanh(2 sigmoid(K Y) + b)"),
    "signs": ("tanh(2 sigmoid(K Y) - b)", "tanh(2 sigmoid(K Y) + b)"),
    "stages": ("tanh(sigmoid(K Y))", "sigmoid(tanh(K Y))"),
    "constants": ("leaky_relu(0.1)(K Y)", "leaky_relu(0.2)(K Y)"),
    "norms": ("relu(N(tanh(K Y)))", "N(relu(tanh(K Y)))"),
    "two norms": ("relu(N(P(K Y)))", "relu(P(N(K Y)))"),
    "the input": ("tanh(relu(K Y) + u)", "tanh(relu(K Y + u))"),
    "functions of the input": ("tanh(K Y + tanh(u + b))", "tanh(K Y + tanh(u) + b)"),
    "a sign inside what is not odd": ("sigmoid(K Y)", "sigmoid(-K Y)"),
}


def difference_spec(first: str, second: str) -> str:
    """A spec whose right-hand side is the difference of two functions, each after K^T."""
    names = [n for n in ("K : dense", "b : bias", "N : norm(batch)", "P : norm(batch)")
             if _occurs(n[0], first + second)]  # fmt: skip
    params = "\n".join(f"param {name}" for name in names)
    return f"state Y\n{params}\nY' = K^T ({first}) - K^T ({second})"


@pytest.mark.parametrize("name", UNEQUAL)
def test_functions_that_differ_are_two_units(name: str):
    model = load_model(difference_spec(*UNEQUAL[name]))
    system = read_system(model, FormulaReader(model))
    assert len(system.units) == 2
    assert not certify(model).proved


def conserves_energy(certificate: Certificate) -> bool:
    return certificate.energy is not None and certificate.energy.conserved


def test_a_difference_of_two_chains_is_not_antisymmetric():
    text = difference_spec("tanh(sigmoid(2 tanh(K Y)))", "tanh(2 sigmoid(tanh(K Y)))")
    model = load_model(text)
    certificate = certify(model)
    assert not certificate.proved and not conserves_energy(certificate)
    size = state_sizes(model)[0]
    excesses = [
        worst_eigenvalue(FormulaEvaluator(model, draw_point(model, size, np.random.default_rng(seed)),
                                    size).value_and_jacobian()[1], "imaginary").excess
        for seed in range(10)
    ]  # fmt: skip
    assert max(excesses) > LEAST_EXCESS


def test_two_unequal_chains_of_one_argument_conserve_no_energy():
    text = "state Y, Z\nparam K : dense\n"
    text += "Y' = K^T tanh(sigmoid(2 tanh(K Z)))\nZ' = -K^T tanh(2 sigmoid(tanh(K Y)))"
    model = load_model(text)
    assert "Ψ₁'(t) = tanh(sigmoid(2 tanh(t)))" in str(certify(model).energy)
    assert "Ψ₂'(t) = tanh(2 sigmoid(tanh(t)))" in str(certify(model).energy)
    first_equation = "state Y, Z\nparam K : dense\nY' = K^T tanh(2 sigmoid(tanh(K Y + K Z)))\n"
    unequal = first_equation + "Z' = -K^T tanh(sigmoid(2 tanh(K Y + K Z)))"
    certificate = certify(load_model(unequal))
    assert not certificate.proved and not conserves_energy(certificate)
    equal = certify(load_model(first_equation + "Z' = -K^T tanh(2 sigmoid(tanh(K Y + K Z)))"))
    assert equal.verdict == "imaginary" and len(equal.parts[0].units) == 1


# what makes them equal -> two functions
EQUAL = {
    "order": ("tanh(K Y + b)", "tanh(b + K Y)"),
    "distribution": ("tanh(2 (K Y + b))", "tanh(2 b + 2 K Y)"),
    "oddness": ("tanh(K Y)", "-tanh(-K Y)"),
    "oddness with an offset": ("tanh(K Y + b)", "-tanh(-b - K Y)"),
    "oddness inside": ("relu(-2 tanh(K Y))", "relu(2 tanh(-K Y))"),
    "oddness through a chain": ("tanh(3 tanh(K Y))", "-tanh(-3 tanh(K Y))"),
    "functions of the input": ("tanh(K Y + relu(u - b))", "tanh(relu(-b + u) + K Y)"),
    "products without states": ("tanh(K Y + u * b)", "tanh(b * u + K Y)"),
}


@pytest.mark.parametrize("name", EQUAL)
def test_functions_that_are_equal_are_one_unit(name: str):
    model = load_model(difference_spec(*EQUAL[name]))
    system = read_system(model, FormulaReader(model))
    assert system.units == () and not system.linear_terms


def test_a_unit_is_printed_as_written_with_a_minus_where_it_falls():
    shown = {}
    for rate in ("tanh(-K Y)", "relu(-2 tanh(K Y))", "tanh(-2 tanh(K Y) + b)"):
        names = "\n".join(f"param {n}" for n in ("K : dense", "b : bias") if _occurs(n[0], rate))
        model = load_model(f"state Y\n{names}\nY' = K^T {rate}")
        (unit,) = read_system(model, FormulaReader(model)).units
        shown[rate] = (unit.text, str(next(iter(unit.column.values()))))
        assert unit.formula_sign == (-1 if unit.text.startswith("-") else 1)
    assert shown == {
        "tanh(-K Y)": ("tanh(-K Y)", "Kᵀ"),
        "relu(-2 tanh(K Y))": ("-relu(-2 tanh(K Y))", "-Kᵀ"),
        "tanh(-2 tanh(K Y) + b)": ("-tanh(-2 tanh(K Y) + b)", "-Kᵀ"),
    }


# --- the energy of a chain ---


def energy_of(unit: str) -> str:
    """The energy of Y' = -K^T unit, as it is printed."""
    rate = f"-K^T {unit}"
    names = [n for n in ("K : dense", "b : bias", "N : norm(batch)") if _occurs(n[0], rate)]
    params = "\n".join(f"param {name}" for name in names)
    energy = certify(load_model(f"state Y\n{params}\nY' = {rate}")).energy
    assert energy is not None
    assert bool(energy.terms) != bool(energy.obstacle)
    return f"{energy.formula} with {', '.join(energy.primitives)}"


def test_the_energy_of_a_chain_names_its_own_primitive():
    assert energy_of("N(K Y)") == "1ᵀΨ₁(K Y) with Ψ₁'(t) = N(t)"
    assert energy_of("relu(N(K Y) + b)") == "1ᵀΨ₁(K Y) with Ψ₁'(t) = relu(N(t) + b)"
    assert energy_of("(2 N(K Y + b))") == "1ᵀΨ₁(K Y + b) with Ψ₁'(t) = N(t)"
    assert energy_of("tanh(2 sigmoid(K Y))") == "1ᵀΨ₁(K Y) with Ψ₁'(t) = tanh(2 sigmoid(t))"
    assert energy_of("tanh(K Y + b)") == "1ᵀΨ(K Y + b) with Ψ' = tanh"
    assert energy_of("(K Y)") == "½ |Y|² with "


# --- products ---

# name -> right-hand side, verdict
PRODUCTS = {
    "a function times itself": ("-K^T (relu(K Y) * relu(K Y))", "real"),
    "two functions of one argument": ("-K^T (relu(K Y) * sigmoid(K Y))", "real"),
    "falling functions": ("K^T (relu(-K Y) * softplus(-K Y))", "real"),
    "three, inside another": ("-K^T tanh(relu(K Y) * relu(K Y) * relu(K Y))", "real"),
    "a sum times a function": ("-K^T ((relu(K Y) + 2 sigmoid(K Y)) * softplus(K Y))", "real"),
    "a chain among them": ("-K^T (relu(tanh(K Y)) * sigmoid(K Y))", "real"),
    "functions that have both signs": ("-K^T (tanh(K Y) * tanh(K Y))", "open"),
    "a rising and a falling one": ("-K^T (relu(K Y) * relu(-K Y))", "open"),
    "different arguments": ("-K^T (relu(K Y) * relu(2 K Y))", "open"),
    "different operators": ("-K^T (relu(K Y) * relu(Y))", "open"),
    "a state": ("-K^T (Y * Y)", "open"),
    "one that is not monotone": ("-K^T (relu(gelu(K Y)) * sigmoid(K Y))", "open"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_one_unit_where_it_is_monotone(name: str):
    rate, verdict = PRODUCTS[name]
    model = load_model(f"state Y\nparam K : dense\nY' = {rate}")
    certificate = certify(model)
    assert certificate.verdict == verdict
    for seed in range(10):
        check_certificate(model, certificate, np.random.default_rng(seed))
        if verdict != "open":
            reader = FormulaReader(model)
            assert_units_are_dynamics(model, read_system(model, reader), reader, seed)


def test_the_slope_of_a_product_has_no_bound():
    model = load_model("state Y\nY' = -9 Y + relu(Y) * relu(Y)")
    assert certify(model).verdict == "open"


# --- energies whose terms have any sign ---

# name -> equation, verdict on the spectrum, energy that does not grow
NONINCREASING_ENERGIES = {
    "Hopfield": ("Y' = -Y + K^T tanh(K Y)", "open", "½ |Y|² - 1ᵀΨ(K Y)"),
    "a gradient ascent": ("Y' = K^T tanh(K Y)", "open", "-1ᵀΨ(K Y)"),
    "with an offset": ("Y' = -2 Y + 3 K^T sigmoid(K Y + b)", "open", "½ |Y|² - 3/2 1ᵀΨ(K Y + b)"),
    "not monotone": ("Y' = -Y + K^T sin(K Y)", "open", "½ |Y|² - 1ᵀΨ(K Y)"),
    "preconditioned": ("Y' = -W^T W (Y - K^T tanh(K Y))", "open", "½ |Y|² - 1ᵀΨ(K Y)"),
    "stable as well": ("Y' = -Y + tanh(Y)", "real", "½ |Y|² - 1ᵀΨ(Y)"),
}


@pytest.mark.parametrize("name", NONINCREASING_ENERGIES)
def test_an_energy_falls_whether_or_not_the_spectrum_is_proved_stable(name: str):
    equation, verdict, formula = NONINCREASING_ENERGIES[name]
    types = {"K": "dense", "W": "dense", "b": "bias"}
    params = "\n".join(f"param {n} : {t}" for n, t in types.items() if _occurs(n, equation))
    model = load_model(f"state Y\n{params}\n{equation}")
    certificate = certify(model)
    assert certificate.verdict == verdict
    energy = certificate.energy
    assert energy is not None and energy.terms and not energy.conserved
    assert energy.formula == formula
    for seed in range(20):
        check_certificate(model, certificate, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "equation",
    ["Y' = -Y + W^T tanh(K Y)", "Y' = -Y + K tanh(K Y)", "Y' = -Y + K^T tanh(K Y) + b"],
)
def test_no_energy_is_found_where_the_equation_is_not_a_gradient_flow(equation: str):
    types = {"K": "dense", "W": "dense", "b": "bias"}
    params = "\n".join(f"param {n} : {t}" for n, t in types.items() if _occurs(n, equation))
    assert certify(load_model(f"state Y\n{params}\n{equation}")).energy is None
