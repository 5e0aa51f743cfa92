"""Wrong rules planted in the prover are caught by the soundness check."""

import sys
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from odenet.analyse import (
    certify,
    factorisations,
    functions,
    laurent,
    operator_algebra,
    prove,
    read_formulas,
    reductions,
    squares,
    units,
)
from odenet.analyse.laurent import Signs
from odenet.analyse.operator_algebra import Diagonal, Letter, Operator
from tests.analyse.checks import Contradiction, check
from tests.analyse.specs import Drawn, model

SPECS = 500
POINTS = 3

NEAR_MISSES = [
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
]


@pytest.fixture(autouse=True)
def _fresh_words():
    """What a mutant computed is not remembered."""
    remembered = (
        operator_algebra.join,
        operator_algebra.adjoint,
        operator_algebra.root,
        operator_algebra.core,
        operator_algebra.word_text,
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
    found = operator_algebra.root.__wrapped__(word)
    return (found[0], frozenset()) if found else None


def commuting(left: operator_algebra.Word, right: operator_algebra.Word) -> operator_algebra.Word:
    return tuple(sorted(left + right, key=str))


def tails_of_any_sign(word: operator_algebra.Word, signs: Signs) -> list[operator_algebra.Word]:
    found = [operator_algebra.root(word[start:]) for start in range(len(word))]
    return [pair[0] for pair in found if pair]


class Optimist(Signs):
    """Takes every unknown sign to be +."""

    def of(self, scalar: laurent.Scalar) -> int | None:
        found = Signs.of(self, scalar)
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
    flipped = {key: op if key[0] != key[1] else -op for key, op in system.linear.items()}
    found = right_decay(replace(system, linear=flipped), signs)
    return (found[0], replace(found[1], linear={})) if found else None


def every_state_its_own_decay(system):
    return [[state] for state in system.states]


right_decay = reductions.without_decay


def accepting(spectrum: str) -> Callable:
    def wrong(units, matrix, weights, signs):
        return prove.Part(units, matrix, weights, (), spectrum)

    return wrong


def every_state_apart(system):
    return [reductions._restrict(system, [state]) for state in system.states]


def nothing_forced(model, found):
    return replace(units.read_system.original(model, found), forced=False)  # type: ignore[attr-defined]


units.read_system.original = units.read_system  # type: ignore[attr-defined]


def any_norm(self, leaf):
    stage = leaf.stage
    return (stage, False) if hasattr(stage, "constants") else (stage.name, False)


def without_numbers(form):
    bare = {leaf: Operator.word(operator.terms[0][0]) for leaf, operator in form.items()}
    return affine_of({**form, **{k: v for k, v in bare.items() if hasattr(k, "stage")}})


affine_of = functions.affine


def letters_of_diagonals(self, name):
    return Diagonal(((self.spell(name), 1),))


MUTANTS: dict[str, tuple[Any, Any]] = {
    "the adjoint of a product keeps its order": (operator_algebra.adjoint, unreversed),
    "every operator is self-adjoint": (
        operator_algebra.adjoint,
        lambda word: tuple(reversed(word)),
    ),
    "every even word is a square": (operator_algebra.root, any_square),
    "learned diagonals are never negative": (operator_algebra.root, free_of_assumptions),
    "operators commute": (operator_algebra.join, commuting),
    "every unknown sign is +": (Signs, Optimist),
    "roots are taken of diagonals of any sign": (factorisations.tails, tails_of_any_sign),
    "coupling is left out of the squares": (squares.negative_squares, diagonal_only),
    "growth is taken for decay": (reductions.without_decay, growth_as_decay),
    "a unit may read states of different decay": (
        reductions._read_together,
        every_state_its_own_decay,
    ),
    "C M needs not be antisymmetric": (prove._antisymmetric, accepting("imaginary")),
    "C M needs not be symmetric": (prove._symmetric, accepting("real")),
    "C M needs not be dissipative": (prove._dissipative, accepting("stable")),
    "every system is block triangular": (reductions.parts, every_state_apart),
    "every activation is monotone": (units.not_monotone, lambda unit, model: None),
    "numbers inside a chain do not matter": (functions.affine, without_numbers),
    "a forcing does no work": (units.read_system, nothing_forced),
    "every spectrum is that of the first block": (
        prove.together,
        lambda found: found[0].of_jacobian,
    ),
}
METHODS = {
    "every norm is a diagonal": (units._Chains, "_stage", any_norm),
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


@pytest.mark.parametrize("name", METHODS)
def test_a_wrong_reading_is_caught(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*METHODS[name])
    assert caught()


def test_the_right_rules_pass_on_the_same_corpus_of_near_misses():
    for number, text in enumerate(NEAR_MISSES):
        program = model(text)
        for point in range(POINTS):
            check(program, certify(program), np.random.default_rng([number, point]))
