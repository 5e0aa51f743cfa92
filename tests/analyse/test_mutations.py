"""Wrong rules planted in the prover are caught by the soundness check."""

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
from tests.analyse.numpy_checks import Contradiction, check
from tests.analyse.specs import Drawn, model

SPECS = 500
POINTS = 3

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
    "state Y\nparam K : dense\nY' = -K^T (gelu(K Y) + 0.05 K Y)",
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
]


@pytest.fixture(autouse=True)
def _fresh_words():
    """What a mutant computed is not remembered."""
    remembered = (
        operator_algebra.word_product,
        operator_algebra.word_adjoint,
        operator_algebra.word_root,
        operator_algebra.split_diagonals,
        operator_algebra.word_text,
        lyapunov.scaling_candidates,
    )
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


def plant(monkeypatch: pytest.MonkeyPatch, original: Any, wrong: Any) -> None:
    """Put a wrong function in the place of one, wherever the prover has it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("odenet.analyse"):
            for attribute, found in list(vars(module).items()):
                if found is original:
                    monkeypatch.setattr(module, attribute, wrong)


def unreversed(word: operator_algebra.Word) -> operator_algebra.Word:
    return tuple(Letter(x.name, not x.adjoint) if isinstance(x, Letter) else x for x in word)


def any_square(word: operator_algebra.Word):
    half = len(word) // 2
    return (word[half:], frozenset()) if len(word) % 2 == 0 else None


def free_of_assumptions(word: operator_algebra.Word):
    found = operator_algebra.word_root.__wrapped__(word)
    return (found[0], frozenset()) if found else None


def commuting(left: operator_algebra.Word, right: operator_algebra.Word) -> operator_algebra.Word:
    return tuple(sorted(left + right, key=str))


def tails_of_any_sign(word: operator_algebra.Word, signs: Signs) -> list[operator_algebra.Word]:
    found = [operator_algebra.word_root(word[start:]) for start in range(len(word))]
    return [pair[0] for pair in found if pair]


class Optimist(Signs):
    """Takes every unknown sign to be +."""

    def sign_of(self, scalar: laurent.Scalar) -> int | None:
        found = Signs.sign_of(self, scalar)
        return 1 if found is None else found


def diagonal_only(matrix, signs):
    """Squares of the diagonal blocks, whatever stands beside them."""
    alone = tuple(
        tuple(op if i == j else Operator() for j, op in enumerate(row))
        for i, row in enumerate(matrix)
    )
    return squares.negative_squares.original(alone, signs)  # type: ignore[attr-defined]


squares.negative_squares.original = squares.negative_squares  # type: ignore[attr-defined]


def growth_as_decay(system, signs):
    flipped = {key: op if key[0] != key[1] else -op for key, op in system.linear_terms.items()}
    found = right_decay(replace(system, linear_terms=flipped), signs)
    return (found[0], replace(found[1], linear_terms={})) if found else None


def every_state_its_own_decay(system):
    return [[state] for state in system.states]


right_decay = reductions.split_off_decay


def accepting(spectrum: str) -> Callable:
    def wrong(units, matrix, weights, signs):
        return conditions.ProofPart(
            units=units, matrix=matrix, scaling=weights, squares=(), spectrum=spectrum
        )

    return wrong


def every_state_apart(system):
    return [reductions._restricted(system, [state]) for state in system.states]


def nothing_forced(model, found):
    return replace(read_units.read_system.original(model, found), has_forcing=False)  # type: ignore[attr-defined]


read_units.read_system.original = read_units.read_system  # type: ignore[attr-defined]


def any_norm(self, leaf):
    stage = leaf.stage
    return (stage, False) if hasattr(stage, "constants") else (stage.name, False)


def without_numbers(form):
    bare = {leaf: Operator.word(operator.terms[0][0]) for leaf, operator in form.items()}
    return affine_of({**form, **{k: v for k, v in bare.items() if hasattr(k, "stage")}})


affine_of = functions.in_canonical_order


def letters_of_diagonals(self, name):
    return Diagonal(((self.spell(name), 1),))


def slopes_of_at_most_one(activation, found):
    least, _ = slopes.activation_bounds.original(activation, found)  # type: ignore[attr-defined]
    return least, Fraction(1)


def slopes_without_numbers(unit, reader):
    return [Fraction(1) for _ in unit.stage_factors]


def half_the_fall(activation, found):
    least, most = slopes.activation_bounds.original(activation, found)  # type: ignore[attr-defined]
    return least and least / 2, most


for function in (slopes.activation_bounds, slopes._shift_slopes):
    function.original = function  # type: ignore[attr-defined]


def moved_and_kept(system, turned):
    """The linear part is added to nothing: ψ takes the place of φ all the same."""
    moved = slopes._shift_slopes.original(system, turned)  # type: ignore[attr-defined]
    return replace(moved, linear_terms=system.linear_terms)


def products_with_slopes(units_, decay, rate):
    """γ s in the place of γ/s."""
    found = []
    for unit in units_:
        gamma = next((decay[s] for s in unit.row if s in decay), Scalar())
        bound = bounded_slopes.slope_bound(unit) or Fraction(1)
        found.append(Scalar.number(bound) * (gamma - rate))
    return tuple(found)


def decay_of_the_first(units_, decay, rate):
    """Every unit is given the decay of the first state that has one."""
    gamma = next(iter(decay.values()))
    bounds = [bounded_slopes.slope_bound(unit) or Fraction(1) for unit in units_]
    return tuple(Scalar.number(1 / bound) * (gamma - rate) for bound in bounds)


def any_rate(part, slowest, signs):
    return replace(part, rate=slowest)


def any_sign(weights, signs):
    return tuple(weights)


def any_prefix(plain):
    """A change of variables from the left although unit v reads itself through operators."""
    for v, unit in enumerate(plain.units):
        if not unit.stages:
            for word, _ in [t for j, op in enumerate(plain.matrix[v]) if j != v for t in op.terms]:
                if len(word) > 1:
                    row = [op if j != v else Operator() for j, op in enumerate(plain.matrix[v])]
                    matrix = (*plain.matrix[:v], tuple(row), *plain.matrix[v + 1 :])
                    yield factorisations._expand(replace(plain, matrix=matrix), v, word[:1])


MUTANTS: dict[str, tuple[Any, Any]] = {
    "the adjoint of a product keeps its order": (operator_algebra.word_adjoint, unreversed),
    "every operator is self-adjoint": (
        operator_algebra.word_adjoint,
        lambda word: tuple(reversed(word)),
    ),
    "every even word is a square": (operator_algebra.word_root, any_square),
    "learned diagonals are never negative": (
        operator_algebra.word_root,
        free_of_assumptions,
    ),
    "operators commute": (operator_algebra.word_product, commuting),
    "every unknown sign is +": (Signs, Optimist),
    "roots are taken of diagonals of any sign": (
        factorisations.squared_suffixes,
        tails_of_any_sign,
    ),
    "coupling is left out of the squares": (squares.negative_squares, diagonal_only),
    "growth is taken for decay": (reductions.split_off_decay, growth_as_decay),
    "a linear unit may read states of different decay": (
        prove._has_equal_decays,
        lambda arrangement, decay: True,
    ),
    "C M needs not be antisymmetric": (conditions.prove_antisymmetric, accepting("imaginary")),
    "C M needs not be symmetric": (conditions.prove_symmetric, accepting("real")),
    "C M needs not be dissipative": (conditions.prove_dissipative, accepting("stable")),
    "every system is block triangular": (reductions.irreducible_systems, every_state_apart),
    "every activation is monotone": (units.nonmonotone_activation, lambda unit, model: None),
    "numbers inside a chain do not matter": (functions.in_canonical_order, without_numbers),
    "a forcing does no work": (read_units.read_system, nothing_forced),
    "slopes are at most 1 always": (slopes.activation_bounds, slopes_of_at_most_one),
    "numbers in a chain do not change its slope": (
        slopes._factor_values,
        slopes_without_numbers,
    ),
    "the least slope is half of what it is": (slopes.activation_bounds, half_the_fall),
    "what is moved to the linear terms is lost": (slopes._shift_slopes, moved_and_kept),
    "larger slopes are allowed more": (bounded_slopes.allowances, products_with_slopes),
    "the decay of one state is that of all": (bounded_slopes.allowances, decay_of_the_first),
    "what decay leaves over is all of it": (bounded_slopes._with_rate, any_rate),
    "diagonal weights have any sign": (scaling._normalise, any_sign),
    "a state moved through an operator may read itself": (
        factorisations.expansions,
        any_prefix,
    ),
    "a scaling of numbers commutes with any decay": (
        prove._is_scalable,
        lambda block, decay: True,
    ),
    "an indefinite scaling is fine": (lyapunov.is_positive_definite, lambda matrix: True),
    "every spectrum is that of the first block": (
        prove.combined_spectrum,
        lambda found: found[0].jacobian_spectrum,
    ),
}
METHODS = {
    "every norm is a diagonal": (read_units._ChainReader, "_outer_stage", any_norm),
    "every operator is a diagonal": (read_formulas.FormulaReader, "_letter", letters_of_diagonals),
}


def caught() -> bool:
    """Whether the check contradicts the prover on the corpus."""
    texts = [*NEAR_MISSES, *(Drawn(Random(seed)).text() for seed in range(SPECS))]
    for number, text in enumerate(texts):
        program = model(text)
        try:
            certificate = certify(program)
        except Exception:  # a mutant may break its own invariants; that shows as well
            return True
        if not (certificate.proved or certificate.energy):
            continue
        for point in range(POINTS):
            try:
                check(program, certificate, np.random.default_rng([number, point]))
            except Contradiction:
                return True
    return False


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    plant(monkeypatch, *MUTANTS[name])
    assert caught()


def test_a_unit_that_reads_states_of_different_decay_is_caught(monkeypatch: pytest.MonkeyPatch):
    """Two rules keep it out: where decay is taken off, and where units are arranged."""
    plant(monkeypatch, reductions._joint_states, every_state_its_own_decay)
    plant(monkeypatch, prove._has_equal_decays, lambda arrangement, decay: True)
    assert caught()


@pytest.mark.parametrize("name", METHODS)
def test_a_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*METHODS[name])
    assert caught()


def test_the_right_rules_pass_on_the_same_corpus_of_near_misses():
    for number, text in enumerate(NEAR_MISSES):
        program = model(text)
        for point in range(POINTS):
            check(program, certify(program), np.random.default_rng([number, point]))
