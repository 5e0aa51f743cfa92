"""What is known about the spectrum of the dynamics, with the proof or the counterexample."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from odenet.analyse import latex, proof_text
from odenet.analyse.conditions import ProofPart
from odenet.analyse.counterexample import Witness
from odenet.analyse.energy import Energy
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import Scalar, as_fraction
from odenet.analyse.scaling import UnitWeights
from odenet.analyse.units import System
from odenet.diagnostics import Span

Verdict = Literal["imaginary", "real", "stable", "open", "refuted"]
AssumptionKind = Literal["constant weights", "frozen statistics", "gain", "sign", "gate"]

MEANINGS = {
    "imaginary": "every eigenvalue of the Jacobian is imaginary",
    "real": "every eigenvalue of the Jacobian is real and at most 0",
    "stable": "no eigenvalue of the Jacobian has a positive real part",
}


@dataclass(frozen=True)
class Assumption:
    """A condition under which the verdict holds; it can be checked on given weights.

    Args:
        kind: "constant weights" (within a step), "frozen statistics" (of a batch norm), or that
            something is never negative: the "gain" of a norm, the "sign" of a learned number or
            diagonal, or a "gate" (a function that does not depend on the states).
        subject: canonical name of the parameter; empty if it is about all.
        text: the condition in words.
        by_construction: whether the generated module cannot violate it.
        start: `γ starts at -1` if the parameter's initial value violates the condition; else empty.
    """

    kind: AssumptionKind
    subject: str
    text: str
    by_construction: bool = False
    start: str = ""

    def __str__(self) -> str:
        start_note = f" ({self.start}, where this does not hold)" if self.start else ""
        return self.text + (" (by construction)" if self.by_construction else start_note)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A verdict on the spectrum of s' = f(s), for all weights and inputs.

    Args:
        verdict: "imaginary", "real" (and at most 0) or "stable" (no positive real part) are proved;
            "refuted" has a witness with a positive real part; "open" is neither.
        parts: the proofs of the diagonal blocks of a block triangular Jacobian, or of all of it.
        energy: a function that the flow conserves or decreases, if the proof gives one.
        assumptions: the conditions under which the verdict holds.
        reason: why nothing was proved.
        span: the part of the text that is the reason.
        witness: a counterexample, a Jacobian with an eigenvalue in the right half plane.
        trials: how many weights and inputs were tried in the search for a counterexample.
        unsearched: why that search was not possible.
        system: the dynamics as s' = L φ(R s + b); None if they are not of that form.
    """

    verdict: Verdict
    parts: tuple[ProofPart, ...] = ()
    energy: Energy | None = None
    assumptions: tuple[Assumption, ...] = ()
    reason: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)
    witness: Witness | None = None
    trials: int = 0
    unsearched: str = ""
    system: System | None = field(default=None, compare=False, repr=False)

    @property
    def proved(self) -> bool:
        """Whether the verdict is a theorem about all weights and inputs."""
        return self.verdict in MEANINGS

    @property
    def has_zero_spectrum(self) -> bool:
        """Whether it is proved that all eigenvalues are zero."""
        return self.proved and all(p.nilpotent and not p.decay for p in self.parts)

    @property
    def matrix(self) -> Matrix | None:
        """M = R L, if the proof has one part."""
        return self.parts[0].matrix if len(self.parts) == 1 else None

    @property
    def weights(self) -> UnitWeights | None:
        """The diagonal of the scaling C, if the proof has one part."""
        return self.parts[0].weights if len(self.parts) == 1 else None

    @property
    def rate(self) -> Scalar | None:
        """An r > 0 with Re λ <= -r for all eigenvalues, if one is proved."""
        rates = {part.rate for part in self.parts}
        if len(rates) == 1:
            return rates.pop()
        numbers = [as_fraction(rate) for rate in rates if rate is not None]
        fractions = [number for number in numbers if number is not None]
        return Scalar.number(min(fractions)) if fractions and len(fractions) == len(rates) else None

    @property
    def conditions(self) -> tuple[str, ...]:
        """The assumptions that training can violate: signs of gains, numbers and diagonals."""
        about_signs = (a for a in self.assumptions if a.kind in ("sign", "gain"))
        return tuple(a.text for a in about_signs if not a.by_construction)

    @property
    def initially_violated(self) -> tuple[Assumption, ...]:
        """The assumptions that do not hold at the initial values of the parameters."""
        return tuple(assumption for assumption in self.assumptions if assumption.start)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.proved:
            phrases = {"real": "real and at most 0", "stable": "in the closed left half plane"}
            provisos = f", if {' and '.join(self.conditions)}" if self.conditions else ""
            violated = self.initially_violated
            provisos += "".join(f"; {a.start}, where this does not hold" for a in violated)
            return f"spectrum {phrases.get(self.verdict, self.verdict)} (proved{provisos})"
        if self.witness is not None:
            return f"spectrum refuted: not stable, {self.witness}"
        return f"spectrum open: {self.reason}{self.search_text}"

    @property
    def search_text(self) -> str:
        """The outcome of a search that found no counterexample, to be appended to a sentence."""
        if self.unsearched:
            return f"; not searched for a counterexample: {self.unsearched}"
        return f"; no counterexample in {self.trials} trials" if self.trials else ""

    @property
    def proof(self) -> tuple[str, ...]:
        """The proof, line by line; empty if nothing is proved."""
        return tuple(proof_text.proof_lines(self.parts, self.verdict)) if self.proved else ()

    def __repr__(self) -> str:
        return f"<certificate: {self.summary}>"

    def __str__(self) -> str:
        lines = [self.summary, *(f"  {line}" for line in self.proof)]
        if len(self.parts) > 1 and self.rate is not None:
            lines.append(f"  No eigenvalue of J has a real part above {-self.rate}.")
        if self.energy is not None:
            lines.append(f"  energy: {self.energy}")
        if self.proved:
            lines += [f"  assuming: {assumption}" for assumption in self.assumptions]
        elif self.witness is not None:
            lines += [f"  {line}" for line in (self.reason, *self.witness.lines())]
        return "\n".join(line.rstrip() for line in lines)

    def latex(self) -> str:
        """The verdict in words, and the proof as a display."""
        return latex.certificate_latex(self.parts, self.verdict, self.summary)

    def _repr_latex_(self) -> str:
        return self.latex()

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        place = {"line": self.span.line, "column": self.span.column} if self.span else None
        return {
            "verdict": self.verdict,
            "summary": self.summary,
            "parts": [proof_text.part_json(part) for part in self.parts],
            "rate": None if self.rate is None else str(self.rate),
            "energy": str(self.energy) if self.energy else None,
            "assumptions": [asdict(assumption) for assumption in self.assumptions],
            "proof": list(self.proof),
            "reason": self.reason,
            "place": place,
            "witness": self.witness.to_json() if self.witness else None,
            "trials": self.trials,
            "unsearched": self.unsearched,
        }
