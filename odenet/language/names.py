"""The canonical form of a name, and names that look alike.

`σ` and `sigma`, `K₁` and `K1` are the same name. Letters that Unicode folds together (`ϵ` and `ε`,
the micro sign and `μ`) or that look alike in print (Greek `Κ` and Latin `K`) cannot be told
apart by a reader, so a file that uses both is rejected (see `confusable`).
"""

import unicodedata
from collections.abc import Iterable

_GREEK_LETTERS = "α β γ δ ε ζ η θ ι κ λ μ ν ξ ο π ρ σ τ υ φ χ ψ ω"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi omicron pi rho sigma tau upsilon phi chi psi omega"
)
GREEK = dict(zip(_GREEK_LETTERS.split(), _GREEK_NAMES.split(), strict=True))
_CAPITALS = {letter.upper(): name.capitalize() for letter, name in GREEK.items()}
_SPELLED_OUT = GREEK | _CAPITALS | {"ς": "sigma"}

# Greek letters that look like Latin ones in most fonts.
_LATIN_LOOKALIKES = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧνορ", "ABEZHIKMNOPTYXvop")


def canonical(spelling: str) -> str:
    """The ASCII name that all spellings of a name share.

    Example:
        `canonical("σ₁") == canonical("sigma1") == "sigma1"`
    """
    folded = unicodedata.normalize("NFKC", spelling)
    return "".join(_SPELLED_OUT.get(char, char) for char in folded)


def visual_key(spelling: str) -> str:
    """A key of what a name looks like: equal for names that a reader cannot tell apart."""
    return unicodedata.normalize("NFKC", spelling).translate(_LATIN_LOOKALIKES)


def confusable(one: str, other: str) -> bool:
    """Whether two different spellings look alike without being documented to be the same name."""
    if one == other:
        return False
    if canonical(one) == canonical(other):
        same_letters = unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other)
        return same_letters and not _subscripts_differ(one, other)
    return visual_key(one) == visual_key(other)


def _subscripts_differ(one: str, other: str) -> bool:
    """Whether two spellings differ only in subscript digits, as `K₁` and `K1` do."""
    digits = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
    return one.translate(digits) == other.translate(digits)


class ConfusableNames:
    """A collection of spellings, searched for one that looks like a given one."""

    def __init__(self, spellings: Iterable[str] = ()):
        self._spellings: dict[str, list[str]] = {}
        for spelling in spellings:
            self.add(spelling)

    def add(self, spelling: str) -> None:
        """Add a spelling."""
        self._spellings.setdefault(visual_key(spelling), []).append(spelling)

    def find_confusable(self, spelling: str) -> str:
        """The first spelling in the collection that looks like this one; empty if none does."""
        alike = self._spellings.get(visual_key(spelling), [])
        return next((other for other in alike if confusable(spelling, other)), "")
