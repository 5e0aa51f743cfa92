"""The triangle that contains a damped spectrum, given by a decay γ and a frequency bound ω.

The verdict `stable` includes the imaginary axis, on which explicit Euler is unstable for every h. A
decay keeps the spectrum away from it. If C (M + γ I) is antisymmetric, an eigenvector of
A = C^½ D^½ M D^½ C^-½ with |x| = 1 has λ = x* A x = -γ x* D x + i x* (…) x, so that
λ = -t (γ ± i ω') with t = x* D x at most the largest slope and ω' ≤ ω = ‖C^½ (M + γ I) C^-½‖. If
the decay is outside the units (Theorem 7), Re λ = -γ. Both lie in the triangle with the corners
0 and -γ ± i ω, times the slope (Chang, Chen, Haber & Chi 2019 have the case of Euler's method).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from odenet.analyse.bounded_slopes import minus_allowance
from odenet.analyse.certificate import Certificate
from odenet.analyse.conditions import ProofPart, matrix_product, plus_adjoint
from odenet.analyse.laurent import Scalar, as_fraction
from odenet.analyse.units import Unit
from odenet.derive.intervals import XI, S
from odenet.derive.stability import EquationStability
from odenet.model.typed.program import Model

GRID_POINTS = 33  # points along a side of the triangle where stability is sampled
BISECTIONS = 30  # halvings of the interval of frequencies: nine digits
MAX_STEP_FREQUENCY = 20.0  # of hω: no explicit scheme of the library is stable beyond this


@dataclass(frozen=True)
class Triangle:
    """A triangle in the complex plane: all λ = -t (decay ± i ω') with 0 ≤ t ≤ 1 and ω' ≤ ω.

    Args:
        decay: γ; if the decay is inside the activation, γ times the largest slope.
        frequency_text: ω as a text, such as `‖K - Kᵀ‖`: its value depends on the weights.
    """

    decay: float
    frequency_text: str

    def stable_frequency(self, equation: EquationStability, h: float) -> float:
        """The largest ω for which steps of size h are stable on the triangle, tested on a grid.

        Euler's method has it in closed form: |1 + hλ| ≤ 1 for h (γ² + ω²) ≤ 2 γ.
        """
        if is_euler(equation):
            return max(0.0, 2 * self.decay / h - self.decay**2) ** 0.5
        stable, high = 0.0, MAX_STEP_FREQUENCY / h
        for _ in range(BISECTIONS):
            middle = (stable + high) / 2
            if self._is_stable_up_to(equation, h, middle):
                stable = middle
            else:
                high = middle
        return stable

    def _is_stable_up_to(self, equation: EquationStability, h: float, frequency: float) -> bool:
        import numpy as np

        fractions = np.linspace(0, 1, GRID_POINTS)
        corner = -self.decay + 1j * frequency * fractions
        return bool(equation.region(h * np.outer(fractions[1:], corner)).all())


def is_euler(tested: EquationStability) -> bool:
    """Whether a step on y' = λ y multiplies y by 1 + hλ."""
    is_scalar = tested.equation.kind == "scalar"
    return is_scalar and (tested.characteristic_polynomial - (XI - 1 - S)).expand() == 0


def spectrum_triangle(model: Model, certificate: Certificate) -> Triangle | None:
    """The triangle of a proved spectrum; None if its decay is not one known number."""
    nonzero = [part for part in certificate.parts if not part.nilpotent or part.decay]
    if len(nonzero) != 1 or not _is_about_file_units(nonzero[0]):
        return None
    part = nonzero[0]
    slope = max(map(_slope_bound, part.units), default=1.0)
    values = {model.spellings.get(n, n): Fraction(value) for n, value in model.constants.items()}
    decay_and_matrix = _outer_decay(part, values) if part.decay else _inner_decay(part, values)
    if decay_and_matrix is None or slope == float("inf"):
        return None
    decay, matrix = decay_and_matrix
    text = f"‖{matrix}‖" if slope == 1 else f"{slope:g} ‖{matrix}‖"
    return Triangle(decay if part.decay else decay * slope, text)


def _outer_decay(part: ProofPart, values: Mapping[str, Fraction]) -> tuple[float, str] | None:
    """The common decay of all states and the matrix with norm ω, if the rest of J is imaginary."""
    decays = {_known_value(decay, values) for decay in part.decay.values()}
    states = {state for unit in part.units for state in (*unit.row, *unit.column)}
    if part.spectrum != "imaginary" or len(decays) != 1 or not states <= set(part.decay):
        return None
    (decay,) = decays
    return None if decay is None or decay <= 0 else (decay, _frequency_matrix(part, ""))


def _inner_decay(part: ProofPart, values: Mapping[str, Fraction]) -> tuple[float, str] | None:
    """A γ with C (M + γ I) antisymmetric, and M + γ I as a text."""
    scalars = [-row[i].identity_coefficient for i, row in enumerate(part.matrix)]
    decay = _known_value(scalars[0], values)
    if decay is None or decay <= 0 or any(scalar != scalars[0] for scalar in scalars):
        return None
    undamped = minus_allowance(part.matrix, (-scalars[0],) * len(scalars))
    if any(entry for row in plus_adjoint(matrix_product(part.scaling, undamped)) for entry in row):
        return None
    if len(undamped) == 1:
        return decay, str(undamped[0][0])
    return decay, _frequency_matrix(part, f" + {scalars[0]} I")


def _frequency_matrix(part: ProofPart, damping: str) -> str:
    """The matrix whose norm is ω, as a text; with C unless all its weights are equal."""
    if len(part.units) == 1:
        return str(part.matrix[0][0])
    has_equal_weights = all(weight == part.weights[0] for weight in part.weights)
    undamped = f"M{damping}"
    return undamped if has_equal_weights else f"C^½ {f'({undamped})' if damping else undamped} C^-½"


def _known_value(scalar: Scalar, values: Mapping[str, Fraction]) -> float | None:
    value = as_fraction(scalar.substitute(values))
    return None if value is None else float(value)


def _is_about_file_units(part: ProofPart) -> bool:
    """Whether the proof is about the units of the file, without any change to them."""
    has_changed_variables = part.contracted_unit is not None or part.expanded_unit is not None
    has_moved_slopes = any(unit.moved_slope is not None for unit in part.units)
    return not (part.absorbed_units or part.allowance or has_changed_variables or has_moved_slopes)


def _slope_bound(unit: Unit) -> float:
    """An upper bound of φ', infinite if none is known."""
    if unit.is_linear:
        return 1.0
    return float("inf") if unit.max_slope is None else float(unit.max_slope)
