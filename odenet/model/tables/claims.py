"""The claims of `require`: one row each, and nothing else to touch to add one."""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple

from odenet.diagnostics import Span


class Answer(NamedTuple):
    """What a judge says of a claim.

    Args:
        holds: True if proved, False if refuted, None if neither.
        reason: why, in a sentence.
        cause: the piece of text that is to blame, where there is one.
        witness: a counterexample, where there is one.
    """

    holds: bool | None
    reason: str
    cause: Span | None = None
    witness: Any = None


@dataclass(frozen=True)
class ClaimKind:
    """One claim.

    Args:
        name: its name in the language.
        meaning: what it says, in words, for the documentation.
        judge: whether it holds, from the facts (model, derivation, certificate, …) and the claim; a
            function, or where to find one. It returns an `Answer`, or the first of its values.
        example: a number to write it with, where it takes one; 0 for a claim without.
        of_steps: whether it is about the steps of the scheme, not the equations alone.
    """

    name: str
    meaning: str
    judge: str | Callable[[Any, Any], tuple[Any, ...]]
    example: int = 0
    of_steps: bool = True

    @property
    def form(self) -> str:
        """How it is written: `order(2)`."""
        return f"{self.name}({self.example})" if self.example else self.name

    def judged(self, facts: Any, claim: Any) -> Answer:
        """The answer of its judge."""
        judge = self.judge
        if isinstance(judge, str):
            judge = resolve_name(judge)
        return Answer(*judge(facts, claim))


_HOME = "odenet.analyse.claims"
_SPECTRUM = f"{_HOME}:spectrum"

ROWS = (
    ClaimKind("reversible", "every step has an inverse in closed form", f"{_HOME}:reversible"),
    ClaimKind(
        "imaginary",
        "all eigenvalues of the Jacobian are imaginary",
        _SPECTRUM,
        of_steps=False,
    ),
    ClaimKind(
        "real",
        "all eigenvalues of the Jacobian are real and at most 0",
        _SPECTRUM,
        of_steps=False,
    ),
    ClaimKind(
        "stable",
        "no eigenvalue of the Jacobian has a positive real part",
        _SPECTRUM,
        of_steps=False,
    ),
    ClaimKind("order", "the scheme has at least this order", f"{_HOME}:order", example=2),
    ClaimKind("symmetric", "a step with −h undoes a step with h", f"{_HOME}:symmetric"),
    ClaimKind("volume_preserving", "a step keeps volume", f"{_HOME}:volume_preserving"),
    ClaimKind("exact", "steps are undone bit for bit", f"{_HOME}:exact"),
)

CLAIMS = {row.name: row for row in ROWS}
