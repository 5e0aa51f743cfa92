"""What a proof rests on: a `Part`, and the conditions of the theorems, checked as identities.

A `Part` is made by the functions below only, which multiply C M out and compare sums of words.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from odenet.analyse.factorisations import Arrangement, Matrix
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import NOTHING, Operator
from odenet.analyse.reductions import Decay
from odenet.analyse.scaling import Aim, UnitWeights, find_weights, without_inverses
from odenet.analyse.squares import Square, negative_squares
from odenet.analyse.units import Unit
from odenet.model.expressions.expr import State

Units = tuple[Unit, ...]
Spectrum = Literal["imaginary", "real", "stable"]


@dataclass(frozen=True, kw_only=True)
class Part(Arrangement):
    """A proof about the units of an arrangement.

    Args:
        scaling: C.
        squares: C M + (C M)ᵀ = -Σ weight Wᵀ W; for a real spectrum the same of C M. None for zero.
            With an allowance A, M - A is in the place of M.
        spectrum: what follows for the eigenvalues of D M, D >= 0 any diagonal, or, with an
            allowance, for those of D M - Γ.
        decay: γ by state if this is about J + Γ instead of J, Γ = γ I on each of these states.
        allowance: a_k = (γ_k - rate)/s_k for units with slopes of at most s_k that read states of
            decay γ_k; empty where the slopes' bounds were not used.
        rate: an r > 0 with Re λ <= -r for the eigenvalues λ of J.
        states: the block of a block triangular J that this is about; none for all of J.
    """

    scaling: Matrix
    squares: tuple[Square, ...]
    spectrum: Spectrum
    decay: Decay = field(default_factory=dict[State, Scalar], hash=False)
    allowance: tuple[Scalar, ...] = ()
    rate: Scalar | None = None
    states: tuple[State, ...] = ()

    @property
    def nilpotent(self) -> bool:
        """Whether M = 0, so that all eigenvalues are zero."""
        return not any(operator for row in self.matrix for operator in row)

    @property
    def of_jacobian(self) -> Spectrum:
        """Where the eigenvalues of the Jacobian lie, given those of this part."""
        if not self.decay:
            return self.spectrum
        return "real" if self.spectrum == "real" or self.nilpotent else "stable"

    @property
    def monotone(self) -> tuple[Unit, ...]:
        """The units of which D >= 0 was used."""
        absorbed = tuple(unit for _, unit in self.absorbed)
        return absorbed if self.nilpotent else (*self.units, *absorbed)

    @property
    def scales_diagonally(self) -> bool:
        """Whether C is diagonal: in all theorems but the 14th."""
        return not any(x for i, row in enumerate(self.scaling) for j, x in enumerate(row) if i != j)

    @property
    def weights(self) -> UnitWeights:
        """The diagonal of C: all of C, but where Theorem 14 scales linear units."""
        return tuple(row[i] for i, row in enumerate(self.scaling))


# --- C M -----------------------------------------------------------------------------------------


def diagonal(weights: UnitWeights) -> Matrix:
    """C as a matrix."""
    size = range(len(weights))
    return tuple(tuple(weights[i] if i == j else NOTHING for j in size) for i in size)


def multiplied(c: Matrix, matrix: Matrix) -> Matrix:
    """C M; only the entries of C that are not zero cost time, as C is mostly diagonal."""
    product: list[tuple[Operator, ...]] = []
    for row in c:
        found = [NOTHING] * len(matrix[0] if matrix else ())
        for a, other in zip(row, matrix, strict=True):
            if a:
                found = [sum_ + a @ b if b else sum_ for sum_, b in zip(found, other, strict=True)]
        product.append(tuple(found))
    return tuple(product)


def symmetric_part(matrix: Matrix) -> Matrix:
    """A + Aᵀ."""
    size = range(len(matrix))
    return tuple(tuple(matrix[i][j] + matrix[j][i].adjoint for j in size) for i in size)


# --- Theorems 1 to 3 -----------------------------------------------------------------------------


def antisymmetric(units: Units, matrix: Matrix, c: Matrix, signs: Signs) -> Part | None:
    """C M + (C M)ᵀ = 0."""
    zero = not any(op for row in symmetric_part(multiplied(c, matrix)) for op in row)
    return _part(units, matrix, c, "imaginary", () if zero else None)


def symmetric(units: Units, matrix: Matrix, c: Matrix, signs: Signs) -> Part | None:
    """C M = (C M)ᵀ = -Σ WᵀW."""
    return _part(units, matrix, c, "real", symmetric_squares(multiplied(c, matrix), signs))


def dissipative(units: Units, matrix: Matrix, c: Matrix, signs: Signs) -> Part | None:
    """C M + (C M)ᵀ = -Σ WᵀW."""
    squares = negative_squares(symmetric_part(multiplied(c, matrix)), signs)
    return _part(units, matrix, c, "stable", squares)


def _part(
    units: Units, matrix: Matrix, c: Matrix, spectrum: Spectrum, squares: tuple[Square, ...] | None
) -> Part | None:
    if squares is None:
        return None
    return Part(units=units, matrix=matrix, scaling=c, squares=squares, spectrum=spectrum)


def symmetric_squares(product: Matrix, signs: Signs) -> tuple[Square, ...] | None:
    """Squares with C M = (C M)ᵀ = -Σ WᵀW; None if there are none or C M is not symmetric."""
    size = range(len(product))
    if any(product[i][j] != product[j][i].adjoint for i in size for j in size):
        return None
    return negative_squares(product, signs)


def strongest(units: Units, matrix: Matrix, signs: Signs) -> Part | None:
    """The strongest of the three that a diagonal C gives."""
    if _hopeless(matrix, signs):
        return None
    for aim, check in (
        (Aim.ANTISYMMETRIC, antisymmetric),
        (Aim.SYMMETRIC, symmetric),
        (Aim.DISSIPATIVE, dissipative),
    ):
        weights = find_weights(matrix, aim, signs)
        for choice in (without_inverses(weights), weights) if weights else ():
            part = check(units, matrix, diagonal(choice), signs)
            if part is not None:
                return part
    return None


def _hopeless(matrix: Matrix, signs: Signs) -> bool:
    """Whether a diagonal block alone rules out all scalings by numbers."""
    if any(operator.diagonals for row in matrix for operator in row):
        return False
    blocks = (matrix[i][i] for i in range(len(matrix)))
    return any(negative_squares(symmetric_part(((b,),)), signs) is None for b in blocks)


def as_arranged(part: Part, arrangement: Arrangement) -> Part:
    """A statement about M, with how M came about."""
    return replace(part, **vars(arrangement))
