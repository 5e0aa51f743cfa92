"""Linear operators as sums of words: the free *-algebra over the learned operators.

A word is a product of letters, `K1 K2ᵀ`. Letters do not commute, except diagonals among themselves:
neighbouring diagonals are one letter, a product of powers, and are their own adjoint. Two operators
are equal for all weights exactly if their sums of words are the same. Every sum and product calls
`spend`, which ends a computation that takes too many operations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

from odenet.analyse.laurent import ONE, ZERO, Scalar, factor_text, power_text, signed_sum
from odenet.diagnostics.effort import spend

CACHE_SIZE = 1 << 14  # words; bounded, since a program may compile many specs


class Letter(NamedTuple):
    """A learned operator or its adjoint, as a factor of a word."""

    name: str
    adjoint: bool = False

    def __str__(self) -> str:
        return self.name + "ᵀ" * self.adjoint


Powers = tuple[tuple[str, int | Fraction], ...]  # (name, exponent) of each factor


class Diagonal(NamedTuple):
    """A product of powers of named diagonals; fractional powers require diagonals >= 0."""

    powers: Powers

    def __str__(self) -> str:
        return " ".join(power_text(name, power) for name, power in self.powers)

    def power(self, exponent: Fraction | int) -> "Diagonal":
        """Each factor raised to a power."""
        return Diagonal(tuple((name, power * exponent) for name, power in self.powers))


Word = tuple[Letter | Diagonal, ...]
Key = TypeVar("Key")


@lru_cache(CACHE_SIZE)
def word_product(left: Word, right: Word) -> Word:
    """The product of two words."""
    if left and right and isinstance(left[-1], Diagonal) and isinstance(right[0], Diagonal):
        powers = dict(left[-1].powers)
        for name, power in right[0].powers:
            powers[name] = powers.get(name, 0) + power
        merged_powers = tuple(sorted((name, power) for name, power in powers.items() if power))
        middle: Word = (Diagonal(merged_powers),) if merged_powers else ()
        return left[:-1] + middle + right[1:]
    return left + right


@lru_cache(CACHE_SIZE)
def word_adjoint(word: Word) -> Word:
    """The adjoint of a word."""
    return tuple(
        Letter(letter.name, not letter.adjoint) if isinstance(letter, Letter) else letter
        for letter in reversed(word)
    )


@lru_cache(CACHE_SIZE)
def word_root(word: Word, nonnegative: frozenset[str]) -> Word | None:
    """The p with word = pᵀ p, None if there is none; only `nonnegative` diagonals have roots."""
    middle_index, odd = divmod(len(word), 2)
    if word_adjoint(word) != word:
        return None
    if not odd:
        return word[middle_index:]
    middle_letter = word[middle_index]
    if isinstance(middle_letter, Letter):
        return None
    if any(power % 2 and name not in nonnegative for name, power in middle_letter.powers):
        return None
    return (middle_letter.power(Fraction(1, 2)), *word[middle_index + 1 :])


@lru_cache(CACHE_SIZE)
def split_diagonals(word: Word) -> tuple[Word, Word, Word]:
    """A word as (diagonal, rest, diagonal); a word that is a diagonal is all in the first."""
    left = word[:1] if word and isinstance(word[0], Diagonal) else ()
    middle = word[len(left) :]
    right = middle[-1:] if middle and isinstance(middle[-1], Diagonal) else ()
    return left, middle[: len(middle) - len(right)], right


def word_powers(word: Word) -> Powers:
    """The powers of the diagonals in a word."""
    return tuple(p for letter in word if isinstance(letter, Diagonal) for p in letter.powers)


def inverse_diagonals(word: Word) -> Word:
    """The inverse of a word that consists of diagonals."""
    return tuple(letter.power(-1) for letter in word if isinstance(letter, Diagonal))


@lru_cache(CACHE_SIZE)
def word_text(word: Word) -> str:
    """`K1 K2ᵀ`; the empty word is the identity."""
    return " ".join(str(letter) for letter in word) or "I"


@dataclass(frozen=True)
class Operator:
    """A sum of words.

    Args:
        terms: word and coefficient, in canonical order: long words first, then by text; no
            coefficient is zero.
    """

    terms: tuple[tuple[Word, Scalar], ...] = ()

    @staticmethod
    def from_terms(terms: Mapping[Word, Scalar]) -> "Operator":
        """The sum of word -> coefficient."""
        spend(len(terms))
        nonzero = [(word, scalar) for word, scalar in terms.items() if scalar]
        nonzero = sorted(nonzero, key=_sort_key) if len(nonzero) > 1 else nonzero
        return Operator(tuple(nonzero))

    @staticmethod
    def word(word: Word, scalar: Scalar = ONE) -> "Operator":
        """A number times a word; the empty word () is the identity."""
        return Operator(((word, scalar),)) if scalar else Operator()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: "Operator") -> "Operator":
        if not self.terms or not other.terms:
            return self if self.terms else other
        total = dict(self.terms)
        for word, scalar in other.terms:
            total[word] = total.get(word, ZERO) + scalar
        return Operator.from_terms(total)

    def __neg__(self) -> "Operator":
        return Operator(tuple((word, -scalar) for word, scalar in self.terms))

    def __sub__(self, other: "Operator") -> "Operator":
        return self + -other

    def __matmul__(self, other: "Operator") -> "Operator":
        spend(len(self.terms) * len(other.terms))
        total: dict[Word, Scalar] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                word = word_product(left, right)
                total[word] = total.get(word, ZERO) + a * b
        return Operator.from_terms(total)

    def __rmul__(self, scalar: Scalar) -> "Operator":
        return Operator.from_terms({word: scalar * factor for word, factor in self.terms})

    @property
    def adjoint(self) -> "Operator":
        """The sum of the adjoint words."""
        return Operator.from_terms({word_adjoint(word): scalar for word, scalar in self.terms})

    def coefficient(self, word: Word) -> Scalar:
        """The coefficient of a word."""
        return dict(self.terms).get(word, ZERO)

    @property
    def identity_coefficient(self) -> Scalar:
        """The coefficient of the empty word, which is the identity."""
        return self.coefficient(())

    def substitute(self, values: Mapping[str, Fraction]) -> "Operator":
        """The same operator with some symbols replaced by their values."""
        return Operator.from_terms({word: scalar.substitute(values) for word, scalar in self.terms})

    @property
    def scalar(self) -> Scalar | None:
        """The number if this is a number times the identity, else None."""
        if not self.terms:
            return ZERO
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def diagonals(self) -> frozenset[str]:
        """The names of all diagonals that occur."""
        return frozenset(name for word, _ in self.terms for name, _ in word_powers(word))

    @property
    def symbols(self) -> frozenset[str]:
        """The names of all symbols that occur in coefficients."""
        return frozenset[str]().union(*(scalar.symbols for _, scalar in self.terms))

    def __str__(self) -> str:
        return signed_sum(_signed_term(word, scalar) for word, scalar in self.terms)


def _sort_key(term: tuple[Word, Scalar]) -> tuple[int, str]:
    return -len(term[0]), word_text(term[0])


IDENTITY = Operator.word(())
ZERO_OPERATOR = Operator()


def operator_sum(operators: Iterable[Operator]) -> Operator:
    """The sum of some operators, zero for none."""
    return sum(operators, start=ZERO_OPERATOR)


def sum_by_key(terms: Iterable[tuple[Key, Operator]]) -> dict[Key, Operator]:
    """The sum of the operators of each key; zero sums are left out."""
    sums: dict[Key, Operator] = {}
    for key, operator in terms:
        sums[key] = sums.get(key, ZERO_OPERATOR) + operator
    return {key: operator for key, operator in sums.items() if operator}


def _signed_term(word: Word, scalar: Scalar) -> tuple[int, str]:
    """The sign of a term, and its text without that sign."""
    return scalar.printed_sign, factor_text(scalar.unsigned) + word_text(word)
