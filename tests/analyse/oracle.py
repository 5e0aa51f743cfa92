"""The right-hand sides of a spec's text in numpy, read by a parser of its own.

Shares no code with odenet: not the parser, not the elaboration, not the numerical model. It reads
the specs of tests/analyse/specs.py: states, `param`s, `let`s and equations, a line each. Fields are
arrays (entries, directions); derivatives are complex steps.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import erf, pi, sqrt

import numpy as np
from numpy import ndarray
from numpy.random import Generator

STEP = 1e-30  # of the complex steps; nothing is lost by it
TOKEN = re.compile(r"\s*(\d+\.\d+|\d+|[^\W\d]\w*'?|\^T|\^2|[-+*/(),])")
Value = float | ndarray | Callable


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
    """A linear operator; numpy arrays are fields."""

    matrix: ndarray

    @property
    def adjoint(self) -> "Operator":
        """The transpose."""
        return Operator(self.matrix.T)


@dataclass
class Oracle:
    """A spec at a random point.

    Args:
        text: the spec.
        rng: gives weights, sizes, state and input.
        positive: parameters that are to be >= 0.
    """

    text: str
    rng: Generator
    positive: Iterable[str] = ()
    names: dict[str, object] = field(default_factory=dict)
    equations: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.channels = int(self.rng.integers(1, 4))
        self.cells = int(self.rng.integers(1, 4))
        self.scale = float(self.rng.choice([0.5, 1.0, 2.0]))
        for line in self.text.splitlines():
            self._line(line.strip())
        each = self.channels * self.cells
        self.state = self.rng.standard_normal(len(self.equations) * each) * self.scale
        self.names |= {"u": self.rng.standard_normal((each, 1)), "I": Operator(np.eye(each))}

    def _line(self, line: str) -> None:
        if line.startswith("param "):
            names, type_ = line[6:].split(" : ")
            for name in names.split(", "):
                self.names[name] = self._draw(name, type_)
        elif line.startswith("let "):
            name, value = line[4:].split(" = ")
            self.names[name] = Formula(value, self.names).value()
        elif re.match(r"\w+'' = ", line):
            name, value = line.split("'' = ")
            self.equations |= {name: f"{name}'", f"{name}'": value}
        elif re.match(r"\w+' = ", line):
            name, value = line.split("' = ")
            self.equations[name] = value

    def _draw(self, name: str, type_: str) -> object:
        c = self.channels

        def numbers(*shape: int) -> ndarray:
            drawn = self.scale * self.rng.standard_normal(shape)
            return abs(drawn) if name in self.positive else drawn

        if type_.startswith("scalar"):
            return float(numbers(1)[0])
        if type_.startswith("bias"):
            return self._spread(numbers(c))
        if type_.startswith("diag"):
            return Operator(np.diag(self._spread(numbers(c))[:, 0]))
        if type_.startswith("norm(group"):
            return lambda x: (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 1e-5)
        if type_.startswith("norm"):
            gain, shift = self.rng.standard_normal((2, c))
            gain = np.exp(gain) if name in self.positive else gain
            mean, spread = self.rng.standard_normal(c), np.exp(self.rng.standard_normal(c))
            factor = self._spread(gain / np.sqrt(spread + 1e-5))
            return lambda x: factor * (x - self._spread(mean)) + self._spread(shift)
        taps = int(type_[5]) if type_.startswith("conv") else 1
        return Operator(self._convolution(numbers(c, c, taps)))

    def _spread(self, channels: ndarray) -> ndarray:
        return np.repeat(channels, self.cells)[:, None]

    def _convolution(self, kernel: ndarray) -> ndarray:
        """Zeros around the map; an even kernel reaches further to the right, as in torch."""
        taps = kernel.shape[2]
        shifts = [np.eye(self.cells, k=tap - (taps - 1) // 2) for tap in range(taps)]
        return sum(np.kron(kernel[:, :, tap], shift) for tap, shift in enumerate(shifts))

    def rate(self, state: ndarray) -> ndarray:
        """All right-hand sides, (unknowns, directions), at complex states of that shape."""
        names = self.names | dict(zip(self.equations, self._parts(state), strict=True))
        rates = [Formula(text, names).value() for text in self.equations.values()]
        each = self.channels * self.cells
        return np.concatenate([np.broadcast_to(r, (each, state.shape[1])) for r in rates])

    def _parts(self, state: ndarray) -> list[ndarray]:
        return np.split(state, len(self.equations))

    @property
    def jacobian(self) -> ndarray:
        """By complex steps in every direction."""
        size = len(self.state)
        return self.rate(self.state[:, None] + 1j * STEP * np.eye(size)).imag / STEP

    def number(self, formula: str) -> float:
        """A number."""
        return float(Formula(formula, self.names).value())

    def change(self, formula: str) -> tuple[ndarray, ndarray]:
        """A field, and how it changes along the flow."""
        flow = self.rate(self.state[:, None].astype(complex)).real
        moving = self.state[:, None] + 1j * STEP * flow
        names = self.names | dict(zip(self.equations, self._parts(moving), strict=True))
        found = np.asarray(Formula(formula, names).value())[:, 0]
        return found.real, found.imag / STEP


class Formula:
    """Evaluates a formula while it reads it: sums of products of factors.

    Args:
        text: the formula.
        names: what its names are.
    """

    def __init__(self, text: str, names: Mapping[str, object]):
        self.tokens = TOKEN.findall(text)
        assert "".join(self.tokens) == re.sub(r"\s", "", text), text
        self.names = names

    def value(self):
        """A number, an Operator or a field."""
        found = self._sum()
        assert not self.tokens, self.tokens
        return found

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
            found = self._sum()
            assert self.tokens.pop(0) == ")"
        elif token[0].isdigit():
            found = float(token)
        elif token in ACTIVATIONS:
            found = self._activation(token)
        elif callable(self.names[token]):
            found = self.names[token](self._factor())
        else:
            found = self.names[token]
        while self.tokens and self.tokens[0] in ("^T", "^2"):
            found = found.adjoint if self.tokens.pop(0) == "^T" else found * found
        return found

    def _activation(self, name: str):
        constants = []
        if name in ("leaky_relu", "shrink"):
            assert self.tokens.pop(0) == "("
            constants.append(self._sum())
            assert self.tokens.pop(0) == ")"
        return ACTIVATIONS[name](np.asarray(self._factor(), complex), *constants)


def _plus(one, other):
    if isinstance(one, Operator):
        return Operator(one.matrix + other.matrix)
    return one + other


def _times(one, other):
    if isinstance(one, Operator):
        inside = other.matrix if isinstance(other, Operator) else other
        product = one.matrix @ inside
        return Operator(product) if isinstance(other, Operator) else product
    return Operator(one * other.matrix) if isinstance(other, Operator) else one * other
