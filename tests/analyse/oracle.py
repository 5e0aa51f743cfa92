"""An independent oracle: the right-hand sides of a spec in numpy, read by a parser of its own.

It shares no code with odenet. It reads the specs of tests/analyse/specs.py: states, `param`s,
`let`s and equations, one per line. A feature map is an array (entries, directions), with one column
for each direction of differentiation. Derivatives are imaginary parts of complex steps.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import erf, pi, sqrt

import numpy as np
from numpy import ndarray
from numpy.random import Generator

COMPLEX_STEP = 1e-30  # tiny, which costs no digits, since nothing is subtracted
TOKEN = re.compile(r"\s*(\d+\.\d+|\d+|[^\W\d]\w*'?|\^T|\^2|[-+*/(),])")


def _gelu(x: ndarray) -> ndarray:
    normal = 0.5 * (1 + np.vectorize(erf, otypes=[float])(x.real / sqrt(2)))
    slope = normal + x.real * np.exp(-(x.real**2) / 2) / sqrt(2 * pi)
    return x.real * normal + 1j * slope * x.imag


def _sigmoid(x: ndarray) -> ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


ACTIVATIONS: Mapping[str, Callable[..., ndarray]] = {
    "relu": lambda x: np.where(x.real > 0, x, 0),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda x: np.where(x.real > 0, x, 0) + np.log1p(np.exp(-x * np.sign(x.real))),
    "elu": lambda x: np.where(x.real > 0, x, np.exp(np.where(x.real > 0, 0, x)) - 1),
    "leaky_relu": lambda x, a: np.where(x.real > 0, x, a * x),
    "hardtanh": lambda x: np.where(abs(x.real) < 1, x, np.sign(x.real)),
    "identity": lambda x: x,
    "shrink": lambda x, a: np.where(abs(x.real) > a, x - a * np.sign(x.real), 0),
    "gelu": _gelu,
    "silu": lambda x: x * _sigmoid(x),
    "sin": np.sin,
}


@dataclass
class Operator:
    """A linear operator as a matrix; a feature map, in contrast, is a bare array."""

    matrix: ndarray

    @property
    def adjoint(self) -> "Operator":
        """The transpose."""
        return Operator(self.matrix.T)


@dataclass
class Oracle:
    """A spec at random weights, state and input.

    Args:
        text: the spec.
        rng: source of weights, sizes, state and input, and of their scale.
        nonnegative: names of parameters that have to be >= 0.
        values: by name, the values of parameters, of `let`s, of the input u and the identity I.
        equations: state -> right-hand side. Y'' = F gives two: Y' for the state Y, F for Y'.
    """

    text: str
    rng: Generator
    nonnegative: Iterable[str] = ()
    values: dict[str, object] = field(default_factory=dict)
    equations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.channels = int(self.rng.integers(1, 4))
        self.grid_points = int(self.rng.integers(1, 4))
        self.scale = float(self.rng.choice([0.5, 1.0, 2.0]))
        for line in self.text.splitlines():
            self._read_line(line.strip())
        width = self.channels * self.grid_points
        self.state = self.rng.standard_normal(len(self.equations) * width) * self.scale
        self.values |= {"u": self.rng.standard_normal((width, 1)), "I": Operator(np.eye(width))}

    def _read_line(self, line: str) -> None:
        if line.startswith("param "):
            names, type_ = line[6:].split(" : ")
            for name in names.split(", "):
                self.values[name] = self._random_parameter(name, type_)
        elif line.startswith("let "):
            name, value = line[4:].split(" = ")
            self.values[name] = Formula(value, self.values).value()
        elif re.match(r"\w+'' = ", line):
            name, value = line.split("'' = ")
            self.equations |= {name: f"{name}'", f"{name}'": value}
        elif re.match(r"\w+' = ", line):
            name, value = line.split("' = ")
            self.equations[name] = value

    def _random_parameter(self, name: str, type_: str) -> object:
        c = self.channels

        def random_array(*shape: int) -> ndarray:
            array = self.scale * self.rng.standard_normal(shape)
            return abs(array) if name in self.nonnegative else array

        if type_.startswith("scalar"):
            return float(random_array(1)[0])
        if type_.startswith("bias"):
            return self._at_all_points(random_array(c))
        if type_.startswith("diag"):
            return Operator(np.diag(self._at_all_points(random_array(c))[:, 0]))
        if type_.startswith("norm(group"):
            return lambda x: (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-5)
        if type_.startswith("norm"):
            gain, shift = self.rng.standard_normal((2, c))
            gain = np.exp(gain) if name in self.nonnegative else gain
            mean, variance = self.rng.standard_normal(c), np.exp(self.rng.standard_normal(c))
            factor = self._at_all_points(gain / np.sqrt(variance + 1e-5))
            return lambda x: factor * (x - self._at_all_points(mean)) + self._at_all_points(shift)
        taps = int(type_[5]) if type_.startswith("conv") else 1  # the digit of conv(3)
        return Operator(self._convolution(random_array(c, c, taps)))

    def _at_all_points(self, channels: ndarray) -> ndarray:
        """One number per channel, repeated at every grid point, as a column."""
        return np.repeat(channels, self.grid_points)[:, None]

    def _convolution(self, kernel: ndarray) -> ndarray:
        """The matrix of a kernel (out, in, taps), zero padded; an even one is centred left."""
        taps = kernel.shape[2]
        shifts = [np.eye(self.grid_points, k=tap - (taps - 1) // 2) for tap in range(taps)]
        return sum(np.kron(kernel[:, :, tap], shift) for tap, shift in enumerate(shifts))

    def right_hand_sides(self, state: ndarray) -> ndarray:
        """All right-hand sides, (entries of all states, directions), at states of that shape."""
        values = self.values | dict(zip(self.equations, self._split_by_state(state), strict=True))
        rates = [Formula(text, values).value() for text in self.equations.values()]
        width = self.channels * self.grid_points
        return np.concatenate([np.broadcast_to(rate, (width, state.shape[1])) for rate in rates])

    def _split_by_state(self, state: ndarray) -> list[ndarray]:
        return np.split(state, len(self.equations))

    @property
    def jacobian(self) -> ndarray:
        """The derivative of all right-hand sides by all entries of the states."""
        shifted = self.state[:, None] + 1j * COMPLEX_STEP * np.eye(len(self.state))
        return self.right_hand_sides(shifted).imag / COMPLEX_STEP

    def number(self, formula: str) -> float:
        """The value of a formula that is a number."""
        return float(Formula(formula, self.values).value())

    def value_and_rate(self, formula: str) -> tuple[ndarray, ndarray]:
        """The value of a formula that is a feature map, and its time derivative along the flow."""
        rate = self.right_hand_sides(self.state[:, None].astype(complex)).real
        shifted = self.state[:, None] + 1j * COMPLEX_STEP * rate
        values = self.values | dict(zip(self.equations, self._split_by_state(shifted), strict=True))
        value = np.asarray(Formula(formula, values).value())[:, 0]
        return value.real, value.imag / COMPLEX_STEP


class Formula:
    """Evaluates a formula while parsing it: a sum of products of factors.

    Args:
        text: the formula.
        values: the value of each name in it.
    """

    def __init__(self, text: str, values: Mapping[str, object]):
        self.tokens = TOKEN.findall(text)
        assert "".join(self.tokens) == re.sub(r"\s", "", text), text
        self.values = values

    def value(self):
        """A number, an Operator or a feature map."""
        value = self._sum()
        assert not self.tokens, self.tokens
        return value

    def _sum(self):
        total = None
        while self.tokens and self.tokens[0] not in "),":
            sign = self.tokens.pop(0) if self.tokens[0] in ("+", "-") else "+"
            term = _times(-1.0 if sign == "-" else 1.0, self._product())
            total = term if total is None else _plus(total, term)
        return total

    def _product(self):
        total = self._factor()
        while self.tokens and self.tokens[0] not in ("+", "-", ")", ","):
            if self.tokens[0] == "/":
                self.tokens.pop(0)
                total = _times(1 / self._factor(), total)
            elif self.tokens[0] == "*":
                self.tokens.pop(0)
                total = total * self._product()
            else:
                total = _times(total, self._factor())
        return total

    def _factor(self):
        token = self.tokens.pop(0)
        if token == "(":
            value = self._sum()
            assert self.tokens.pop(0) == ")"
        elif token[0].isdigit():
            value = float(token)
        elif token in ACTIVATIONS:
            value = self._activation(token)
        elif callable(self.values[token]):
            value = self.values[token](self._factor())
        else:
            value = self.values[token]
        while self.tokens and self.tokens[0] in ("^T", "^2"):
            value = value.adjoint if self.tokens.pop(0) == "^T" else value * value
        return value

    def _activation(self, name: str):
        constants = []
        if name in ("leaky_relu", "shrink"):
            assert self.tokens.pop(0) == "("
            constants.append(self._sum())
            assert self.tokens.pop(0) == ")"
        return ACTIVATIONS[name](np.asarray(self._factor(), complex), *constants)


def _plus(left, right):
    if isinstance(left, Operator):
        return Operator(left.matrix + right.matrix)
    return left + right


def _times(left, right):
    if isinstance(left, Operator):
        operand = right.matrix if isinstance(right, Operator) else right
        product = left.matrix @ operand
        return Operator(product) if isinstance(right, Operator) else product
    return Operator(left * right.matrix) if isinstance(right, Operator) else left * right
