"""The numerical Jacobian of the dynamics is their derivative, and their values are those of torch.

Independent routes: difference quotients, torch autograd, and the generated module.
"""

from random import Random

import numpy as np
import pytest
import torch

import odenet
from odenet.analyse.dual_numbers import conv_matrix
from odenet.analyse.jacobian import FormulaEvaluator, jacobian
from odenet.analyse.sampling import Point, StateSize, draw_point, state_sizes
from odenet.model.tables import activations
from odenet.runtime import conv
from odenet.runtime.learned import operators
from tests.analyse.specs import RandomSpec, load_model

NORMS_AND_GATES = (
    "state Y, Z\nparam K : conv(3)\nparam N : norm(group = 1)\nparam b : bias\nparam g : scalar\n"
)
NORMS_AND_GATES += "Y' = K^T tanh(N(K Z + b)) * Z\nZ' = (1 - g) silu(Y) / 3 - softplus(g Y)"
MAPS = "state Y\nmap f = gn(1) -> elu -> conv(3, bias = yes) -> bn -> dropout(0.5) -> conv(2)\n"
MAPS += "Y' = f(Y)"


@pytest.mark.parametrize(
    "text", [NORMS_AND_GATES, MAPS, *(RandomSpec(Random(seed)).text() for seed in range(12))]
)
def test_the_jacobian_is_the_derivative_of_the_right_hand_side(text: str):
    model = load_model(text)
    rng = np.random.default_rng(0)
    for size in state_sizes(model)[-2:]:  # the largest two of the small sizes
        point = draw_point(model, size, rng)
        computed = jacobian(model, point, size)
        direction = rng.standard_normal(len(point.state))

        def rate(t: float, point=point, size=size, direction=direction) -> np.ndarray:
            shifted = Point(point.weights, point.state + t * direction, point.input)
            return FormulaEvaluator(model, shifted, size).value_and_jacobian()[0]

        difference_quotient = (rate(1e-6) - rate(-1e-6)) / 2e-6
        tolerance = 1e-4 * (1 + abs(difference_quotient).max())
        assert np.allclose(computed @ direction, difference_quotient, rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activations_are_those_of_torch(name: str):
    row = activations.ACTIVATIONS[name]
    constants = (0.3,) * len(row.constants)
    x = torch.linspace(-3, 3, 61, dtype=torch.float64) + 0.0123  # off the kinks, as of relu at 0
    x.requires_grad_()
    code = row.code.format(*constants, x="x")
    names = {"torch": torch, "functional": torch.nn.functional, "x": x}
    y = eval(code, {**vars(operators), **vars(torch.nn.functional), **names})
    (slope,) = torch.autograd.grad(y.sum(), x)
    points = x.detach().numpy()
    assert np.allclose([row.value(point, *constants) for point in points], y.detach().numpy())
    assert np.allclose([row.derivative(point, *constants) for point in points], slope.numpy())


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_convolutions_are_those_of_torch(kernel: int, groups: int, dilation: int):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 2 // groups, kernel, kernel))
    x = rng.standard_normal((1, 2, 3, 4))
    expected = conv(
        torch.from_numpy(x), torch.from_numpy(weights), groups=groups, dilation=dilation
    )
    computed = conv_matrix(weights, (3, 4), groups, dilation) @ x.reshape(-1)
    assert np.allclose(computed, expected.numpy().reshape(-1))


SPECS = {
    "hamiltonian": "state Y, Z\nparam K : conv(3)\nparam b : bias\nparam d : diag\n"
    "Y' = K^T tanh(K Z + b)\nZ' = -K^T (d tanh(K Y))\ndiscretise verlet(h = 0.1)",
    "oscillators": "state Y\nparam K : conv(2)\nparam N : norm(batch)\nparam g : scalar\n"
    "Y'' = -K^T relu(N(K Y)) - g Y'\ndiscretise euler(h = 0.1)",
    "revnet": "state Y, Z\nmap f = bn -> relu -> conv(3)\nmap g = gn(1) -> conv(3) -> bn\n"
    "Y' = f(Z)\nZ' = g(Y)\ndiscretise verlet(h = 1)",
}


@pytest.mark.parametrize("name", SPECS)
def test_the_generated_module_has_the_same_right_hand_side(name: str):
    program = odenet.loads(SPECS[name])
    # each of the states that the input is split into has two channels
    flow = program.flow(channels=2 * program.model.dynamics.input_parts, steps=1).double().eval()
    size = StateSize(channels=2, space=(3, 3))
    point = draw_point(program.model, size, np.random.default_rng(0))
    load_weights(flow, point)
    states = point.state.reshape(len(program.model.system), 1, 2, 3, 3)
    rates = flow.field(tuple(torch.from_numpy(s) for s in states))
    expected = FormulaEvaluator(program.model, point, size).value_and_jacobian()[0]
    computed = np.concatenate([rate.detach().numpy().reshape(-1) for rate in rates])
    assert np.allclose(computed, expected)


def load_weights(flow: torch.nn.Module, point: Point) -> None:
    """Put the weights of a point into a flow of one step."""
    parameters = flow.state_dict()
    for name, tensor in point.weights.items():
        map_name, _, layer_path = name.partition(".")
        key = f"{map_name}.0.{layer_path}" if layer_path else name  # 0: maps of the only step
        value = torch.as_tensor(np.asarray(tensor), dtype=torch.float64)
        parameters[key].copy_(value.reshape(parameters[key].shape))
