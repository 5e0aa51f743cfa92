"""The Jacobian of the dynamics at a point, straight from the typed formulas.

Shares nothing with the algebra of words: what is proved there is tested here.
"""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from odenet.analyse.dual_numbers import (
    Jet,
    conv_matrix,
    frozen_batch_norm,
    group_norm,
)
from odenet.analyse.sampling import Point, Size
from odenet.model import expr
from odenet.model.activations import ACTIVATIONS
from odenet.model.expr import State
from odenet.model.layers import Layer
from odenet.model.program import Model


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
        self._fields = self._split(point.state)
        self._matrices: dict[str, ndarray] = {}

    def _split(self, state: ndarray) -> Mapping[State, Jet]:
        system = self.model.dynamics.system(1)
        shape = (self.size.channels, self.size.cells)
        values = state.reshape(len(system), *shape)
        slopes = np.eye(self.unknowns).reshape(len(system), *shape, self.unknowns)
        return {s: Jet(values[i], slopes[i]) for i, s in enumerate(system)}

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
            case expr.Input() | expr.Split():
                return self._input(node)
            case expr.Zero():
                return self._constant(np.zeros((self.size.channels, self.size.cells)))
            case expr.Bias():
                column = self.weights[node.name].reshape(-1, 1)
                return self._constant(np.tile(column, (1, self.size.cells)))
            case expr.Sum():
                return self._sum([(sign, self.field(term)) for sign, term in node.terms])
            case expr.Product():
                return self.field(node.right).scaled(self.number(node.left))
            case expr.Quotient():
                return self.field(node.numerator).scaled(1 / self.number(node.denominator))
            case expr.Apply():
                return self.apply(node.operator, self.field(node.operand))
            case expr.Activate():
                constants = [self.number(constant) for constant in node.activation.constants]
                return self._activate(node.activation.name, constants, self.field(node.operand))
            case expr.Call():
                return self._call(node.function.name, self.field(node.operand))
            case expr.Hadamard():
                return self.field(node.left).times(self.field(node.right))
        raise CannotEvaluate(f"{type(node).__name__} has no numerical model")

    def number(self, node: expr.Node) -> float:
        """A formula for a number."""
        match node:
            case expr.Number():
                return float(node.value)
            case expr.Constant():
                return float(self.model.constants[node.name])
            case expr.Learned():
                return float(self.weights[node.name])
            case expr.Sum():
                return sum(sign * self.number(term) for sign, term in node.terms)
            case expr.Product():
                return self.number(node.left) * self.number(node.right)
            case expr.Quotient():
                return self.number(node.numerator) / self.number(node.denominator)
            case expr.Power():
                return self.number(node.base) ** self.number(node.exponent)
        raise CannotEvaluate(f"{type(node).__name__} has no numerical model")

    def apply(self, operator: expr.Node, x: Jet) -> Jet:
        """An operator applied to a field."""
        match operator:
            case expr.Identity():
                return x
            case expr.Param():
                matrix = self._matrix(operator.name)
                return x.through(matrix, len(matrix) // self.size.cells)
            case expr.Adjoint(expr.Param(name)):
                matrix = self._matrix(name).T
                return x.through(matrix, len(matrix) // self.size.cells)
            case expr.Compose():
                return self.apply(operator.left, self.apply(operator.right, x))
            case expr.Product():
                return self.apply(operator.right, x).scaled(self.number(operator.left))
            case expr.Quotient():
                return self.apply(operator.numerator, x).scaled(
                    1 / self.number(operator.denominator)
                )
            case expr.Sum():
                return self._sum([(sign, self.apply(term, x)) for sign, term in operator.terms])
        raise CannotEvaluate(f"{type(operator).__name__} has no numerical model")

    def _matrix(self, name: str) -> ndarray:
        if name not in self._matrices:
            p, tensor = self.model.parameters[name], self.weights[name]
            if p.type == "diag":
                matrix = np.diag(np.repeat(tensor.reshape(-1), self.size.cells))
            else:
                groups = int(p.options.get("groups", 1))
                groups = len(tensor) if p.type == "depthwise" else groups
                dilation = int(p.options.get("dilation", 1))
                matrix = conv_matrix(tensor, self.size.space, groups, dilation)
            self._matrices[name] = matrix
        return self._matrices[name]

    def _sum(self, terms: list[tuple[int, Jet]]) -> Jet:
        total = terms[0][1].scaled(terms[0][0])
        for sign, jet in terms[1:]:
            total = total + jet.scaled(sign)
        return total

    def _constant(self, value: ndarray) -> Jet:
        return Jet(value, np.zeros((*value.shape, self.unknowns)))

    def _input(self, node: expr.Node) -> Jet:
        return self._constant(
            self.input if isinstance(node, expr.Input) else self.input[: self.size.channels]
        )

    def _activate(self, name: str, constants: list[float], x: Jet) -> Jet:
        row = ACTIVATIONS[name]
        return x.pointwise(
            lambda value: row.value(value, *constants),
            lambda value: row.derivative(value, *constants),
        )

    def _call(self, name: str, x: Jet) -> Jet:
        if name in self.model.maps:
            for i, layer in enumerate(self.model.maps[name].layers):
                x = self._layer(f"{name}.{i}", layer, x)
            return x
        options = self.model.parameters[name].options
        if options["kind"] == "batch":
            return frozen_batch_norm(x, self.weights, name)
        groups = int(options["group"]) if options["kind"] == "group" else 1
        return group_norm(x, self.weights, name, groups)

    def _layer(self, name: str, layer: Layer, x: Jet) -> Jet:
        arguments = layer.arguments
        match layer.name:
            case "bn":
                return frozen_batch_norm(x, self.weights, name)
            case "gn":
                return group_norm(x, self.weights, name, int(arguments["g"]))
            case "dropout":
                return x
            case "conv" | "dense":
                return self._linear(name, layer, x)
        if layer.name in ACTIVATIONS:
            return self._activate(layer.name, [float(v) for v in arguments.values()], x)
        raise CannotEvaluate(f"the layer {layer.name} has no numerical model")

    def _linear(self, name: str, layer: Layer, x: Jet) -> Jet:
        if layer.arguments.get("stride", 1) != 1:
            raise CannotEvaluate("a strided convolution has no numerical model")
        kernel = self.weights[f"{name}.weight"]
        groups = int(layer.arguments.get("groups", 1))
        dilation = int(layer.arguments.get("dilation", 1))
        x = x.through(conv_matrix(kernel, self.size.space, groups, dilation), len(kernel))
        bias = self.weights.get(f"{name}.bias")
        return x if bias is None else Jet(x.value + bias[:, None], x.slope)


def jacobian(model: Model, point: Point, size: Size) -> ndarray:
    """The Jacobian of the dynamics, unknowns in the order of the first-order system."""
    return Evaluation(model, point, size).rates()[1]
