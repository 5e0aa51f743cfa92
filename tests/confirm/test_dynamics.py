"""The numerical check of certificates confirms right ones and catches those of a broken prover.

Wrong functions are put into the prover. The check itself is compared with the generated module.
"""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

import odenet
from odenet.analyse import certificate, certify, energy, read_units, units
from odenet.analyse.operator_algebra import ZERO_OPERATOR
from odenet.analyse.units import System, Unit
from odenet.confirm import Disagreement, confirmed_certificate
from odenet.confirm.dynamics import FIRST_SEED
from odenet.confirm.evaluation import Evaluation
from odenet.confirm.random_point import Point, draw_point
from odenet.confirm.unit_form import jacobian, state_velocity
from odenet.model.typed.program import Model
from tests.analyse.specs import RandomSpec, load_model
from tests.confirm.fault_injection import replace_everywhere

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.ode"))

# chains of the same activations, with the number 2 or the bias b in another place
OTHER_NUMBER = "state Y\nparam K : dense\n"
OTHER_NUMBER += "Y' = K^T tanh(sigmoid(2 tanh(K Y))) - K^T tanh(2 sigmoid(tanh(K Y)))\n"
HAMILTONIAN = "state Y, Z\nparam K : dense\nparam b : bias\n"
HAMILTONIAN += "Y' = K^T tanh(K Z + b)\nZ' = -2 K^T tanh(K Y)\n"
OTHER_BIAS = "state Y, Z\nparam K : dense\nparam b : bias\n"
OTHER_BIAS += "Y' = K^T tanh(tanh(K Z) + b)\nZ' = -K^T tanh(tanh(K Z + b))\n"
DAMPED = "state Y\nparam K : dense\nY'' = -K^T tanh(K Y) - Y'\n"

# right functions that wrong ones call
original_read_system, original_read_energy = read_units.read_system, energy.read_energy


def disagreement(text: str) -> str:
    """The message with which the numerical check refutes the certificate of a spec."""
    model = load_model(text)
    with pytest.raises(Disagreement) as error:
        confirmed_certificate(model, certify(model))
    assert error.value.seed >= FIRST_SEED
    return str(error.value)


# --- planted faults ------------------------------------------------------------------------------


def merge_similar_units(model: Model, reader, keep_affine: bool = False) -> System:
    """Merges units with the same activations and the same R, whatever numbers and biases differ."""
    system = original_read_system(model, reader, keep_affine)
    merged: dict[object, Unit] = {}
    for unit in system.units:
        key = (*sorted(map(str, unit.stages)), frozenset(unit.row.items()))
        first = merged.setdefault(key, replace(unit, column={}))
        column = {
            state: first.column.get(state, ZERO_OPERATOR) + unit.column.get(state, ZERO_OPERATOR)
            for state in {*first.column, *unit.column}
        }
        merged[key] = replace(first, column=column)
    return system.with_units(merged.values())


def test_a_merge_of_units_that_ignores_where_numbers_are_is_caught(monkeypatch: pytest.MonkeyPatch):
    assert not certify(load_model(OTHER_NUMBER)).proved
    replace_everywhere(monkeypatch, read_units.read_system, merge_similar_units)
    assert certify(load_model(OTHER_NUMBER)).verdict == "imaginary"
    assert "is not the Jacobian" in disagreement(OTHER_NUMBER)
    assert "is not the Jacobian" in disagreement(OTHER_BIAS)


def test_an_energy_with_a_wrong_sign_is_caught(monkeypatch: pytest.MonkeyPatch):
    def energy_with_a_flipped_sign(*arguments):
        right = original_read_energy(*arguments)
        first, *others = right.terms
        negative = odenet.model.expressions.expr.Sum(((-1, first.coefficient),))
        term = replace(first, coefficient=negative)
        return replace(right, terms=(term, *others))

    replace_everywhere(monkeypatch, energy.read_energy, energy_with_a_flipped_sign)
    assert "dE/dt = " in disagreement(HAMILTONIAN)


def test_a_false_claim_that_an_energy_is_conserved_is_caught(monkeypatch: pytest.MonkeyPatch):
    def conserved_energy(*arguments):
        return replace(original_read_energy(*arguments), conserved=True)

    replace_everywhere(monkeypatch, energy.read_energy, conserved_energy)
    assert "not = 0" in disagreement(DAMPED)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (HAMILTONIAN, "real"),
        (DAMPED, "imaginary"),
        (OTHER_NUMBER, "stable"),
        (OTHER_NUMBER, "imaginary"),
    ],
)
def test_a_verdict_that_eigenvalues_contradict_is_caught(text: str, wrong):
    model = load_model(text)
    right = certify(model)
    with pytest.raises(Disagreement, match="an eigenvalue"):
        confirmed_certificate(
            model, certificate.Certificate(verdict=wrong, assumptions=right.assumptions)
        )


@pytest.mark.parametrize("change", ["matrix", "squares", "units"])
def test_a_proof_whose_matrices_do_not_fit_is_caught(change: str):
    model = load_model(DAMPED)
    right = certify(model)
    (part,) = right.parts
    wrong = {
        "matrix": {"matrix": tuple(tuple(-op for op in row) for row in part.matrix)},
        "squares": {"squares": ()},
        "units": {"units": tuple(replace(u, column=dict(u.row)) for u in part.units)},
    }[change]
    with pytest.raises(Disagreement):
        confirmed_certificate(model, replace(right, parts=(replace(part, **wrong),)))


def test_a_negative_slope_is_caught_where_monotonicity_is_used(monkeypatch: pytest.MonkeyPatch):
    replace_everywhere(monkeypatch, units.nonmonotone_activation, lambda unit, model: None)
    text = "state Y\nparam K : dense\nY' = -K^T sin(K Y)\n"
    assert "slope" in disagreement(text)


# --- what is right is confirmed ------------------------------------------------------------------


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_the_certificate_of_a_shipped_spec_is_confirmed(file: Path):
    model = odenet.load(file).model
    assert confirmed_certificate(model, certify(model)) == certify(model)


CONFIRMED = {
    "an assumed sign": "param g : scalar\nY' = tanh((K - K^T - g I) Y)",
    "an assumed gain": "param N : norm(batch)\nY' = -K^T relu(N(K Y))",
    "a gate": "param d : diag\nY' = (K - K^T) (d tanh(Y)) + u",
    "a map that reads no state": "map f = conv(3) -> gn(1) -> relu\nY' = -K^T tanh(K Y) + f(u)",
    "a kernel in groups": "param W : conv(3, groups = 2, dilation = 2)\nY' = -W^T tanh(W Y) - K^T K Y",
    "a wider layer": "param W : conv(1, out = 3c)\nY' = -W^T tanh(W Y) - K^T K Y",
    "slopes among the linear terms": "Y' = (K - K^T) Y - K^T tanh(K Y)",
    "a change of variables": "Y'' = -tanh(K^T K Y)",
}


@pytest.mark.parametrize("name", CONFIRMED)
def test_a_proof_is_confirmed_under_its_assumptions(name: str):
    model = load_model(f"state Y\nparam K : conv(3)\n{CONFIRMED[name]}\n")
    right = certify(model)
    assert right.proved
    assert confirmed_certificate(model, right) == right


def test_a_certificate_that_cannot_be_checked_numerically_is_open(monkeypatch: pytest.MonkeyPatch):
    model = load_model(HAMILTONIAN)
    monkeypatch.setattr(Evaluation, "_activate", _raise_no_numbers)
    result = confirmed_certificate(model, certify(model))
    assert result.verdict == "open" and result.energy is None and not result.parts
    assert "not confirmed by numbers: planted" in result.reason


def _raise_no_numbers(*_):
    raise odenet.confirm.NotEvaluable("planted")


# --- the formulas on numbers are those of the module ---------------------------------------------

MIXED = "state Y, Z\nparam K : conv(3)\nparam W : conv(2, dilation = 2)\nparam N : norm(batch)\n"
MIXED += "param d : diag\nparam g : scalar\nparam b : bias\n"
MIXED += "Y' = K^T gelu(N(K Z + b)) / 3 - g silu(Y)\nZ' = (d W - 2 I) elu(Y) + b * softplus(Z)\n"


@pytest.mark.parametrize("text", [MIXED, *(RandomSpec(Random(seed)).text() for seed in range(8))])
@pytest.mark.parametrize("seed", [0, 1])
def test_rates_and_jacobian_are_those_of_torch(text: str, seed: int):
    program = odenet.loads(text if "discretise" in text else f"{text}discretise euler(h = 0.1)\n")
    point = draw_point(program.model, seed)
    flow = (
        program.flow(point.channels * program.model.dynamics.input_parts, 1, space=1)
        .double()
        .eval()
    )
    load_weights(flow, point)
    states = torch.tensor(point.state, dtype=torch.float64).reshape(
        len(program.model.dynamics.system(order=1)), 1, point.channels, point.cells
    )
    u = torch.tensor(point.input, dtype=torch.float64).reshape(1, -1, point.cells)

    def field(states: torch.Tensor) -> torch.Tensor:
        exogenous = (u,) if program.model.dynamics.reads_input else ()
        return torch.stack(flow.field((*states, *exogenous))[: len(states)])

    evaluation = Evaluation(program.model, point)
    value = torch.tensor(state_velocity(evaluation), dtype=torch.float64)
    assert torch.allclose(field(states).reshape(-1), value)
    by_autograd = torch.autograd.functional.jacobian(field, states).reshape(2 * [len(value)])
    assert torch.allclose(by_autograd, torch.tensor(jacobian(evaluation), dtype=torch.float64))


def load_weights(flow: torch.nn.Module, point: Point) -> None:
    """Put the weights of a point into a flow of one step."""
    parameters = flow.state_dict()
    for name, entries in point.weights.items():
        map_name, _, layer_path = name.partition(".")
        key = f"{map_name}.0.{layer_path}" if layer_path else name  # 0: maps of the only step
        value = torch.tensor(entries, dtype=torch.float64)
        parameters[key].copy_(value.reshape(parameters[key].shape))


def test_a_gate_that_is_zero_at_many_points_raises_no_false_alarm():
    model = load_model(
        "state Y, Z\nparam K, W : dense\n"
        "Y' = relu(u) * identity((K - K^T - 1/2 I) Y - u)\n"
        "Z' = W^T Y - W^T leaky_relu(0.2)(W Z) - 1/2 Z\n"
        "Y(0) = u\nZ(0) = u"
    )
    result = confirmed_certificate(model, certify(model))
    assert result.proved and result.parts
