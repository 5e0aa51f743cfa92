"""The claims of `require`: proved, refuted, or neither."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from odenet.analyse.certificate import MEANINGS, Certificate
from odenet.analyse.counterexample import Witness
from odenet.analyse.jacobian import CannotEvaluate
from odenet.analyse.scheme_on_dynamics import irreversible
from odenet.analyse.witness import TRIALS, Against, search_witness
from odenet.derive import Derivation
from odenet.derive.text import notation
from odenet.diagnostics import Span
from odenet.model.program import Claim, Model

IMPLIED_BY = {
    "stable": ("imaginary", "real", "stable"),
    "imaginary": ("imaginary",),
    "real": ("real",),
}


@dataclass(frozen=True)
class ClaimResult:
    """What became of one claim.

    Args:
        claim: as it stands in the file.
        holds: True if proved, False if refuted, None if neither.
        reason: why, in a sentence.
        span: the line of the claim; for a refutation with a place of its own, see `cause`.
        cause: the piece of text that refutes it or stands in the way of a proof.
        witness: the counterexample of a refuted claim about the spectrum.
    """

    claim: Claim
    holds: bool | None
    reason: str
    span: Span = field(compare=False, repr=False)
    cause: Span | None = field(default=None, compare=False, repr=False)
    witness: Witness | None = None

    @property
    def name(self) -> str:
        """`order(2)`, as it is written."""
        return _written(self.claim)

    def __str__(self) -> str:
        word = {True: "proved", False: "refuted", None: "not proved"}[self.holds]
        return f"{self.name}: {word}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "claim": self.name,
            "holds": self.holds,
            "reason": self.reason,
            "line": self.span.line,
            "cause": {"line": self.cause.line, "text": self.cause.text} if self.cause else None,
            "witness": self.witness.to_json() if self.witness else None,
        }


@dataclass(frozen=True)
class _Facts:
    """All that claims are judged by."""

    model: Model
    derivation: Derivation
    certificate: Certificate
    trials: int
    seed: int

    @property
    def numbers(self) -> Mapping[str, Any]:
        """Values of the scheme's constants in this file, and of h."""
        return self.model.discretisation.numbers


_Answer = tuple[bool | None, str, Span | None, Witness | None]


def check_claims(
    model: Model,
    derivation: Derivation,
    certificate: Certificate,
    trials: int = TRIALS,
    seed: int = 0,
) -> list[ClaimResult]:
    """Prove or refute every `require` of a file.

    Args:
        model: the typed program.
        derivation: of its scheme.
        certificate: of its dynamics.
        trials: starts of the search for a counterexample; 0 for proofs only.
        seed: of the search.
    """
    facts = _Facts(model, derivation, certificate, trials, seed)
    found = []
    for claim in model.claims:
        holds, reason, cause, witness = _JUDGES[claim.name](facts, claim)
        found.append(ClaimResult(claim, holds, reason, claim.span, cause, witness))
    return found


def _reversible(facts: _Facts, claim: Claim) -> _Answer:
    why = irreversible(facts.model, facts.derivation)
    if why is None:
        return True, f"{facts.model.scheme.name} is undone line by line", None, None
    obstacle = facts.derivation.obstacle
    return False, why, obstacle.span if obstacle else None, None


def _exact(facts: _Facts, claim: Claim) -> _Answer:
    holds, reason, cause, _ = _reversible(facts, claim)
    if not holds:
        return False, reason, cause, None
    if not facts.model.discretisation.exact:
        span = facts.model.discretisation.span
        return False, "the discretisation rounds: write `exact` at its end", span, None
    bits = facts.derivation.bits(facts.numbers)
    kept = f", {bits:.3g} bits per value and step kept aside" if bits else ""
    kept = ", with bits kept aside that depend on h" if bits is None else kept
    return True, f"integer shears are undone bit for bit{kept}", None, None


def _order(facts: _Facts, claim: Claim) -> _Answer:
    order, name = facts.derivation.order_at(facts.numbers), facts.model.scheme.name
    wanted = claim.number or 1
    if order.value is None:
        return False, f"{name} has no order: {order.reason}", None, None
    if wanted > order.value and order.at_least:
        reason = f"{name} has at least order {order.value}; not searched beyond {order.searched}"
        return None, reason, None, None
    holds = order.value >= wanted
    why = [order.reason] if not holds and not order.equations else []
    notes = "; ".join([f"{name} has order {order}", *why, *([order.note] if order.note else [])])
    return holds, notes, None, None


def _symmetric(facts: _Facts, claim: Claim) -> _Answer:
    if facts.derivation.symmetric:
        return True, "a step with -h undoes a step with h", None, None
    q = facts.derivation.symmetry_order
    limit = f", only to order {q}" if q else ""
    return False, f"a step with -h does not undo a step with h{limit}", None, None


def _volume_preserving(facts: _Facts, claim: Claim) -> _Answer:
    volume = facts.derivation.volume
    if volume is None:
        reason = "without an explicit inverse the change of volume depends on the weights"
        return None, reason, None, None
    factor = facts.derivation.volume_at(facts.numbers)
    if factor is None:
        shown = notation(facts.model.scheme).number(volume)
        reason = f"a step changes volume by {shown} per value, and h follows from the depth"
        return None, reason, None, None
    if abs(factor - 1) < 1e-12:
        return True, "every shear keeps volume", None, None
    return False, f"a step changes volume by {factor:g} per value", None, None


def _spectrum(facts: _Facts, claim: Claim) -> _Answer:
    certificate = facts.certificate
    if certificate.verdict in IMPLIED_BY[claim.name] or certificate.vanishing:
        under = ", ".join(certificate.conditions)
        reason = f"{MEANINGS[claim.name]}" + (f", provided that {under}" if under else "")
        return True, reason, None, None
    witness = certificate.witness
    if witness is None and facts.trials:
        against: Against = claim.name  # type: ignore[assignment]
        try:
            witness = search_witness(facts.model, facts.trials, facts.seed, against)
        except CannotEvaluate as error:
            return None, f"{certificate.reason}; not searched: {error}", certificate.span, None
    if witness is not None:
        reason = f"{witness}, {witness.size} per state"
        return False, reason, certificate.span, witness
    tried = f"; no counterexample in {facts.trials} trials" if facts.trials else ""
    why = certificate.reason or f"proved is only that {MEANINGS[certificate.verdict]}"
    return None, why + tried, certificate.span, None


_JUDGES: dict[str, Callable[[_Facts, Claim], _Answer]] = {
    "reversible": _reversible,
    "exact": _exact,
    "order": _order,
    "symmetric": _symmetric,
    "volume_preserving": _volume_preserving,
    "imaginary": _spectrum,
    "real": _spectrum,
    "stable": _spectrum,
}


def _written(claim: Claim) -> str:
    return claim.name if claim.number is None else f"{claim.name}({claim.number})"
