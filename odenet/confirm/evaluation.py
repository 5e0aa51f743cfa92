"""Evaluates the author's formulas and their derivatives at a point, with dual numbers.

All claims about the dynamics are compared with this. It reads the typed formulas as they are, and
shares no code with the proofs or with the search for counterexamples. A *field* is what the
language calls the values of a feature map; here it is a flat list of numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import sqrt

from odenet.confirm.disagreement import NotEvaluable
from odenet.confirm.matrices import Matrix, apply, transpose
from odenet.confirm.random_point import Point, channel_count, channel_counts
from odenet.model.expressions import expr
from odenet.model.expressions.expr import State
from odenet.model.expressions.numbers import STATE_WIDTH
from odenet.model.tables.activations import ACTIVATIONS
from odenet.model.tables.declared_parameters import DeclaredParameter
from odenet.model.tables.norms import EPS
from odenet.model.typed.program import Model


@dataclass(frozen=True)
class Jet:
    """The values of a field and its derivatives (a dual number with several directions).

    Args:
        value: the entries, channel by channel.
        derivatives: for each direction the derivatives of all entries.
    """

    value: list[float]
    derivatives: list[list[float]]

    def mapped(self, matrix: Matrix) -> "Jet":
        """The image under a linear map."""
        return Jet(apply(matrix, self.value), [apply(matrix, d) for d in self.derivatives])

    def scaled(self, factor: float) -> "Jet":
        """The product with a number."""
        return self.scaled_entries([factor] * len(self.value))

    def scaled_entries(self, factors: list[float]) -> "Jet":
        """The element-wise product with constant factors."""
        return Jet(_times(factors, self.value), [_times(factors, d) for d in self.derivatives])

    def plus(self, other: "Jet") -> "Jet":
        """The sum."""
        pairs = zip(self.derivatives, other.derivatives, strict=True)
        return Jet(_plus(self.value, other.value), [_plus(a, b) for a, b in pairs])

    def times(self, other: "Jet") -> "Jet":
        """The element-wise product."""
        left, right = self.scaled_entries(other.value), other.scaled_entries(self.value)
        pairs = zip(left.derivatives, right.derivatives, strict=True)
        return Jet(left.value, [_plus(a, b) for a, b in pairs])


def _times(one: list[float], other: list[float]) -> list[float]:
    return [a * b for a, b in zip(one, other, strict=True)]


def _plus(one: list[float], other: list[float]) -> list[float]:
    return [a + b for a, b in zip(one, other, strict=True)]


class Evaluation:
    """Evaluates formulas of a model at one point.

    Args:
        model: the typed program.
        point: weights, state and input.
        known_values: formula -> its value and derivatives; by default the states, with one
            direction for each entry of each state. Everything else is constant.

    Attributes:
        directions: the number of directions in which values are differentiated.
    """

    def __init__(
        self, model: Model, point: Point, known_values: Mapping[expr.Node, Jet] | None = None
    ):
        self.model = model
        self.point = point
        self.known_values = dict(known_values) if known_values is not None else self._states()
        self.directions = len(next(iter(self.known_values.values())).derivatives)
        self._matrices: dict[str, Matrix] = {}
        self._drawn_values: dict[expr.Node, Jet] = {}  # of calls of maps without a numerical model

    def _states(self) -> dict[expr.Node, Jet]:
        """The states with unit vectors as derivatives."""
        directions, size = len(self.point.state), self.point.channels * self.point.cells
        found: dict[expr.Node, Jet] = {}
        for i, state in enumerate(self.model.dynamics.system(order=1)):
            state_entries = range(i * size, (i + 1) * size)
            derivatives = [[float(j == k) for j in state_entries] for k in range(directions)]
            found[state] = Jet(self.point.state[i * size : (i + 1) * size], derivatives)
        return found

    def with_known_values(self, known_values: Mapping[expr.Node, Jet]) -> "Evaluation":
        """The same point, with derivatives with respect to other formulas."""
        other = Evaluation(self.model, self.point, known_values)
        other._matrices = self._matrices
        drawn_values = self._drawn_values.items()
        other._drawn_values = {node: other._constant(jet.value) for node, jet in drawn_values}
        return other

    def field(self, node: expr.Node) -> Jet:
        """The value and derivatives of a formula for a field.

        Raises:
            NotEvaluable: it applies something that cannot be evaluated numerically to the states.
        """
        if node in self.known_values:
            return self.known_values[node]
        match node:
            case expr.Input():
                return self._constant(self.point.input)
            case expr.Split():
                return self._constant(self.point.input[: self.point.channels * self.point.cells])
            case expr.Zero():
                return self._constant([0.0] * (self.point.channels * self.point.cells))
            case expr.Bias():
                return self._constant(self.repeated_per_cell(node.name))
            case expr.Sum():
                return self._sum([(sign, self.field(term)) for sign, term in node.terms])
            case expr.Product():
                return self.field(node.right).scaled(self.number(node.left))
            case expr.Quotient():
                return self.field(node.numerator).scaled(1 / self.number(node.denominator))
            case expr.Apply():
                return self._apply(node.operator, self.field(node.operand))
            case expr.Activate():
                return self._activate(node.activation, self.field(node.operand))
            case expr.Hadamard():
                return self.field(node.left).times(self.field(node.right))
            case expr.Concat():
                return self._concat([self.field(part) for part in node.parts])
            case expr.MapCall():
                return self._call(node)
            case _:
                raise NotEvaluable(f"{type(node).__name__} has no numerical model")

    def number(self, node: expr.Node) -> float:
        """The value of a formula for a number."""
        match node:
            case expr.Number():
                return float(node.value)
            case expr.Constant():
                return float(self.model.constants[node.name])
            case expr.LearnedScalar():
                return self.point.weights[node.name][0]
            case expr.Sum():
                return sum(sign * self.number(term) for sign, term in node.terms)
            case expr.Product():
                return self.number(node.left) * self.number(node.right)
            case expr.Quotient():
                return self.number(node.numerator) / self.number(node.denominator)
            case expr.Power():
                return self._power(self.number(node.base), self.number(node.exponent))
            case _:
                raise NotEvaluable(f"{type(node).__name__} has no numerical model")

    def _power(self, base: float, exponent: float) -> float:
        if base < 0 and exponent != int(exponent):
            raise NotEvaluable("a power of a negative number has no real value")
        return base**exponent

    def repeated_per_cell(self, name: str) -> list[float]:
        """The entries of a parameter with one number per channel, repeated for each cell."""
        return [x for x in self.point.weights[name] for _ in range(self.point.cells)]

    def matrix(self, name: str) -> Matrix:
        """The matrix of a parameter that is a linear operator on fields."""
        if name not in self._matrices:
            self._matrices[name] = operator_matrix(self.model.parameters[name], self.point)
        return self._matrices[name]

    def _apply(self, operator: expr.Node, x: Jet) -> Jet:
        """The image of a field under a formula for a linear operator."""
        match operator:
            case expr.Identity():
                return x
            case expr.LearnedOperator():
                return x.mapped(self.matrix(operator.name))
            case expr.Adjoint(operand=expr.LearnedOperator(name)):
                return x.mapped(transpose(self.matrix(name)))
            case expr.Compose():
                return self._apply(operator.left, self._apply(operator.right, x))
            case expr.Product():
                return self._apply(operator.right, x).scaled(self.number(operator.left))
            case expr.Quotient():
                found = self._apply(operator.numerator, x)
                return found.scaled(1 / self.number(operator.denominator))
            case expr.Sum():
                return self._sum([(sign, self._apply(term, x)) for sign, term in operator.terms])
            case _:
                raise NotEvaluable(f"{type(operator).__name__} has no numerical model")

    def _activate(self, activation: expr.Activation, x: Jet) -> Jet:
        row = ACTIVATIONS[activation.name]
        constants = [self.number(constant) for constant in activation.constants]
        slopes = [row.derivative(v, *constants) for v in x.value]
        value = [row.value(v, *constants) for v in x.value]
        return Jet(value, [_times(slopes, d) for d in x.derivatives])

    def _call(self, node: expr.MapCall) -> Jet:
        """The value of a map: batch norm with fixed statistics, or random numbers.

        Random numbers are drawn for a map that reads no state; its value is then a constant.
        """
        name = node.function.name
        p = self.model.parameters.get(name)
        if p is not None and p.options.get("kind") == "batch":
            mean, variance, gain, bias = (
                self.repeated_per_cell(f"{name}.{key}")
                for key in ("running_mean", "running_var", "weight", "bias")
            )
            factors = [g / sqrt(v + EPS) for g, v in zip(gain, variance, strict=True)]
            shift = [b - f * m for b, f, m in zip(bias, factors, mean, strict=True)]
            return self.field(node.operand).scaled_entries(factors).plus(self._constant(shift))
        if any(isinstance(inside, State) for inside in node.walk()):
            raise NotEvaluable(f"`{self.model.spellings.get(name, name)}` has no numerical model")
        if node not in self._drawn_values:
            width = p.width_out if p else STATE_WIDTH
            entries = channel_count(width, self.point.channels) * self.point.cells
            value = [self.point.rng.gauss(0, 1) for _ in range(entries)]
            self._drawn_values[node] = self._constant(value)
        return self._drawn_values[node]

    def _sum(self, terms: list[tuple[int, Jet]]) -> Jet:
        return reduce(Jet.plus, (jet.scaled(sign) if sign < 0 else jet for sign, jet in terms))

    def _concat(self, parts: list[Jet]) -> Jet:
        value = [x for part in parts for x in part.value]
        columns = zip(*(part.derivatives for part in parts), strict=True)
        return Jet(value, [[x for piece in pieces for x in piece] for pieces in columns])

    def _constant(self, value: list[float]) -> Jet:
        return Jet(value, [[0.0] * len(value)] * self.directions)


def operator_matrix(p: DeclaredParameter, point: Point) -> Matrix:
    """The matrix of a linear operator; kernels run along one axis, with zero padding."""
    if p.type not in ("conv", "depthwise", "pointwise", "dense", "diag"):
        return _numeric_model_matrix(p, point)
    entries, cells = point.weights[p.name], point.cells
    channels_in, channels_out = channel_counts(p, point.channels)
    matrix = [[0.0] * (channels_in * cells) for _ in range(channels_out * cells)]
    taps = int(p.options.get("k", 1))
    groups = channels_in if p.type in ("depthwise", "diag") else p.groups
    group_in, group_out = channels_in // groups, channels_out // groups
    dilation = int(p.options.get("dilation", 1))
    for index, entry in enumerate(entries):
        channel, tap = divmod(index, taps)
        o, i = divmod(channel, group_in)
        column, offset = o // group_out * group_in + i, dilation * (tap - (taps - 1) // 2)
        for cell in range(cells):
            if 0 <= cell + offset < cells:
                matrix[o * cells + cell][column * cells + cell + offset] = entry
    return matrix


def _numeric_model_matrix(p: DeclaredParameter, point: Point) -> Matrix:
    """The matrix of an operator that a plugin added, from the numerical model it registered."""
    import numpy as np

    from odenet.analyse import dual_numbers

    channels_in, channels_out = channel_counts(p, point.channels)
    shapes = p.kind.tensors(p.options, channels_in, channels_out, 1)
    weights = np.array(point.weights[p.name]).reshape(shapes[""].shape)
    size = channels_in * point.cells
    x = dual_numbers.independent_variables((channels_in, point.cells))
    image = p.operator.numeric(p.options, weights, x, (point.cells,))
    return image.derivative.reshape(-1, size).tolist()
