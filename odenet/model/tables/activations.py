"""The activations of the language as a table: a new activation needs only a row here.

A row has the bounds that the proofs use, the function for the numeric checks, the torch code, and
what docs/language.md says about the activation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from odenet.model.tables.argument_kinds import Number
from odenet.model.tables.choices import Parameter

Value = Fraction | float  # of a constant or a bound
FloatFunction = Callable[[float], float]
Function = Callable[[float], float] | Callable[[float, float], float]  # of x and the constants


@dataclass(frozen=True)
class Bound:
    """A rigorous bound that may depend on the constants of an activation.

    Args:
        text: the bound as a formula for the documentation, such as `max(1, |a|)`.
        function: computes the bound from the constants, exactly if they are exact.
    """

    text: str
    function: Callable[[], Value] | Callable[[Value], Value]

    def __call__(self, *constants: Value) -> Value:
        """The bound for these constants; nan, which proves nothing, if one of them is nan."""
        # min and max may ignore a nan, and return a bound that does not hold.
        unknown = any(constant != constant for constant in constants)
        return math.nan if unknown else self.function(*constants)


def always(number: str) -> Bound:
    """A bound that does not depend on the constants."""

    def at(*constants: Value) -> Value:
        return Fraction(number)

    return Bound(number, at)


ZERO, ONE = always("0"), always("1")


@dataclass(frozen=True)
class ActivationKind:
    """A row of the table: one activation φ.

    Args:
        name: its name in the language.
        code: torch code of the function; `{x}` is the argument, `{0}` the first constant.
        module: torch code of the layer.
        value: φ(x, *constants) of floats, for the numeric checks.
        derivative: φ'(x, *constants) of floats; at a corner of φ, the slope on one side.
        constants: the range of each of its constants, by name.
        slope: a rigorous upper bound of |φ'|.
        least_slope: a rigorous lower bound of φ'. The proofs about the spectrum use it.
        odd: whether φ(-x) = -φ(x).
        nonnegative: whether φ(x) >= 0 for every x.
        primitive: torch code of an antiderivative Ψ, Ψ' = φ, with Ψ >= 0 where possible, for the
            energy; empty if there is no closed form in torch.
        latex: its symbol in LaTeX; if empty, the name in upright letters.
        imports: lines of import that the code needs in addition to torch and odenet.runtime.
    """

    name: str
    code: str
    module: str
    value: Function
    derivative: Function
    constants: Mapping[str, Number] = field(default_factory=dict[str, Number])
    slope: Bound = ONE
    least_slope: Bound = ZERO
    odd: bool = False
    nonnegative: bool = False
    primitive: str = ""
    latex: str = ""
    imports: tuple[str, ...] = ()

    @property
    def arguments(self) -> dict[str, Parameter]:
        """Its constants as parameters of the layer."""
        return {name: Parameter(kind, "is its constant") for name, kind in self.constants.items()}

    def functions(self, constants: Sequence[float]) -> tuple[FloatFunction, FloatFunction]:
        """φ and φ' with these constants, for the numeric checks."""
        return lambda x: self.value(x, *constants), lambda x: self.derivative(x, *constants)

    def nondecreasing(self, *constants: Value) -> bool:
        """Whether the derivative is never negative."""
        return self.least_slope(*constants) >= 0


def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ), without overflow."""
    return 0.5 * (1 + math.tanh(x / 2))


def _normal_cdf(x: float) -> float:
    """The distribution function of the standard normal distribution."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _normal_density(x: float) -> float:
    """The density of the standard normal distribution."""
    # e^-700 is about the least number that is stored with full precision
    return math.exp(-min(x * x, 1400.0) / 2) / math.sqrt(2 * math.pi)


ROWS = (
    ActivationKind(
        name="relu",
        code="torch.relu({x})",
        module="nn.ReLU()",
        value=lambda x: max(x, 0.0),
        derivative=lambda x: float(x > 0),
        nonnegative=True,
        primitive="torch.relu({x}) ** 2 / 2",
    ),
    ActivationKind(
        name="tanh",
        code="torch.tanh({x})",
        module="nn.Tanh()",
        value=math.tanh,
        derivative=lambda x: 1 - math.tanh(x) ** 2,
        odd=True,
        primitive="torch.logaddexp({x}, -{x})",
        latex="\\tanh",
    ),
    ActivationKind(
        name="sigmoid",
        code="torch.sigmoid({x})",
        module="nn.Sigmoid()",
        value=sigmoid,
        derivative=lambda x: sigmoid(x) * sigmoid(-x),
        slope=always("0.25"),
        nonnegative=True,
        primitive="functional.softplus({x})",
    ),
    ActivationKind(
        name="softplus",
        code="functional.softplus({x})",
        module="nn.Softplus()",
        value=lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
        derivative=sigmoid,
        nonnegative=True,
    ),
    ActivationKind(
        name="elu",
        code="functional.elu({x})",
        module="nn.ELU()",
        value=lambda x: x if x > 0 else math.expm1(x),
        derivative=lambda x: 1.0 if x > 0 else math.exp(x),
        primitive="torch.where({x} > 0, {x}**2 / 2, torch.exp({x}.clamp(max=0)) - 1 - {x})",
    ),
    ActivationKind(
        name="leaky_relu",
        code="functional.leaky_relu({x}, {0})",
        module="nn.LeakyReLU({0})",
        value=lambda x, a: x if x > 0 else a * x,
        derivative=lambda x, a: 1.0 if x > 0 else a,
        constants={"a": Number(float("-inf"))},
        slope=Bound("max(1, |a|)", lambda a: max(1, abs(a))),
        least_slope=Bound("min(1, a)", lambda a: min(1, a)),
        primitive="{x} * functional.leaky_relu({x}, {0}) / 2",
    ),
    ActivationKind(
        name="hardtanh",
        code="functional.hardtanh({x})",
        module="nn.Hardtanh()",
        value=lambda x: min(max(x, -1.0), 1.0),
        derivative=lambda x: float(abs(x) < 1),
        odd=True,
        primitive="torch.where({x}.abs() < 1, {x}**2 / 2, {x}.abs() - 0.5)",
    ),
    ActivationKind(
        name="identity",
        code="{x}",
        module="nn.Identity()",
        value=lambda x: x,
        derivative=lambda x: 1.0,
        least_slope=ONE,
        odd=True,
        primitive="{x}**2 / 2",
    ),
    ActivationKind(
        name="shrink",
        code="functional.softshrink({x}, {0})",
        module="nn.Softshrink({0})",
        value=lambda x, a: x - min(max(x, -a), a),
        derivative=lambda x, a: float(abs(x) > a),
        constants={"λ": Number(0)},
        odd=True,
        primitive="torch.relu({x}.abs() - {0}) ** 2 / 2",
    ),
    ActivationKind(
        name="gelu",
        code="functional.gelu({x})",
        module="nn.GELU()",
        value=lambda x: x * _normal_cdf(x),
        derivative=lambda x: _normal_cdf(x) + x * _normal_density(x),
        slope=always("1.13"),
        least_slope=always("-0.13"),
    ),
    ActivationKind(
        name="silu",
        code="functional.silu({x})",
        module="nn.SiLU()",
        value=lambda x: x * sigmoid(x),
        derivative=lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x),
        slope=always("1.1"),
        least_slope=always("-0.1"),
    ),
    ActivationKind(
        name="sin",
        code="torch.sin({x})",
        module="Elementwise(torch.sin)",
        value=math.sin,
        derivative=math.cos,
        least_slope=always("-1"),
        odd=True,
        primitive="1 - torch.cos({x})",
        latex="\\sin",
    ),
)

ACTIVATIONS = {row.name: row for row in ROWS}
