"""The claims of `require`: proved, refuted, or open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from odenet.analyse.certificate import MEANINGS, Certificate
from odenet.analyse.counterexample import Witness
from odenet.analyse.decide import TRIALS
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import irreversible
from odenet.analyse.step_constants import bits_kept, steps_in_use
from odenet.derive.text import notation
from odenet.diagnostics import Diagnostic, Span
from odenet.model.tables.claims import CLAIMS
from odenet.model.typed.program import Claim

IMPLIED_BY = {
    "stable": ("imaginary", "real", "stable"),
    "imaginary": ("imaginary",),
    "real": ("real",),
}
WORDS = {True: "proved", False: "refuted", None: "open"}
SIGNS = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True)
class ClaimResult:
    """What became of one claim.

    Args:
        claim: as it stands in the file.
        holds: True if proved, False if refuted, None if it is open.
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

    @property
    def verdict(self) -> str:
        """`proved`, `refuted` or `open`."""
        return WORDS[self.holds]

    @property
    def line(self) -> str:
        """The claim and what became of it, in one line with a sign before it."""
        return f"{SIGNS[self.holds]} {self}"

    def failure(self, help: str = "", severity: str = "error") -> Diagnostic:
        """A claim that is not proved, as a diagnostic at its own line.

        Args:
            help: what to do about it.
            severity: "error" or "warning".
        """
        message = f"`require {self.name}` is {self.verdict}: {self.reason}"
        place = self.cause or self.span
        see = f"see line {place.line}: {place.text}" if place != self.span else ""
        advice = "; ".join(part for part in (see, help) if part)
        return Diagnostic(message, self.span, "claimed here", advice, severity)

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "claim": self.name,
            "verdict": self.verdict,
            "holds": self.holds,
            "reason": self.reason,
            "line": self.span.line,
            "cause": {"line": self.cause.line, "text": self.cause.text} if self.cause else None,
            "witness": self.witness.to_json() if self.witness else None,
        }


@dataclass(frozen=True, kw_only=True)
class Judged(Facts):
    """All that claims are judged by.

    Args:
        trials: starts of the search for a counterexample; 0 for proofs only.
        seed: of the search.
    """

    trials: int
    seed: int

    @property
    def numbers(self) -> Mapping[str, Any]:
        """Values of the scheme's constants in this file, and of h."""
        return self.model.discretisation.numbers


_Answer = tuple[bool | None, str, Span | None, Witness | None]


def check_claims(facts: Facts, trials: int = TRIALS, seed: int = 0) -> list[ClaimResult]:
    """Prove or refute every `require` of a file.

    Args:
        facts: what is known of it.
        trials: starts of the search for a counterexample; 0 for proofs only.
        seed: of the search.
    """
    judged = Judged(**vars(facts), trials=trials, seed=seed)
    found = []
    for claim in facts.model.claims:
        kind = CLAIMS[claim.name]
        without = facts.derived is None and kind.of_steps
        answer = _without_steps(judged, claim) if without else kind.judged(judged, claim)
        holds, reason, cause, witness = answer
        found.append(ClaimResult(claim, holds, reason, claim.span, cause, witness))
    return found


def _without_steps(facts: Judged, claim: Claim) -> _Answer:
    return None, "this is about steps, and the file has no `discretise` line", None, None


def _reversible(facts: Judged, claim: Claim) -> _Answer:
    why = irreversible(facts.model, facts.derivation)
    if why is None:
        return True, f"{facts.model.scheme.name} is undone line by line", None, None
    obstacle = facts.derivation.obstacle
    return False, why, obstacle.span if obstacle else None, None


def _exact(facts: Judged, claim: Claim) -> _Answer:
    holds, reason, cause, _ = _reversible(facts, claim)
    if not holds:
        return False, reason, cause, None
    if not facts.model.discretisation.exact:
        span = facts.model.discretisation.span
        return False, "the discretisation rounds: write `exact` at its end", span, None
    bits = bits_kept(facts.model, facts.derivation)
    kept = f", {bits:.3g} bits per value and step kept aside" if bits else ""
    kept = ", with bits kept aside that depend on h" if bits is None else kept
    return True, f"integer shears are undone bit for bit{kept}", None, None


def _order(facts: Judged, claim: Claim) -> _Answer:
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


def _symmetric(facts: Judged, claim: Claim) -> _Answer:
    if facts.derivation.symmetric:
        return True, "a step with -h undoes a step with h", None, None
    q = facts.derivation.symmetry_order
    limit = f", only to order {q}" if q else ""
    return False, f"a step with -h does not undo a step with h{limit}", None, None


def _volume_preserving(facts: Judged, claim: Claim) -> _Answer:
    volume = facts.derivation.volume
    if volume is None:
        reason = "without an explicit inverse the change of volume depends on the weights"
        return None, reason, None, None
    factor = _volume_factor(facts)
    if factor is None:
        shown = notation(facts.model.scheme).number(volume)
        reason = f"a step changes volume by {shown} per value, and h follows from the depth"
        return None, reason, None, None
    if abs(factor - 1) < 1e-12:
        return True, "every shear keeps volume", None, None
    return False, f"a step changes volume by {factor:g} per value", None, None


def _volume_factor(facts: Judged) -> float | None:
    """By what a step changes volume; of steps that differ, the one that does so most."""
    steps = steps_in_use(facts.model)
    factors = [facts.derivation.volume_at(at.numbers) for at in steps]
    known = [factor for factor in factors if factor is not None]
    if len(known) < len(factors):
        return None
    return max(known, key=lambda factor: abs(factor - 1))


def _spectrum(facts: Judged, claim: Claim) -> _Answer:
    certificate = facts.certificate
    if certificate.verdict in IMPLIED_BY[claim.name] or certificate.vanishing:
        if certificate.broken:
            return _broken(facts)
        under = ", ".join(certificate.conditions)
        reason = f"{MEANINGS[claim.name]}" + (f", provided that {under}" if under else "")
        return True, reason, None, None
    witness = certificate.witness
    if witness is None and (claim.name != "stable" or certificate.trials < facts.trials):
        certificate = _searched(facts, claim)
        witness = certificate.witness
    if witness is not None:
        reason = f"{witness}, {witness.size} per state"
        return False, reason, certificate.span, witness
    why = certificate.reason or f"proved is only that {MEANINGS[certificate.verdict]}"
    return None, why + certificate.tried, certificate.span, None


def _searched(facts: Judged, claim: Claim) -> Certificate:
    """The certificate after a search against what is claimed, if there is to be one."""
    if facts.certificate.unsearched or not facts.trials:
        return facts.certificate
    from odenet.analyse.witness import Against, searched  # numpy, which proofs do without

    against = cast(Against, claim.name)
    return searched(facts.certificate, facts.model, facts.trials, facts.seed, against)


def _broken(facts: Judged) -> _Answer:
    """A proof that rests on a sign with which training does not begin."""
    reasons = []
    for assumption in facts.certificate.broken:
        learned = facts.model.parameters[assumption.subject]
        fix = f"; {learned.type}(positive) keeps it" if "positive" in learned.options else ""
        fix = fix.replace("norm(", f"norm({learned.options.get('kind')}, ")
        reasons.append(f"{assumption.start}, where this does not hold{fix}")
    conditions = " and ".join(facts.certificate.conditions)
    cause = facts.model.parameters[facts.certificate.broken[0].subject].span
    return None, f"proved if {conditions}; {'; '.join(reasons)}", cause, None


def _written(claim: Claim) -> str:
    return claim.name if claim.number is None else f"{claim.name}({claim.number})"
