"""Mutation tests: the soundness check catches each wrong rule that is put into the prover.

The check is tests/analyse/numpy_checks.py. It runs on NEAR_MISSES, systems that just fail the
conditions of a theorem, and on random specs. Each wrong rule is named after its mistake.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np
import pytest

from odenet.analyse import (
    bounded_slopes,
    certify,
    conditions,
    factorisations,
    functions,
    laurent,
    lyapunov,
    operator_algebra,
    prove,
    read_formulas,
    read_units,
    reductions,
    scaling,
    slopes,
    squares,
    units,
)
from odenet.analyse.laurent import Scalar, Signs
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator
from odenet.model.expressions import expr
from tests.analyse.numpy_checks import Contradiction, check_certificate
from tests.analyse.specs import RandomSpec, load_model

SPECS = 500  # number of random specs
POINTS = 3  # random points at which each certificate is checked

NEAR_MISSES = [
    "state X, Y\nX' = X + 2 Y\nY' = X - 3 Y",
    "state Y\nparam K : dense\nparam g : scalar\nY' = tanh((K - K^T - g I) Y)",
    "state Y, Z\nparam K : dense\nparam d : diag\nY' = K^T (d tanh(K Z))\nZ' = -K^T tanh(K Y)",
    "state Y, Z\nparam K : dense\nY' = -K Z - Y\nZ' = tanh(K^T Y) - Z",
    "state Y\nparam K : dense\nY' = gelu((K - K^T) Y)",
    "state Y\nparam K, W : dense\nY' = -K^T tanh(K Y) - 3 W^T tanh(K Y)",
    "state Y\nparam K : dense\nY' = 2 Y + tanh((K - K^T) Y)",
    "state Y\nparam K : dense\nparam N : norm(group = 1)\nY' = tanh(N((K - K^T) Y))",
    "state Y, Z\nparam K : dense\nY' = tanh((K - K^T) Y)\nZ' = -K^T tanh(K Z) + K Y",
    "state Y, Z\nparam K : dense\nY' = K Z\nZ' = K^T Y",
    "state Y\nparam K, W : dense\nY' = -K^T K tanh(Y) - W^T W tanh(Y) + 3 W^T K tanh(Y)",
    "state Y\nparam K, b : dense\nY' = -K^T tanh(K Y) - b^T tanh(b Y) + u",
    "state Y, Z\nparam K : dense\nparam b : bias\nY' = K^T tanh(K Z) + b\nZ' = -K^T tanh(K Y)",
    "state Y\nparam K, W : dense\nY' = tanh((W - W^T) K Y)",
    "state Y\nparam K, W : dense\nY' = tanh((W K - W^T K^T) Y)",
    "state Y\nparam K : dense\nparam d : diag\nY'' = -K^T d K Y",
    "state Y\nparam K : dense\nY' = tanh((K - K) Y) - Y",
    "state Y, Z\nparam A, B : dense\nY' = B^T tanh(A Y + B Z)\nZ' = -A^T tanh(A Y + B Z) - 9 Z",
    "state Y\nparam K : dense\n"
    "Y' = K^T tanh(sigmoid(2 tanh(K Y))) - K^T tanh(2 sigmoid(tanh(K Y)))",
    "state Y\nparam K : dense\nY' = K^T tanh(2 sigmoid(K Y)) - K^T tanh(3 sigmoid(K Y))",
    "state Y\nY' = -2 Y + leaky_relu(0.9)(Y)",
    "state Y\nY' = -Y + leaky_relu(3)(Y)",
    "state Y\nY' = -2 Y + leaky_relu(3)(Y)",
    "state Y\nY' = -Y + leaky_relu(0.9)(5 leaky_relu(0.9)(Y))",
    "state Y\nY' = -2 Y + 4 sigmoid(4 Y)",
    "state Y\nparam K : dense\nY' = -Y + 3 relu((K - K^T) Y + Y)",
    "state Y, Z\nY' = -Y + 2 relu(Y)\nZ' = -3 Z + relu(Y)",
    "state Y, Z\nY' = -5 Y + leaky_relu(0.9)(Z)\nZ' = 3 tanh(Y) + 3 leaky_relu(0.9)(Z)",
    "state Y\nparam K : dense\nY' = -K^T (gelu(K Y) + 0.07 K Y)",
    "state Y\nY' = -Y - 15 silu(Y)",
    "state Y\nparam K : dense\nY'' = -K^T (K Y - leaky_relu(3)(K Y)) - Y'",
    "state Y\nparam K : dense\nparam d : diag\nY' = d (K - K^T) tanh(Y)",
    "state Y\nparam K : dense\nparam d : diag\nY' = -d K^T K tanh(Y)",
    "state Y\nparam A, K : dense\nY'' = -A^T A K^T tanh(K Y) + A^T K Y' - Y'",
    "state Y\nparam A, K : dense\nY'' = -A^T A K^T tanh(K Y) + 2 Y'",
    "state Y\nparam A, K : dense\nY'' = -A^T A K^T tanh(K Y) - A^T K tanh(Y)",
    "state X, V, A\nX' = V\nV' = A\nA' = -A - V - 2 X",
    "state X, Y, Z\nX' = -1/10 X + 2 Y\nY' = -X + Z\nZ' = Y",
    "state X, Y\nX' = X - 2 Y\nY' = X + 2 Y",
    "state Y, Z\nparam A, B : dense\nY' = B^T A Y + B^T B Z\nZ' = -A^T A Y - A^T B Z - 2 Z",
    "state Y\nY' = -Y - 15 gelu(Y)",
]


# right rules that wrong ones call
original_root = operator_algebra.word_root
original_squares = squares.negative_squares
original_split = reductions.split_off_decay
original_read_system = read_units.read_system
original_order = functions.in_canonical_order
original_bounds = slopes.activation_bounds
original_move_slopes = slopes._move_slopes


@pytest.fixture(autouse=True)
def _clear_caches():
    """No result of a wrong rule stays in a cache."""
    cached_functions = (
        operator_algebra.word_product,
        operator_algebra.word_adjoint,
        operator_algebra.word_root,
        operator_algebra.split_diagonals,
        operator_algebra.word_text,
        lyapunov.scaling_candidates,
    )
    for function in cached_functions:
        function.cache_clear()
    yield
    for function in cached_functions:
        function.cache_clear()


def replace_in_prover(monkeypatch: pytest.MonkeyPatch, original: Any, wrong: Any) -> None:
    """Replace a function of the prover by a wrong one in every module and table that has it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("odenet.analyse"):
            for attribute, value in list(vars(module).items()):
                if value is original:
                    monkeypatch.setattr(module, attribute, wrong)
                if attribute == "THEOREMS":  # aim of a proof -> theorem
                    for aim in [aim for aim, theorem in value.items() if theorem is original]:
                        monkeypatch.setitem(value, aim, wrong)


def adjoint_in_the_same_order(word: operator_algebra.Word) -> operator_algebra.Word:
    return tuple(Letter(x.name, not x.adjoint) if isinstance(x, Letter) else x for x in word)


def any_square(word: operator_algebra.Word, nonnegative: frozenset[str]):
    """The second half of a word, as if the first were its adjoint."""
    return word[len(word) // 2 :] if len(word) % 2 == 0 else None


def root_without_conditions(word: operator_algebra.Word, nonnegative: frozenset[str]):
    diagonals = frozenset(name for name, _ in operator_algebra.word_powers(word))
    return original_root(word, diagonals)


def commuting_product(
    left: operator_algebra.Word, right: operator_algebra.Word
) -> operator_algebra.Word:
    return tuple(sorted(left + right, key=str))


def suffixes_of_any_sign(word: operator_algebra.Word, signs: Signs) -> list[operator_algebra.Word]:
    roots = [root_without_conditions(word[start:], frozenset()) for start in range(len(word))]
    return [root for root in roots if root]


class PositiveSigns(Signs):
    """Takes every unknown sign for +."""

    def sign_of(self, scalar: laurent.Scalar) -> int | None:
        sign = Signs.sign_of(self, scalar)
        return 1 if sign is None else sign


def squares_of_diagonal_blocks(matrix, signs):
    """The squares of the diagonal blocks; the other blocks are ignored."""
    block_diagonal = tuple(
        tuple(op if i == j else Operator() for j, op in enumerate(row))
        for i, row in enumerate(matrix)
    )
    return original_squares(block_diagonal, signs)


def growth_as_decay(system, signs):
    """Splits off terms +γ s as if they were decays -γ s."""
    flipped = {(i, j): -op if i == j else op for (i, j), op in system.linear_terms.items()}
    split = original_split(replace(system, linear_terms=flipped), signs)
    if split is None:
        return None
    decay, rest = split
    return decay, replace(rest, linear_terms={})


def separate_states(system):
    """Groups of one state each, though a unit reads several."""
    return [[state] for state in system.states]


def accept_any(spectrum: str) -> Callable:
    """A theorem without conditions, which proves a spectrum of every matrix."""

    def wrong(units, matrix, weights, signs):
        return conditions.ProofPart(
            units=units, matrix=matrix, scaling=weights, squares=(), spectrum=spectrum
        )

    return wrong


def states_as_blocks(system):
    return [reductions._restricted(system, [state]) for state in system.states]


def without_forcing(*arguments):
    return replace(original_read_system(*arguments), has_forcing=False)


def norm_as_diagonal(self, leaf):
    """Takes norms that mix values, and maps, for stages with a diagonal Jacobian."""
    stage = leaf.stage
    is_odd = False
    return (stage if isinstance(stage, expr.Activation) else stage.name), is_odd


def without_numbers(form):
    """The terms of a chain in order, as if each function in it had the coefficient 1."""
    bare = {
        leaf: Operator.word(operator.terms[0][0])
        for leaf, operator in form.items()
        if hasattr(leaf, "stage")
    }
    return original_order({**form, **bare})


def letter_as_diagonal(self, name):
    """Reads the name of any operator as that of a diagonal."""
    return Diagonal(((self.spell(name), 1),))


def slopes_of_at_most_one(activation, model):
    least, _ = original_bounds(activation, model)
    return least, Fraction(1)


def slopes_without_numbers(unit, reader):
    return [Fraction(1) for _ in unit.stage_factors]


def half_of_the_least_slope(activation, model):
    least, most = original_bounds(activation, model)
    return least and least / 2, most


def moved_slopes_without_linear_terms(system, reflected):
    """φ = s x + ψ is replaced by ψ, and s x is not added to the linear terms."""
    moved = original_move_slopes(system, reflected)
    return replace(moved, linear_terms=system.linear_terms)


def allowances_times_slopes(units_, decay, rate):
    """γ s instead of γ/s, for the decay γ and the largest slope s."""
    allowances = []
    for unit in units_:
        gamma = next((decay[s] for s in unit.row if s in decay), Scalar())
        bound = bounded_slopes.slope_bound(unit) or Fraction(1)
        allowances.append(Scalar.number(bound) * (gamma - rate))
    return tuple(allowances)


def allowances_of_one_decay(units_, decay, rate):
    """Every unit is allowed the decay of the first state that has one."""
    gamma = next(iter(decay.values()))
    bounds = [bounded_slopes.slope_bound(unit) or Fraction(1) for unit in units_]
    return tuple(Scalar.number(1 / bound) * (gamma - rate) for bound in bounds)


def slowest_rate(part, slowest, signs):
    """Claims the slowest decay as the rate, though a part of it makes up for slopes."""
    return replace(part, rate=slowest)


def weights_of_any_sign(weights, signs):
    return tuple(weights)


def expansions_of_any_unit(factorisation):
    """A change of variables from the left for unit v, even if it reads itself through operators."""
    matrix = factorisation.matrix
    linear_units = [v for v, unit in enumerate(factorisation.units) if not unit.stages]
    for v in linear_units:
        words = [word for j, op in enumerate(matrix[v]) if j != v for word, _ in op.terms]
        for word in words:
            if len(word) > 1:
                row = tuple(op if j != v else Operator() for j, op in enumerate(matrix[v]))
                changed = replace(factorisation, matrix=(*matrix[:v], row, *matrix[v + 1 :]))
                yield factorisations._expand(changed, v, word[:1])


# mistake -> the right rule, the wrong one that replaces it
MUTANTS: dict[str, tuple[Any, Any]] = {
    "the adjoint of a product keeps its order": (
        operator_algebra.word_adjoint,
        adjoint_in_the_same_order,
    ),
    "every operator is self-adjoint": (
        operator_algebra.word_adjoint,
        lambda word: tuple(reversed(word)),
    ),
    "every even word is a square": (operator_algebra.word_root, any_square),
    "learned diagonals are never negative": (
        operator_algebra.word_root,
        root_without_conditions,
    ),
    "operators commute": (operator_algebra.word_product, commuting_product),
    "every unknown sign is +": (Signs, PositiveSigns),
    "roots are taken of diagonals of any sign": (
        factorisations.squared_suffixes,
        suffixes_of_any_sign,
    ),
    "coupling is left out of the squares": (squares.negative_squares, squares_of_diagonal_blocks),
    "growth counts as decay": (reductions.split_off_decay, growth_as_decay),
    "a linear unit may read states of different decay": (
        prove._has_equal_decays,
        lambda arrangement, decay: True,
    ),
    "C M need not be antisymmetric": (conditions.prove_antisymmetric, accept_any("imaginary")),
    "C M need not be symmetric": (conditions.prove_symmetric, accept_any("real")),
    "C M need not be dissipative": (conditions.prove_dissipative, accept_any("stable")),
    "every system is block triangular": (reductions.irreducible_systems, states_as_blocks),
    "every activation is monotone": (units.nonmonotone_activation, lambda unit, model: None),
    "numbers inside a chain do not matter": (functions.in_canonical_order, without_numbers),
    "a forcing does no work": (read_units.read_system, without_forcing),
    "slopes are at most 1 always": (slopes.activation_bounds, slopes_of_at_most_one),
    "numbers in a chain do not change its slope": (
        slopes._factor_values,
        slopes_without_numbers,
    ),
    "the least slope is half of what it is": (slopes.activation_bounds, half_of_the_least_slope),
    "what is moved to the linear terms is lost": (
        slopes._move_slopes,
        moved_slopes_without_linear_terms,
    ),
    "larger slopes are allowed more": (bounded_slopes.allowances, allowances_times_slopes),
    "the decay of one state is that of all": (bounded_slopes.allowances, allowances_of_one_decay),
    "the rate is the whole decay": (bounded_slopes._with_rate, slowest_rate),
    "diagonal weights have any sign": (scaling._normalise, weights_of_any_sign),
    "a state shifted through an operator may read itself": (
        factorisations.expansions,
        expansions_of_any_unit,
    ),
    "a scaling of numbers commutes with any decay": (
        prove._allows_matrix_scaling,
        lambda block, decay: True,
    ),
    "an indefinite scaling is accepted": (lyapunov.is_positive_definite, lambda matrix: True),
    "every spectrum is that of the first block": (
        prove.combined_spectrum,
        lambda parts: parts[0].jacobian_spectrum,
    ),
}
# mistake -> class, name of a method, the wrong method
METHOD_MUTANTS = {
    "every norm is a diagonal": (read_units._ChainReader, "_outer_stage", norm_as_diagonal),
    "every operator is a diagonal": (read_formulas.FormulaReader, "_letter", letter_as_diagonal),
}


def contradicts_prover() -> bool:
    """Whether the check contradicts a certificate of the near misses and the random specs."""
    texts = [*NEAR_MISSES, *(RandomSpec(Random(seed)).text() for seed in range(SPECS))]
    for index, text in enumerate(texts):
        model = load_model(text)
        certificate = certify(model)
        if not (certificate.proved or certificate.energy):
            continue
        for point in range(POINTS):
            try:
                check_certificate(model, certificate, np.random.default_rng([index, point]))
            except Contradiction:
                return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    replace_in_prover(monkeypatch, *MUTANTS[name])
    assert contradicts_prover()


def test_a_unit_that_reads_states_of_different_decay_is_caught(monkeypatch: pytest.MonkeyPatch):
    """Two rules exclude it: one where decay is split off, one where units are arranged."""
    replace_in_prover(monkeypatch, reductions._joint_states, separate_states)
    replace_in_prover(monkeypatch, prove._has_equal_decays, lambda arrangement, decay: True)
    assert contradicts_prover()


@pytest.mark.parametrize("name", METHOD_MUTANTS)
def test_a_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*METHOD_MUTANTS[name])
    assert contradicts_prover()


def test_the_right_rules_pass_on_the_same_corpus_of_near_misses():
    for index, text in enumerate(NEAR_MISSES):
        model = load_model(text)
        for point in range(POINTS):
            check_certificate(model, certify(model), np.random.default_rng([index, point]))
