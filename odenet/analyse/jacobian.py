"""The Jacobian of the dynamics at a point, straight from the typed formulas.

Shares only the fold over formulas (odenet/model/expressions/fold.py) with the symbolic proofs, so
that it checks them independently.
"""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from odenet.analyse.dual_numbers import Jet, unknown
from odenet.analyse.sampling import Point, Size
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.fold import arithmetic
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.layers import LAYERS, Layer
from odenet.model.tables.norms import NORMS
from odenet.model.typed.program import Model


class CannotEvaluate(ValueError):
    """A formula has a piece that is not modelled here."""


class Evaluation:
    """Evaluates formulas of a model at one point.

    Args:
        model: the typed program.
        point: weights, state and input.
        size: channels and axes.
    """

    def __init__(self, model: Model, point: Point, size: Size):
        self.model = model
        self.weights = point.weights
        self.size = size
        self.unknowns = len(point.state)
        self.input = point.input
        system = model.dynamics.system(1)
        shape = (len(system), size.channels, size.cells)
        states = Jet(point.state.reshape(shape), unknown(shape).slope)
        self._fields = {state: states[i] for i, state in enumerate(system)}
        self._matrices: dict[str, ndarray] = {}

    def rates(self) -> tuple[ndarray, ndarray]:
        """All right-hand sides, (unknowns,), and the Jacobian, (unknowns, unknowns)."""
        jets = [self.field(rate) for rate in self.model.dynamics.system(1).values()]
        value = np.concatenate([jet.value.reshape(-1) for jet in jets])
        return value, np.concatenate([jet.slope.reshape(-1, self.unknowns) for jet in jets])

    def field(self, node: expr.Node) -> Jet:
        """A formula for a field.

        Raises:
            CannotEvaluate: it has a piece that is not modelled here.
        """
        match node:
            case State():
                return self._fields[node]
            case expr.Input():
                return self._constant(self.input)
            case expr.Split():
                return self._constant(self.input[: self.size.channels])
            case expr.Zero():
                return self._constant(np.zeros((self.size.channels, self.size.cells)))
            case expr.Bias():
                column = self.weights[node.name].reshape(-1, 1)
                return self._constant(np.tile(column, (1, self.size.cells)))
            case expr.Sum() | expr.Product() | expr.Quotient():
                return arithmetic(node, self.field, self.number)
            case expr.Apply():
                return self.apply(node.operator, self.field(node.operand))
            case expr.Activate():
                constants = [self.number(constant) for constant in node.activation.constants]
                functions = ACTIVATIONS[node.activation.name].functions(constants)
                return self.field(node.operand).pointwise(*functions)
            case expr.MapCall():
                return self._call(node.function.name, self.field(node.operand))
            case expr.Hadamard():
                return self.field(node.left) * self.field(node.right)
            case _:
                raise CannotEvaluate(f"{type(node).__name__} has no numerical model")

    def number(self, node: expr.Node) -> float:
        """A formula for a number."""
        match node:
            case expr.Number():
                return float(node.value)
            case expr.Constant():
                return float(self.model.constants[node.name])
            case expr.LearnedScalar():
                return float(self.weights[node.name])
            case _:
                return arithmetic(node, self.number)

    def apply(self, operator: expr.Node, x: Jet) -> Jet:
        """An operator applied to a field."""
        match operator:
            case expr.Identity():
                return x
            case expr.Param():
                return self._multiply(self._matrix(operator.name), x)
            case expr.Adjoint(expr.Param(name)):
                return self._multiply(self._matrix(name).T, x)
            case expr.Compose():
                return self.apply(operator.left, self.apply(operator.right, x))
            case _:
                return arithmetic(operator, lambda part: self.apply(part, x), self.number)

    def _matrix(self, name: str) -> ndarray:
        """The matrix of an operator on flattened fields: its response to each unit vector."""
        if name not in self._matrices:
            p = self.model.parameters[name]
            reads = self.size.count(p.width_in)
            field = unknown((reads, self.size.cells))
            made = p.operator.numeric(p.options, self.weights[name], field, self.size.space)
            self._matrices[name] = made.slope.reshape(-1, reads * self.size.cells)
        return self._matrices[name]

    def _multiply(self, matrix: ndarray, x: Jet) -> Jet:
        return (matrix @ x.reshape(-1)).reshape(-1, self.size.cells)

    def _constant(self, value: ndarray) -> Jet:
        return Jet(value, np.zeros((*value.shape, self.unknowns)))

    def _call(self, name: str, x: Jet) -> Jet:
        if name in self.model.maps and self.model.maps[name].is_given:
            raise CannotEvaluate(f"`{name}` is given from Python")
        if name in self.model.maps:
            for i, layer in enumerate(self.model.maps[name].layers):
                x = self._layer(f"{name}.{i}", layer, x)
            return x
        p = self.model.parameters[name]
        return NORMS[p.options["kind"]].numeric(self._within(name), x, p.groups)

    def _layer(self, name: str, layer: Layer, x: Jet) -> Jet:
        numeric = LAYERS[layer.name].numeric
        if numeric is None:
            raise CannotEvaluate(f"the layer {layer.name} has no numerical model")
        return numeric(layer, self._within(name), x, self.size.space)

    def _within(self, name: str) -> Mapping[str, ndarray]:
        """The tensors of a layer, by their names in it."""
        prefix = f"{name}."
        return {
            key.removeprefix(prefix): tensor
            for key, tensor in self.weights.items()
            if key.startswith(prefix)
        }


def jacobian(model: Model, point: Point, size: Size) -> ndarray:
    """The Jacobian of the dynamics, unknowns in the order of the first-order system."""
    return Evaluation(model, point, size).rates()[1]
