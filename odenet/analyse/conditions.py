"""The conditions of the theorems, checked as identities between sums of words.

A `ProofPart` is made only by the functions below, after they multiplied C M out and compared.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from odenet.analyse.factorisations import Factorisation, Matrix
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import ZERO_OPERATOR, Operator
from odenet.analyse.reductions import Decay
from odenet.analyse.scaling import Aim, UnitWeights, find_weights, without_inverses
from odenet.analyse.squares import Square, negative_squares
from odenet.analyse.units import Unit
from odenet.model.expressions.expr import State

Units = tuple[Unit, ...]
Spectrum = Literal["imaginary", "real", "stable"]


@dataclass(frozen=True, kw_only=True)
class ProofPart(Factorisation):
    """A proof about the eigenvalues of the units of a factorisation.

    Args:
        scaling: C.
        squares: C M + (C M)ᵀ = -Σ weight Wᵀ W, or C M = -Σ weight Wᵀ W for a real spectrum; no
            squares if that is zero. With an allowance A, M - A takes the place of M.
        spectrum: where the eigenvalues of D M lie for every diagonal D >= 0; with an allowance,
            those of D M - Γ.
        decay: state -> γ if this is about J₀ = J + Γ, with Γ = γ I on each of these states.
        allowance: a_k = (γ_k - rate)/s_k by which M may exceed the condition, for each unit k with
            slopes of at most s_k that reads states of decay γ_k, and 0 for other units; empty if
            slope bounds were not used.
        rate: an r > 0 with Re λ <= -r for all eigenvalues λ of J, if one was found.
        states: the states of the diagonal block of J that this is about; empty for all of J.
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
        """Whether M = R L = 0: then (L D R)² = 0, and all eigenvalues are zero."""
        return not any(operator for row in self.matrix for operator in row)

    @property
    def jacobian_spectrum(self) -> Spectrum:
        """Where the eigenvalues of the Jacobian lie, its decay included."""
        if not self.decay:
            return self.spectrum
        return "real" if self.spectrum == "real" or self.nilpotent else "stable"

    @property
    def monotone_units(self) -> tuple[Unit, ...]:
        """The units for which the proof uses that their slopes are >= 0."""
        absorbed = tuple(unit for _, unit in self.absorbed_units)
        return absorbed if self.nilpotent else (*self.units, *absorbed)

    @property
    def has_diagonal_scaling(self) -> bool:
        """Whether C is diagonal, as in all theorems but the 14th."""
        return not any(x for i, row in enumerate(self.scaling) for j, x in enumerate(row) if i != j)

    @property
    def weights(self) -> UnitWeights:
        """The diagonal of C, which is all of C except in Theorem 14."""
        return tuple(row[i] for i, row in enumerate(self.scaling))


# --- C M -----------------------------------------------------------------------------------------


def diagonal_matrix(weights: UnitWeights) -> Matrix:
    """The diagonal matrix of some weights."""
    size = range(len(weights))
    return tuple(tuple(weights[i] if i == j else ZERO_OPERATOR for j in size) for i in size)


def matrix_product(c: Matrix, matrix: Matrix) -> Matrix:
    """C M; zero entries of C cost no time, as C is mostly diagonal."""
    product: list[tuple[Operator, ...]] = []
    for row in c:
        sums = [ZERO_OPERATOR] * len(matrix[0] if matrix else ())
        for a, matrix_row in zip(row, matrix, strict=True):
            if a:
                sums = [x + a @ b if b else x for x, b in zip(sums, matrix_row, strict=True)]
        product.append(tuple(sums))
    return tuple(product)


def plus_adjoint(matrix: Matrix) -> Matrix:
    """A + Aᵀ."""
    size = range(len(matrix))
    return tuple(tuple(matrix[i][j] + matrix[j][i].adjoint for j in size) for i in size)


# --- Theorems 1 to 3 -----------------------------------------------------------------------------


def prove_antisymmetric(units: Units, matrix: Matrix, c: Matrix, signs: Signs) -> ProofPart | None:
    """Theorem 1: C M + (C M)ᵀ = 0; None if that is false."""
    is_zero = not any(op for row in plus_adjoint(matrix_product(c, matrix)) for op in row)
    return _part_if_proved(units, matrix, c, "imaginary", () if is_zero else None)


def prove_symmetric(units: Units, matrix: Matrix, c: Matrix, signs: Signs) -> ProofPart | None:
    """Theorem 3: C M = (C M)ᵀ = -Σ WᵀW; None if that is not found."""
    squares = symmetric_squares(matrix_product(c, matrix), signs)
    return _part_if_proved(units, matrix, c, "real", squares)


def prove_dissipative(units: Units, matrix: Matrix, c: Matrix, signs: Signs) -> ProofPart | None:
    """Theorem 2: C M + (C M)ᵀ = -Σ WᵀW; None if that is not found."""
    squares = negative_squares(plus_adjoint(matrix_product(c, matrix)), signs)
    return _part_if_proved(units, matrix, c, "stable", squares)


def _part_if_proved(
    units: Units, matrix: Matrix, c: Matrix, spectrum: Spectrum, squares: tuple[Square, ...] | None
) -> ProofPart | None:
    if squares is None:
        return None
    return ProofPart(units=units, matrix=matrix, scaling=c, squares=squares, spectrum=spectrum)


def symmetric_squares(product: Matrix, signs: Signs) -> tuple[Square, ...] | None:
    """Squares with C M = (C M)ᵀ = -Σ WᵀW; None if there are none or C M is not symmetric."""
    size = range(len(product))
    if any(product[i][j] != product[j][i].adjoint for i in size for j in size):
        return None
    return negative_squares(product, signs)


THEOREMS = {
    Aim.ANTISYMMETRIC: prove_antisymmetric,
    Aim.SYMMETRIC: prove_symmetric,
    Aim.DISSIPATIVE: prove_dissipative,
}


def prove_with_diagonal(units: Units, matrix: Matrix, signs: Signs) -> ProofPart | None:
    """The strongest of Theorems 1 to 3 for which a diagonal C is found."""
    if _rules_out_scaling(matrix, signs):
        return None
    for aim, prove in THEOREMS.items():
        weights = find_weights(matrix, aim, signs)
        for candidate in (without_inverses(weights), weights) if weights else ():
            if (part := prove(units, matrix, diagonal_matrix(candidate), signs)) is not None:
                return part
    return None


def _rules_out_scaling(matrix: Matrix, signs: Signs) -> bool:
    """Whether a diagonal block of M alone rules out Theorems 1 to 3 for every C of numbers."""
    if any(operator.diagonals for row in matrix for operator in row):
        return False
    blocks = (matrix[i][i] for i in range(len(matrix)))
    return any(negative_squares(plus_adjoint(((b,),)), signs) is None for b in blocks)


def with_factorisation(part: ProofPart, factorisation: Factorisation) -> ProofPart:
    """The proof with the changes of variables that led to its M."""
    return replace(part, **vars(factorisation))
