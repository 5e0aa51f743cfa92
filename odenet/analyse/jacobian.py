"""The Jacobian of the dynamics at a point, evaluated numerically from the typed formulas.

It is compared with what the symbolic proofs say. It shares only the traversal of formulas
(odenet/model/expressions/fold.py) with them.
"""

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy import ndarray

from odenet.analyse.dual_numbers import DualArray, independent_variables
from odenet.analyse.sampling import Point, StateSize
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.fold import fold_arithmetic
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.norms import NORMS
from odenet.model.typed.program import Model


class CannotEvaluate(ValueError):
    """A formula contains an operation that is not implemented on numpy arrays."""


class FormulaEvaluator:
    """Evaluates formulas of a model at one point, and their derivatives with respect to the states.

    The unknowns that it differentiates by are all entries of all states of the equivalent
    first-order system, in order.

    Args:
        model: the typed program.
        point: weights, state and input.
        size: the shape of each state.
    """

    def __init__(self, model: Model, point: Point, size: StateSize):
        self.model = model
        self.weights = point.weights
        self.size = size
        self.unknown_count = len(point.state)
        self.input = point.input
        first_order_system = model.dynamics.system(order=1)
        shape = (len(first_order_system), size.channels, size.grid_points)
        states = DualArray(point.state.reshape(shape), independent_variables(shape).derivative)
        self._states = {state: states[i] for i, state in enumerate(first_order_system)}
        self._matrices: dict[str, ndarray] = {}

    def value_and_jacobian(self) -> tuple[ndarray, ndarray]:
        """All right-hand sides, of shape (unknowns,), and their (unknowns, unknowns) Jacobian."""
        rates = [self.feature_map(rate) for rate in self.model.dynamics.system(order=1).values()]
        value = np.concatenate([rate.value.reshape(-1) for rate in rates])
        jacobian = [rate.derivative.reshape(-1, self.unknown_count) for rate in rates]
        return value, np.concatenate(jacobian)

    def feature_map(self, node: expr.Node) -> DualArray:
        """The value of a formula whose values are feature maps, (channels, grid points).

        Raises:
            CannotEvaluate: it contains an operation that is not implemented on numpy arrays.
        """
        match node:
            case State():
                return self._states[node]
            case expr.Input():
                return self._constant(self.input)
            case expr.Split():  # some part of the random input; which one does not matter
                return self._constant(self.input[: self.size.channels])
            case expr.Zero():
                return self._constant(np.zeros((self.size.channels, self.size.grid_points)))
            case expr.Bias():
                column = self.weights[node.name].reshape(-1, 1)
                return self._constant(np.tile(column, (1, self.size.grid_points)))
            case expr.Sum() | expr.Product() | expr.Quotient():
                return fold_arithmetic(node, self.feature_map, self.number)
            case expr.Apply():
                return self.apply_operator(node.operator, self.feature_map(node.operand))
            case expr.Activate():
                constants = [self.number(constant) for constant in node.activation.constants]
                functions = ACTIVATIONS[node.activation.name].functions(constants)
                return self.feature_map(node.operand).pointwise(*functions)
            case expr.MapCall():
                return self._call_map(node.function.name, self.feature_map(node.operand))
            case expr.Hadamard():
                return self.feature_map(node.left) * self.feature_map(node.right)
            case _:
                raise CannotEvaluate(f"{type(node).__name__} has no numerical model")

    def number(self, node: expr.Node) -> float:
        """The value of a formula for a number."""
        match node:
            case expr.Number():
                return float(node.value)
            case expr.Constant():
                return float(self.model.constants[node.name])
            case expr.LearnedScalar():
                return float(self.weights[node.name])
            case _:
                return fold_arithmetic(node, self.number)

    def apply_operator(self, operator: expr.Node, x: DualArray) -> DualArray:
        """The value of an operator, given as a formula, applied to a feature map."""
        match operator:
            case expr.Identity():
                return x
            case expr.LearnedOperator():
                return self._multiply(self._operator_matrix(operator.name), x)
            case expr.Adjoint(expr.LearnedOperator(name)):
                return self._multiply(self._operator_matrix(name).T, x)
            case expr.Compose():
                return self.apply_operator(operator.left, self.apply_operator(operator.right, x))
            case _:
                return fold_arithmetic(operator, lambda op: self.apply_operator(op, x), self.number)

    def _operator_matrix(self, name: str) -> ndarray:
        """The matrix of an operator on flattened feature maps: its response to each unit vector."""
        if name not in self._matrices:
            parameter, weights = self.model.parameters[name], self.weights[name]
            shape = (self.size.channels_of(parameter.width_in), self.size.grid_points)
            x, numeric = independent_variables(shape), parameter.operator.numeric
            responses = numeric(parameter.options, weights, x, self.size.space).derivative
            self._matrices[name] = responses.reshape(-1, prod(shape))
        return self._matrices[name]

    def _multiply(self, matrix: ndarray, x: DualArray) -> DualArray:
        return (matrix @ x.reshape(-1)).reshape(-1, self.size.grid_points)

    def _constant(self, value: ndarray) -> DualArray:
        return DualArray(value, np.zeros((*value.shape, self.unknown_count)))

    def _call_map(self, name: str, x: DualArray) -> DualArray:
        if name in self.model.maps and self.model.maps[name].is_given:
            raise CannotEvaluate(f"`{name}` is given from Python")
        if name in self.model.maps:
            for i, layer in enumerate(self.model.maps[name].layers):
                x = self._apply_layer(f"{name}.{i}", layer, x)
            return x
        parameter = self.model.parameters[name]
        norm = NORMS[parameter.options["kind"]]
        return norm.numeric(self._layer_tensors(name), x, parameter.groups)

    def _apply_layer(self, name: str, layer: Layer, x: DualArray) -> DualArray:
        numeric = LAYERS[layer.name].numeric
        if numeric is None:
            raise CannotEvaluate(f"the layer {layer.name} has no numerical model")
        return numeric(layer, self._layer_tensors(name), x, self.size.space)

    def _layer_tensors(self, name: str) -> Mapping[str, ndarray]:
        """The tensors of the layer called `name`, by their names within that layer."""
        prefix = f"{name}."
        return {k.removeprefix(prefix): w for k, w in self.weights.items() if k.startswith(prefix)}


def jacobian(model: Model, point: Point, size: StateSize) -> ndarray:
    """The Jacobian of the dynamics at a point; rows and columns are as in FormulaEvaluator."""
    return FormulaEvaluator(model, point, size).value_and_jacobian()[1]
