"""Linear operators as sums of words: the free *-algebra over the learned operators.

A word is a product of letters, `K1 K2ᵀ`. Letters do not commute, except diagonals among themselves:
neighbouring diagonals are one letter, a product of powers, and are their own adjoint. Two operators
are equal for all weights exactly if their sums of words are the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

from odenet.analyse.laurent import ONE, ZERO, Scalar, factor_text, power_text, signed_sum
from odenet.diagnostics.effort import spend

REMEMBERED = 1 << 14  # words; a program that compiles one spec after another does not grow


class Letter(NamedTuple):
    """A learned operator or its adjoint."""

    name: str
    adjoint: bool = False

    def __str__(self) -> str:
        return self.name + "ᵀ" * self.adjoint


Powers = tuple[tuple[str, int | Fraction], ...]


class Diagonal(NamedTuple):
    """A product of powers of diagonals, by name; fractional powers need factors >= 0."""

    powers: Powers

    def __str__(self) -> str:
        return " ".join(power_text(name, power) for name, power in self.powers)

    def power(self, exponent: Fraction | int) -> "Diagonal":
        """Each factor raised to a power."""
        return Diagonal(tuple((name, power * exponent) for name, power in self.powers))


Word = tuple[Letter | Diagonal, ...]
Key = TypeVar("Key")


@lru_cache(REMEMBERED)
def join(left: Word, right: Word) -> Word:
    """The product of two words."""
    if left and right and isinstance(left[-1], Diagonal) and isinstance(right[0], Diagonal):
        powers = dict(left[-1].powers)
        for name, power in right[0].powers:
            powers[name] = powers.get(name, 0) + power
        merged = tuple(sorted((name, power) for name, power in powers.items() if power))
        middle: Word = (Diagonal(merged),) if merged else ()
        return left[:-1] + middle + right[1:]
    return left + right


@lru_cache(REMEMBERED)
def adjoint(word: Word) -> Word:
    """The adjoint of a word."""
    return tuple(
        Letter(letter.name, not letter.adjoint) if isinstance(letter, Letter) else letter
        for letter in reversed(word)
    )


@lru_cache(REMEMBERED)
def root(word: Word) -> tuple[Word, frozenset[str]] | None:
    """The p with word = pᵀ p, and the diagonals that must be >= 0 for it; None if there is none."""
    half, odd = divmod(len(word), 2)
    if adjoint(word) != word:
        return None
    if not odd:
        return word[half:], frozenset()
    middle = word[half]
    if isinstance(middle, Letter):
        return None
    needed = frozenset(name for name, power in middle.powers if power % 2)
    return (middle.power(Fraction(1, 2)), *word[half + 1 :]), needed


@lru_cache(REMEMBERED)
def core(word: Word) -> tuple[Word, Word, Word]:
    """The word as diagonal, rest, diagonal; a word of diagonals alone is all in the first part."""
    before = word[:1] if word and isinstance(word[0], Diagonal) else ()
    rest = word[len(before) :]
    after = rest[-1:] if rest and isinstance(rest[-1], Diagonal) else ()
    return before, rest[: len(rest) - len(after)], after


def powers(word: Word) -> Powers:
    """The diagonals in a word, with their powers."""
    return tuple(p for letter in word if isinstance(letter, Diagonal) for p in letter.powers)


def invert(word: Word) -> Word:
    """The inverse of a word of diagonals."""
    return tuple(letter.power(-1) for letter in word if isinstance(letter, Diagonal))


@lru_cache(REMEMBERED)
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
    def of(terms: Mapping[Word, Scalar]) -> "Operator":
        """The sum of some terms."""
        spend(len(terms))
        found = [(word, scalar) for word, scalar in terms.items() if scalar]
        found = sorted(found, key=_place) if len(found) > 1 else found
        return Operator(tuple(found))

    @staticmethod
    def word(word: Word, scalar: Scalar = ONE) -> "Operator":
        """One word, times a number."""
        return Operator(((word, scalar),)) if scalar else Operator()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: "Operator") -> "Operator":
        if not self.terms or not other.terms:
            return self if self.terms else other
        total = dict(self.terms)
        for word, scalar in other.terms:
            total[word] = total.get(word, ZERO) + scalar
        return Operator.of(total)

    def __neg__(self) -> "Operator":
        return Operator(tuple((word, -scalar) for word, scalar in self.terms))

    def __sub__(self, other: "Operator") -> "Operator":
        return self + -other

    def __matmul__(self, other: "Operator") -> "Operator":
        spend(len(self.terms) * len(other.terms))
        total: dict[Word, Scalar] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                word = join(left, right)
                total[word] = total.get(word, ZERO) + a * b
        return Operator.of(total)

    def __rmul__(self, scalar: Scalar) -> "Operator":
        return Operator.of({word: scalar * factor for word, factor in self.terms})

    @property
    def adjoint(self) -> "Operator":
        """The sum of the adjoint words."""
        return Operator.of({adjoint(word): scalar for word, scalar in self.terms})

    def get(self, word: Word) -> Scalar:
        """The coefficient of a word."""
        return dict(self.terms).get(word, ZERO)

    def at(self, values: Mapping[str, Fraction]) -> "Operator":
        """The same operator with some symbols replaced by their values."""
        return Operator.of({word: scalar.at(values) for word, scalar in self.terms})

    @property
    def scalar(self) -> Scalar | None:
        """The number if this is a multiple of the identity."""
        if not self.terms:
            return ZERO
        return self.terms[0][1] if len(self.terms) == 1 and not self.terms[0][0] else None

    @property
    def diagonals(self) -> frozenset[str]:
        """The names of the diagonals in it."""
        return frozenset(name for word, _ in self.terms for name, _ in powers(word))

    @property
    def symbols(self) -> frozenset[str]:
        """The names of the numbers in it."""
        return frozenset[str]().union(*(scalar.symbols for _, scalar in self.terms))

    def __str__(self) -> str:
        return signed_sum(_term(word, scalar) for word, scalar in self.terms)


def _place(term: tuple[Word, Scalar]) -> tuple[int, str]:
    return -len(term[0]), word_text(term[0])


IDENTITY = Operator.word(())
NOTHING = Operator()


def total(operators: Iterable[Operator]) -> Operator:
    """The sum of some operators, zero for none."""
    return sum(operators, start=NOTHING)


def added_up(terms: Iterable[tuple[Key, Operator]]) -> dict[Key, Operator]:
    """Operators summed by key, in the order of the keys; sums that cancel are left out."""
    found: dict[Key, Operator] = {}
    for key, operator in terms:
        found[key] = found.get(key, NOTHING) + operator
    return {key: operator for key, operator in found.items() if operator}


def _term(word: Word, scalar: Scalar) -> tuple[int, str]:
    return scalar.sign, factor_text(scalar.unsigned) + word_text(word)
