"""Judges the claims of `require` lines: proved, refuted or open."""

from dataclasses import dataclass, field
from typing import Any, cast

from odenet.analyse.certificate import MEANINGS, Certificate
from odenet.analyse.counterexample import Witness
from odenet.analyse.decide import TRIALS
from odenet.analyse.facts import Facts
from odenet.analyse.scheme_on_dynamics import reason_irreversible
from odenet.analyse.step_constants import bits_kept, distinct_steps
from odenet.counted import counted
from odenet.derive.scheme_notation import scheme_notation
from odenet.diagnostics import Code, Diagnostic, Span
from odenet.model.tables.claims import CLAIMS, Answer
from odenet.model.typed.program import Claim

IMPLIED_BY = {  # claim about the spectrum -> verdicts that prove it
    "stable": ("imaginary", "real", "stable"),
    "imaginary": ("imaginary",),
    "real": ("real",),
}
VERDICT_WORDS = {True: "proved", False: "refuted", None: "open"}
ERROR_CODES: dict[bool | None, Code] = {False: "claim-refuted", None: "claim-open"}
VERDICT_MARKS = {True: "✓", False: "✗", None: "?"}


@dataclass(frozen=True)
class ClaimResult:
    """The verdict on one claim.

    Args:
        claim: the claim as it is written in the file.
        holds: True if proved, False if refuted, None if open.
        reason: why, in a sentence.
        span: the line of the claim.
        cause: the part of the text that refutes it or prevents a proof.
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
        return VERDICT_WORDS[self.holds]

    @property
    def line(self) -> str:
        """The claim and its verdict in one line, after a mark ✓, ✗ or ?."""
        return f"{VERDICT_MARKS[self.holds]} {self}"

    def __repr__(self) -> str:
        return f"<claim {self}>"

    def failure(self, help: str = "", severity: str = "error") -> Diagnostic:
        """A claim that is not proved, as a diagnostic at its own line.

        Args:
            help: what to do about it.
            severity: "error" or "warning".
        """
        message = f"`require {self.name}` is {self.verdict}: {self.reason}"
        span = self.cause or self.span
        reference = f"see line {span.line}: {span.text}" if span != self.span else ""
        help_ = "; ".join(part for part in (reference, help) if part)
        code = ERROR_CODES[self.holds]
        return Diagnostic(code, message, self.span, help_, severity, label="claimed here")

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
class ClaimContext(Facts):
    """What claims are judged by: the facts about the file, and how to search for counterexamples.

    Args:
        trials: random starts of the search; 0 for none.
        seed: the seed of the search.
    """

    trials: int
    seed: int


def check_claims(facts: Facts, trials: int = TRIALS, seed: int = 0) -> list[ClaimResult]:
    """Prove or refute every `require` of a file.

    Args:
        facts: what is known about the file.
        trials: random starts of the search for a counterexample; 0 for none.
        seed: the seed of the search.
    """
    context = ClaimContext(**vars(facts), trials=trials, seed=seed)
    return [_check_claim(context, claim) for claim in facts.model.claims]


def _check_claim(context: ClaimContext, claim: Claim) -> ClaimResult:
    claim_row = CLAIMS[claim.name]
    if context.derivation_or_none is None and claim_row.concerns_steps:
        answer = Answer(None, "this is about steps, and the file has no `discretise` line")
    else:
        answer = claim_row.judge_claim(context, claim)
    return ClaimResult(claim, answer.holds, answer.reason, claim.span, answer.cause, answer.witness)


def reversible(facts: ClaimContext, claim: Claim) -> Answer:
    """Whether the steps of the scheme have an inverse."""
    reason = reason_irreversible(facts.model, facts.derivation)
    if reason is None:
        return Answer(True, f"{facts.model.scheme.name} is undone line by line")
    obstacle = facts.derivation.obstacle
    return Answer(False, reason, obstacle.span if obstacle else None)


def exact(facts: ClaimContext, claim: Claim) -> Answer:
    """Whether the steps are inverted exactly, bit for bit."""
    reversibility = reversible(facts, claim)
    if not reversibility.holds:
        return reversibility
    if not facts.model.discretisation.exact:
        span = facts.model.discretisation.span
        return Answer(False, "the discretisation rounds: write `exact` at its end", span)
    bits = bits_kept(facts.model, facts.derivation)
    bits_text = f", {counted(bits, 'bit')} per value and step kept aside" if bits else ""
    bits_text = ", with bits kept aside that depend on h" if bits is None else bits_text
    return Answer(True, f"integer shears are undone bit for bit{bits_text}")


def order(facts: ClaimContext, claim: Claim) -> Answer:
    """Whether the scheme has at least the claimed order."""
    order = facts.derivation.order_at(facts.model.discretisation.numbers)
    name = facts.model.scheme.name
    claimed = claim.number or 1
    if order.not_derived:
        return Answer(None, f"no order of {name} is derived: {order.reason}")
    if order.value is None:
        return Answer(False, f"{name} has no order: {order.reason}")
    if claimed > order.value and order.may_be_higher:
        limit = order.highest_searched
        reason = f"{name} has at least order {order.value}; not searched beyond {limit}"
        return Answer(None, reason)
    holds = order.value >= claimed
    reasons = [order.reason] if not holds and not order.solved_equations else []
    notes = [order.note] if order.note else []
    return Answer(holds, "; ".join([f"{name} has order {order}", *reasons, *notes]))


def symmetric(facts: ClaimContext, claim: Claim) -> Answer:
    """Whether a step with -h is the inverse of a step with h."""
    if facts.derivation.symmetric:
        return Answer(True, "a step with -h undoes a step with h")
    symmetry_order = facts.derivation.symmetry_order
    limit = f", only to order {symmetry_order}" if symmetry_order else ""
    return Answer(False, f"a step with -h does not undo a step with h{limit}")


def volume_preserving(facts: ClaimContext, claim: Claim) -> Answer:
    """Whether a step preserves volume."""
    volume = facts.derivation.volume
    if facts.derivation.volume_exponents:
        printer = scheme_notation(facts.model.scheme)
        exponent = " + ".join(map(printer.show, facts.derivation.volume_exponents))
        return Answer(False, f"a step changes volume by the exponential of {exponent}")
    if volume is None:
        reason = "without an explicit inverse the change of volume depends on the weights"
        return Answer(None, reason)
    factor = _volume_factor(facts)
    if factor is None:
        text = scheme_notation(facts.model.scheme).number(volume)
        reason = f"a step changes volume by {text} per value, and h follows from the depth"
        return Answer(None, reason)
    if abs(factor - 1) < 1e-12:
        return Answer(True, "every shear keeps volume")
    return Answer(False, f"a step changes volume by {factor:g} per value")


def _volume_factor(facts: ClaimContext) -> float | None:
    """The factor by which a step changes volume; of steps that differ, the one farthest from 1."""
    factors = [facts.derivation.volume_at(step.values) for step in distinct_steps(facts.model)]
    known_factors = [factor for factor in factors if factor is not None]
    if len(known_factors) < len(factors):
        return None
    return max(known_factors, key=lambda factor: abs(factor - 1))


def spectrum(facts: ClaimContext, claim: Claim) -> Answer:
    """Whether all eigenvalues of the Jacobian lie in the claimed set."""
    certificate = facts.certificate
    if certificate.verdict in IMPLIED_BY[claim.name] or certificate.has_zero_spectrum:
        if certificate.initially_violated:
            return _violated_at_start(facts)
        provisos = ", ".join(certificate.conditions)
        reason = f"{MEANINGS[claim.name]}" + (f", provided that {provisos}" if provisos else "")
        return Answer(True, reason)
    witness = certificate.witness
    if witness is None and (claim.name != "stable" or certificate.trials < facts.trials):
        certificate = _certificate_after_search(facts, claim)
        witness = certificate.witness
    if witness is not None:
        reason = f"{witness}, {witness.size_text} per state"
        return Answer(False, reason, certificate.span, witness)
    why = certificate.reason or f"proved is only that {MEANINGS[certificate.verdict]}"
    return Answer(None, why + certificate.search_text, certificate.span)


def _certificate_after_search(facts: ClaimContext, claim: Claim) -> Certificate:
    """The certificate after a search for a counterexample to the claim, if one is possible."""
    if facts.certificate.unsearched or not facts.trials:
        return facts.certificate
    # Imported here, since it needs numpy, which proofs do without.
    from odenet.analyse.refute import SpectrumClaim, search_counterexample

    against = cast(SpectrumClaim, claim.name)
    return search_counterexample(facts.certificate, facts.model, facts.trials, facts.seed, against)


def _violated_at_start(facts: ClaimContext) -> Answer:
    """The answer if the proof assumes a sign that the initial parameters do not have."""
    reasons: list[str] = []
    for assumption in facts.certificate.initially_violated:
        parameter = facts.model.parameters[assumption.subject]
        fix = f"; {parameter.type}(positive) keeps it" if "positive" in parameter.options else ""
        fix = fix.replace("norm(", f"norm({parameter.options.get('kind')}, ")
        reasons.append(f"{assumption.start}, where this does not hold{fix}")
    conditions = " and ".join(facts.certificate.conditions)
    cause = facts.model.parameters[facts.certificate.initially_violated[0].subject].span
    return Answer(None, f"proved if {conditions}; {'; '.join(reasons)}", cause)
