"""Where a damped spectrum lies: the triangle that a decay γ and a frequency bound ω leave it.

A verdict `stable` has the imaginary axis in it, where explicit Euler is unstable for every h. A
decay keeps the spectrum away from it. If C (M + γ I) is antisymmetric, an eigenvector of
A = C^½ D^½ M D^½ C^-½ with |x| = 1 has λ = x* A x = -γ x* D x + i x* (…) x, so that
λ = -t (γ ± i ω') with t = x* D x at most the largest slope and ω' ≤ ω = ‖C^½ (M + γ I) C^-½‖. If
the decay is outside the units (Theorem 7), Re λ = -γ. Both lie in the triangle with the corners
0 and -γ ± i ω, times the slope (Chang, Chen, Haber & Chi 2019 have the case of Euler's method).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from odenet.analyse.bounded_slopes import reduced
from odenet.analyse.certificate import Certificate
from odenet.analyse.conditions import Part, multiplied, symmetric_part
from odenet.analyse.laurent import Scalar, rational
from odenet.analyse.units import Unit
from odenet.derive.intervals import XI, S
from odenet.derive.stability import TestedScheme
from odenet.model.typed.program import Model

GRID = 33  # points along a side of the triangle where stability is sampled
HALVINGS = 30
FARTHEST = 20.0  # of hω: no explicit scheme of the library is stable beyond


@dataclass(frozen=True)
class Sector:
    """All λ = -t (decay ± i ω') with 0 ≤ t ≤ 1 and ω' ≤ ω.

    Args:
        decay: γ, times the largest slope where it is inside the activation.
        frequency: ω in words, such as `‖K - Kᵀ‖`.
    """

    decay: float
    frequency: str

    def reach(self, tested: TestedScheme, h: float) -> float:
        """The largest ω at which steps h are stable on the whole triangle, sampled.

        Euler's method has it in closed form: |1 + hλ| ≤ 1 for h (γ² + ω²) ≤ 2 γ.
        """
        if is_euler(tested):
            return max(0.0, 2 * self.decay / h - self.decay**2) ** 0.5
        low, high = 0.0, FARTHEST / h
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._inside(tested, h, middle) else (low, middle)
        return low

    def _inside(self, tested: TestedScheme, h: float, frequency: float) -> bool:
        import numpy as np

        part = np.linspace(0, 1, GRID)
        corner = -self.decay + 1j * frequency * part
        return bool(tested.region(h * np.outer(part[1:], corner)).all())


def is_euler(tested: TestedScheme) -> bool:
    """Whether a step on y' = λ y multiplies by 1 + hλ."""
    return tested.equation.kind == "own" and (tested.polynomial - (XI - 1 - S)).expand() == 0


def damped_sector(model: Model, certificate: Certificate) -> Sector | None:
    """The triangle of a proved spectrum; None where no decay by a known number bounds it."""
    moving = [part for part in certificate.parts if not part.nilpotent or part.decay]
    if len(moving) != 1 or not _plain(moving[0]):
        return None
    part = moving[0]
    slope = max(map(_slope, part.units), default=1.0)
    values = {
        model.spellings.get(name, name): Fraction(value) for name, value in model.constants.items()
    }
    found = _outside(part, values) if part.decay else _inside(part, values)
    if found is None or slope == float("inf"):
        return None
    decay, matrix = found
    text = f"‖{matrix}‖" if slope == 1 else f"{slope:g} ‖{matrix}‖"
    return Sector(decay if part.decay else decay * slope, text)


def _outside(part: Part, values: Mapping[str, Fraction]) -> tuple[float, str] | None:
    """A decay that all states share, of what is imaginary without it."""
    decays = {_number(decay, values) for decay in part.decay.values()}
    states = {state for unit in part.units for state in (*unit.row, *unit.column)}
    if part.spectrum != "imaginary" or len(decays) != 1 or not states <= set(part.decay):
        return None
    (decay,) = decays
    return None if decay is None or decay <= 0 else (decay, _text(part, ""))


def _inside(part: Part, values: Mapping[str, Fraction]) -> tuple[float, str] | None:
    """A decay γ with C (M + γ I) antisymmetric."""
    scalars = [-row[i].get(()) for i, row in enumerate(part.matrix)]
    decay = _number(scalars[0], values)
    if decay is None or decay <= 0 or any(scalar != scalars[0] for scalar in scalars):
        return None
    undamped = reduced(part.matrix, (-scalars[0],) * len(scalars))
    if any(entry for row in symmetric_part(multiplied(part.scaling, undamped)) for entry in row):
        return None
    return decay, str(undamped[0][0]) if len(undamped) == 1 else _text(part, f" + {scalars[0]} I")


def _text(part: Part, damping: str) -> str:
    """M + γ I in words; the balance by C only where it is not that of one number."""
    if len(part.units) == 1:
        return str(part.matrix[0][0])
    plain = all(weight == part.weights[0] for weight in part.weights)
    inner = f"M{damping}"
    return inner if plain else f"C^½ {f'({inner})' if damping else inner} C^-½"


def _number(scalar: Scalar, values: Mapping[str, Fraction]) -> float | None:
    known = rational(scalar.at(values))
    return None if known is None else float(known)


def _plain(part: Part) -> bool:
    """Whether the proof is about the units as they are in the text."""
    changed = part.contracted is not None or part.expanded is not None
    moved = any(unit.moved is not None for unit in part.units)
    return not (part.absorbed or part.allowance or changed or moved)


def _slope(unit: Unit) -> float:
    """A bound of φ', infinite where none is known."""
    if unit.linear:
        return 1.0
    return float("inf") if unit.most is None else float(unit.most)
