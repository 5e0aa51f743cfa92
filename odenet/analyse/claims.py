"""The claims of `require`: proved, refuted, or open."""

from dataclasses import dataclass, field
from typing import Any, cast

from odenet.analyse.certificate import MEANINGS, Certificate
from odenet.analyse.counterexample import Witness
from odenet.analyse.decide import TRIALS
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import irreversible
from odenet.analyse.step_constants import bits_kept, steps_in_use
from odenet.derive.text import notation
from odenet.diagnostics import Code, Diagnostic, Span
from odenet.model.tables.claims import CLAIMS, Answer
from odenet.model.typed.program import Claim

IMPLIED_BY = {
    "stable": ("imaginary", "real", "stable"),
    "imaginary": ("imaginary",),
    "real": ("real",),
}
WORDS = {True: "proved", False: "refuted", None: "open"}
CODES: dict[bool | None, Code] = {False: "claim-refuted", None: "claim-open"}
SIGNS = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True)
class ClaimResult:
    """What became of one claim.

    Args:
        claim: as it is written in the file.
        holds: True if proved, False if refuted, None if it is open.
        reason: why, in a sentence.
        span: the line of the claim; for a refutation with a place of its own, see `cause`.
        cause: the piece of text that refutes it or prevents a proof.
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
        name, number = self.claim.name, self.claim.number
        return name if number is None else f"{name}({number})"

    @property
    def verdict(self) -> str:
        """`proved`, `refuted` or `open`."""
        return WORDS[self.holds]

    @property
    def line(self) -> str:
        """The claim and what became of it, in one line with a sign before it."""
        return f"{SIGNS[self.holds]} {self}"

    def __repr__(self) -> str:
        return f"<claim {self}>"

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
        return Diagnostic(
            CODES[self.holds], message, self.span, advice, severity, label="claimed here"
        )

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


def check_claims(facts: Facts, trials: int = TRIALS, seed: int = 0) -> list[ClaimResult]:
    """Prove or refute every `require` of a file.

    Args:
        facts: what is known of it.
        trials: starts of the search for a counterexample; 0 for proofs only.
        seed: of the search.
    """
    judged = Judged(**vars(facts), trials=trials, seed=seed)
    return [_checked(judged, claim) for claim in facts.model.claims]


def _checked(facts: Judged, claim: Claim) -> ClaimResult:
    kind = CLAIMS[claim.name]
    if facts.derived is None and kind.concerns_steps:
        found = Answer(None, "this is about steps, and the file has no `discretise` line")
    else:
        found = kind.judge_claim(facts, claim)
    return ClaimResult(claim, found.holds, found.reason, claim.span, found.cause, found.witness)


def reversible(facts: Judged, claim: Claim) -> Answer:
    """Whether the scheme is undone line by line."""
    why = irreversible(facts.model, facts.derivation)
    if why is None:
        return Answer(True, f"{facts.model.scheme.name} is undone line by line")
    obstacle = facts.derivation.obstacle
    return Answer(False, why, obstacle.span if obstacle else None)


def exact(facts: Judged, claim: Claim) -> Answer:
    """Whether it is undone bit for bit."""
    undone = reversible(facts, claim)
    if not undone.holds:
        return undone
    if not facts.model.discretisation.exact:
        span = facts.model.discretisation.span
        return Answer(False, "the discretisation rounds: write `exact` at its end", span)
    bits = bits_kept(facts.model, facts.derivation)
    kept = f", {bits:.3g} bits per value and step kept aside" if bits else ""
    kept = ", with bits kept aside that depend on h" if bits is None else kept
    return Answer(True, f"integer shears are undone bit for bit{kept}")


def order(facts: Judged, claim: Claim) -> Answer:
    """Whether the scheme has an order."""
    order = facts.derivation.order_at(facts.model.discretisation.numbers)
    name = facts.model.scheme.name
    wanted = claim.number or 1
    if order.underived:
        return Answer(None, f"no order of {name} is derived: {order.reason}")
    if order.value is None:
        return Answer(False, f"{name} has no order: {order.reason}")
    if wanted > order.value and order.at_least:
        reason = f"{name} has at least order {order.value}; not searched beyond {order.searched}"
        return Answer(None, reason)
    holds = order.value >= wanted
    why = [order.reason] if not holds and not order.equations else []
    notes = "; ".join([f"{name} has order {order}", *why, *([order.note] if order.note else [])])
    return Answer(holds, notes)


def symmetric(facts: Judged, claim: Claim) -> Answer:
    """Whether a step with -h undoes one with h."""
    if facts.derivation.symmetric:
        return Answer(True, "a step with -h undoes a step with h")
    q = facts.derivation.symmetry_order
    limit = f", only to order {q}" if q else ""
    return Answer(False, f"a step with -h does not undo a step with h{limit}")


def volume_preserving(facts: Judged, claim: Claim) -> Answer:
    """Whether a step keeps volume."""
    volume = facts.derivation.volume
    if facts.derivation.exponents:
        shown = notation(facts.model.scheme)
        inside = " + ".join(map(shown.show, facts.derivation.exponents))
        return Answer(False, f"a step changes volume by the exponential of {inside}")
    if volume is None:
        reason = "without an explicit inverse the change of volume depends on the weights"
        return Answer(None, reason)
    factor = _volume_factor(facts)
    if factor is None:
        shown = notation(facts.model.scheme).number(volume)
        reason = f"a step changes volume by {shown} per value, and h follows from the depth"
        return Answer(None, reason)
    if abs(factor - 1) < 1e-12:
        return Answer(True, "every shear keeps volume")
    return Answer(False, f"a step changes volume by {factor:g} per value")


def _volume_factor(facts: Judged) -> float | None:
    """By what a step changes volume; of steps that differ, the one that does so most."""
    steps = steps_in_use(facts.model)
    factors = [facts.derivation.volume_at(at.values) for at in steps]
    known = [factor for factor in factors if factor is not None]
    if len(known) < len(factors):
        return None
    return max(known, key=lambda factor: abs(factor - 1))


def spectrum(facts: Judged, claim: Claim) -> Answer:
    """Whether the eigenvalues are where the claim says."""
    certificate = facts.certificate
    if certificate.verdict in IMPLIED_BY[claim.name] or certificate.vanishing:
        if certificate.broken:
            return _broken(facts)
        under = ", ".join(certificate.conditions)
        reason = f"{MEANINGS[claim.name]}" + (f", provided that {under}" if under else "")
        return Answer(True, reason)
    witness = certificate.witness
    if witness is None and (claim.name != "stable" or certificate.trials < facts.trials):
        certificate = _searched(facts, claim)
        witness = certificate.witness
    if witness is not None:
        reason = f"{witness}, {witness.size} per state"
        return Answer(False, reason, certificate.span, witness)
    why = certificate.reason or f"proved is only that {MEANINGS[certificate.verdict]}"
    return Answer(None, why + certificate.tried, certificate.span)


def _searched(facts: Judged, claim: Claim) -> Certificate:
    """The certificate after a search against what is claimed, if there is to be one."""
    if facts.certificate.unsearched or not facts.trials:
        return facts.certificate
    from odenet.analyse.witness import Against, searched  # numpy, which proofs do without

    against = cast(Against, claim.name)
    return searched(facts.certificate, facts.model, facts.trials, facts.seed, against)


def _broken(facts: Judged) -> Answer:
    """A proof that rests on a sign with which training does not begin."""
    reasons: list[str] = []
    for assumption in facts.certificate.broken:
        learned = facts.model.parameters[assumption.subject]
        fix = f"; {learned.type}(positive) keeps it" if "positive" in learned.options else ""
        fix = fix.replace("norm(", f"norm({learned.options.get('kind')}, ")
        reasons.append(f"{assumption.start}, where this does not hold{fix}")
    conditions = " and ".join(facts.certificate.conditions)
    cause = facts.model.parameters[facts.certificate.broken[0].subject].span
    return Answer(None, f"proved if {conditions}; {'; '.join(reasons)}", cause)
