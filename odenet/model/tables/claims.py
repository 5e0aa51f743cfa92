"""The claims of `require` as a table: a new claim needs a row, and a function that judges it."""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple

from odenet.diagnostics import Span


class Answer(NamedTuple):
    """The result of judging a claim.

    Args:
        holds: True if proved, False if refuted, None if neither.
        reason: why, in a sentence.
        cause: the part of the file that makes the claim false, if one does.
        witness: a counterexample, if one was found.
    """

    holds: bool | None
    reason: str
    cause: Span | None = None
    witness: Any = None


@dataclass(frozen=True)
class ClaimKind:
    """A row of the table: one claim.

    Args:
        name: its name in the language.
        meaning: what it says, in words, for the documentation.
        judge: a function, or its "module:name", that decides whether the claim holds. It takes the
            facts (model, derivation, certificate, …) and the claim, and returns an `Answer`, or a
            tuple of its first values.
        example: an example of the number that the claim takes, for the documentation; 0 if it
            takes none.
        concerns_steps: whether it is about the steps of the scheme, not only the equations.
    """

    name: str
    meaning: str
    judge: str | Callable[[Any, Any], tuple[Any, ...]]
    example: int = 0
    concerns_steps: bool = True

    @property
    def usage(self) -> str:
        """How it is written, as in `order(2)`."""
        return f"{self.name}({self.example})" if self.example else self.name

    def judge_claim(self, facts: Any, claim: Any) -> Answer:
        """The answer of its judge."""
        judge = self.judge
        if isinstance(judge, str):
            judge = resolve_name(judge)
        return Answer(*judge(facts, claim))


_MODULE = "odenet.analyse.claims"
_SPECTRUM = f"{_MODULE}:spectrum"

ROWS = (
    ClaimKind("reversible", "every step has an inverse in closed form", f"{_MODULE}:reversible"),
    ClaimKind(
        "imaginary",
        "all eigenvalues of the Jacobian are imaginary",
        _SPECTRUM,
        concerns_steps=False,
    ),
    ClaimKind(
        "real",
        "all eigenvalues of the Jacobian are real and at most 0",
        _SPECTRUM,
        concerns_steps=False,
    ),
    ClaimKind(
        "stable",
        "no eigenvalue of the Jacobian has a positive real part",
        _SPECTRUM,
        concerns_steps=False,
    ),
    ClaimKind("order", "the scheme has at least this order", f"{_MODULE}:order", example=2),
    ClaimKind("symmetric", "a step with −h undoes a step with h", f"{_MODULE}:symmetric"),
    ClaimKind("volume_preserving", "a step keeps volume", f"{_MODULE}:volume_preserving"),
    ClaimKind("exact", "steps are undone bit for bit", f"{_MODULE}:exact"),
)

CLAIMS = {row.name: row for row in ROWS}
