"""What is known about the spectrum of the dynamics, with the proof or the counterexample."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from odenet.analyse import latex, proof_text
from odenet.analyse.conditions import Part
from odenet.analyse.counterexample import Witness
from odenet.analyse.energy import Energy
from odenet.analyse.factorisations import Matrix
from odenet.analyse.laurent import Scalar, rational
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
    """What the verdict rests on in addition to the equations; each can be checked on real weights.

    Args:
        kind: "constant weights" (within a step), "frozen statistics" (of a batch norm), "gain" (of
            a norm), "sign" (of a learned number or diagonal) or "gate" (a function of what is no
            state): the last three are never negative.
        subject: canonical name of the parameter, empty for all.
        text: in words.
        by_construction: whether the generated module cannot violate it.
        start: how the parameter begins, where the assumption does not hold there; else empty.
    """

    kind: AssumptionKind
    subject: str
    text: str
    by_construction: bool = False
    start: str = ""

    def __str__(self) -> str:
        begins = f" ({self.start}, where this does not hold)" if self.start else ""
        return self.text + (" (by construction)" if self.by_construction else begins)


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A verdict on the spectrum of s' = f(s), for all weights and inputs.

    Args:
        verdict: "imaginary", "real" (and at most 0) or "stable" (no positive real part) are proved;
            "refuted" has a witness with a positive real part; "open" is neither.
        parts: the pieces of the proof; for one that is not block triangular a single one.
        energy: what the flow conserves or diminishes, if the same condition gives one.
        assumptions: what the verdict rests on.
        reason: why nothing was proved.
        span: the piece of the text that is to blame.
        witness: a Jacobian with an eigenvalue in the right half plane.
        trials: how many weights and inputs were tried without finding one.
        unsearched: why none could be tried.
        system: the dynamics as s' = L φ(R s + b); None if they are not of that form.
    """

    verdict: Verdict
    parts: tuple[Part, ...] = ()
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
    def vanishing(self) -> bool:
        """Whether it is proved that all eigenvalues are zero."""
        return self.proved and all(p.nilpotent and not p.decay for p in self.parts)

    @property
    def matrix(self) -> Matrix | None:
        """M = R L, if one matrix carries the proof."""
        return self.parts[0].matrix if len(self.parts) == 1 else None

    @property
    def weights(self) -> UnitWeights | None:
        """C, if one matrix carries the proof."""
        return self.parts[0].weights if len(self.parts) == 1 else None

    @property
    def rate(self) -> Scalar | None:
        """An r > 0 with Re λ <= -r for all eigenvalues, if one is proved."""
        rates = {part.rate for part in self.parts}
        if len(rates) == 1:
            return rates.pop()
        numbers = [rational(rate) for rate in rates if rate is not None]
        known = [number for number in numbers if number is not None]
        return Scalar.number(min(known)) if known and len(known) == len(rates) else None

    @property
    def conditions(self) -> tuple[str, ...]:
        """The assumptions that training can violate: signs of gains, numbers and diagonals."""
        return tuple(
            assumption.text
            for assumption in self.assumptions
            if assumption.kind in ("sign", "gain") and not assumption.by_construction
        )

    @property
    def broken(self) -> tuple[Assumption, ...]:
        """The assumptions that do not hold where training begins."""
        return tuple(assumption for assumption in self.assumptions if assumption.start)

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if self.proved:
            where = {"real": "real and at most 0", "stable": "in the closed left half plane"}
            under = f", if {' and '.join(self.conditions)}" if self.conditions else ""
            under += "".join(
                f"; {assumption.start}, where this does not hold" for assumption in self.broken
            )
            return f"spectrum {where.get(self.verdict, self.verdict)} (proved{under})"
        if self.witness is not None:
            return f"spectrum refuted: not stable, {self.witness}"
        return f"spectrum open: {self.reason}{self.tried}"

    @property
    def tried(self) -> str:
        """What a search for a counterexample came to that found none, to end a sentence with."""
        if self.unsearched:
            return f"; not searched for a counterexample: {self.unsearched}"
        return f"; no counterexample in {self.trials} trials" if self.trials else ""

    @property
    def proof(self) -> tuple[str, ...]:
        """The argument as a chain of lines; empty if nothing is proved."""
        return tuple(proof_text.proof(self.parts, self.verdict)) if self.proved else ()

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
        return latex.certificate(self.parts, self.verdict, self.summary)

    def _repr_latex_(self) -> str:
        return self.latex()

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        place = {"line": self.span.line, "column": self.span.column} if self.span else None
        return {
            "verdict": self.verdict,
            "summary": self.summary,
            "parts": [proof_text.plain(part) for part in self.parts],
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
