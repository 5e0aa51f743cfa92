"""What a certificate says is compared with numbers, which catch what a broken prover would say."""

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

PLACES = "state Y\nparam K : dense\n"
PLACES += "Y' = K^T tanh(sigmoid(2 tanh(K Y))) - K^T tanh(2 sigmoid(tanh(K Y)))\n"
HAMILTONIAN = "state Y, Z\nparam K : dense\nparam b : bias\n"
HAMILTONIAN += "Y' = K^T tanh(K Z + b)\nZ' = -2 K^T tanh(K Y)\n"
TWINS = "state Y, Z\nparam K : dense\nparam b : bias\n"
TWINS += "Y' = K^T tanh(tanh(K Z) + b)\nZ' = -K^T tanh(tanh(K Z + b))\n"
DAMPED = "state Y\nparam K : dense\nY'' = -K^T tanh(K Y) - Y'\n"


def caught(text: str) -> str:
    """What the numbers say against the certificate of a spec."""
    model = load_model(text)
    with pytest.raises(Disagreement) as found:
        confirmed_certificate(model, certify(model))
    assert found.value.seed >= FIRST_SEED
    return str(found.value)


# --- planted faults ------------------------------------------------------------------------------


def forgetting_places(model: Model, reader, whole: bool = False) -> System:
    """Units with the same activations and the same R are merged, whatever stands between."""
    system = right_units(model, reader, whole)
    merged: dict[object, Unit] = {}
    for unit in system.units:
        key = (*sorted(map(str, unit.stages)), frozenset(unit.row.items()))
        one = merged.setdefault(key, replace(unit, column={}))
        column = {
            state: one.column.get(state, ZERO_OPERATOR) + unit.column.get(state, ZERO_OPERATOR)
            for state in {*one.column, *unit.column}
        }
        merged[key] = replace(one, column=column)
    return system.with_units(merged.values())


right_units, right_energy = read_units.read_system, energy.read_energy


def test_a_merge_of_units_that_forgets_places_is_caught(monkeypatch: pytest.MonkeyPatch):
    right = certify(load_model(PLACES))
    assert not right.proved
    replace_everywhere(monkeypatch, read_units.read_system, forgetting_places)
    assert certify(load_model(PLACES)).verdict == "imaginary"
    assert "is not the Jacobian" in caught(PLACES)
    assert "is not the Jacobian" in caught(TWINS)


def test_an_energy_with_a_wrong_sign_is_caught(monkeypatch: pytest.MonkeyPatch):
    def flipped(*arguments):
        found = right_energy(*arguments)
        first, *others = found.terms
        term = replace(first, weight=odenet.model.expressions.expr.Sum(((-1, first.weight),)))
        return replace(found, terms=(term, *others))

    replace_everywhere(monkeypatch, energy.read_energy, flipped)
    assert "dE/dt = " in caught(HAMILTONIAN)


def test_an_energy_of_another_rate_is_caught(monkeypatch: pytest.MonkeyPatch):
    def conserved(*arguments):
        return replace(right_energy(*arguments), conserved=True)

    replace_everywhere(monkeypatch, energy.read_energy, conserved)
    assert "not = 0" in caught(DAMPED)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(HAMILTONIAN, "real"), (DAMPED, "imaginary"), (PLACES, "stable"), (PLACES, "imaginary")],
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
    assert "slope" in caught(text)


# --- what is right is confirmed ------------------------------------------------------------------


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_what_is_said_of_a_shipped_spec_is_confirmed(file: Path):
    program = odenet.load(file).model
    assert confirmed_certificate(program, certify(program)) == certify(program)


CONFIRMED = {
    "a sign that is taken": "param g : scalar\nY' = tanh((K - K^T - g I) Y)",
    "a gain that is taken": "param N : norm(batch)\nY' = -K^T relu(N(K Y))",
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


def test_what_has_no_numerical_model_is_open(monkeypatch: pytest.MonkeyPatch):
    model = load_model(HAMILTONIAN)
    monkeypatch.setattr(Evaluation, "_activate", _unknown)
    found = confirmed_certificate(model, certify(model))
    assert found.verdict == "open" and found.energy is None and not found.parts
    assert "not confirmed by numbers: planted" in found.reason


def _unknown(*_):
    raise odenet.confirm.NoNumbers("planted")


# --- the formulas on numbers are those of the module ---------------------------------------------

MIXED = "state Y, Z\nparam K : conv(3)\nparam W : conv(2, dilation = 2)\nparam N : norm(batch)\n"
MIXED += "param d : diag\nparam g : scalar\nparam b : bias\n"
MIXED += "Y' = K^T gelu(N(K Z + b)) / 3 - g silu(Y)\nZ' = (d W - 2 I) elu(Y) + b * softplus(Z)\n"


@pytest.mark.parametrize("text", [MIXED, *(RandomSpec(Random(seed)).text() for seed in range(8))])
@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_are_those_of_torch(text: str, seed: int):
    program = odenet.loads(text if "discretise" in text else f"{text}discretise euler(h = 0.1)\n")
    point = draw_point(program.model, seed)
    flow = (
        program.flow(point.channels * program.model.dynamics.input_parts, 1, space=1)
        .double()
        .eval()
    )
    load(flow, point)
    states = torch.tensor(point.state, dtype=torch.float64).reshape(
        len(program.model.dynamics.system(1)), 1, point.channels, point.cells
    )
    read = torch.tensor(point.input, dtype=torch.float64).reshape(1, -1, point.cells)

    def field(states: torch.Tensor) -> torch.Tensor:
        exogenous = (read,) if program.model.dynamics.exogenous else ()
        return torch.stack(flow.field((*states, *exogenous))[: len(states)])

    evaluation = Evaluation(program.model, point)
    value = torch.tensor(state_velocity(evaluation), dtype=torch.float64)
    assert torch.allclose(field(states).reshape(-1), value)
    slope = torch.autograd.functional.jacobian(field, states).reshape(len(value), len(value))
    assert torch.allclose(slope, torch.tensor(jacobian(evaluation), dtype=torch.float64))


def load(flow: torch.nn.Module, point: Point) -> None:
    """Put the weights of a point into a flow of one step."""
    state = flow.state_dict()
    for name, entries in point.weights.items():
        head, _, tail = name.partition(".")
        key = f"{head}.0.{tail}" if tail else name
        value = torch.tensor(entries, dtype=torch.float64)
        state[key].copy_(value.reshape(state[key].shape))


def test_a_gate_that_is_zero_at_many_points_raises_no_false_alarm():
    model = load_model(
        "state Y, Z\nparam K, W : dense\n"
        "Y' = relu(u) * identity((K - K^T - 1/2 I) Y - u)\n"
        "Z' = W^T Y - W^T leaky_relu(0.2)(W Z) - 1/2 Z\n"
        "Y(0) = u\nZ(0) = u"
    )
    found = confirmed_certificate(model, certify(model))
    assert found.proved and found.parts
