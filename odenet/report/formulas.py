"""What is derived from a program, as a page shows it: formulas in MathML, the rest in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from odenet.analyse.claims import SIGNS, ClaimResult
from odenet.compiler import Program
from odenet.derive.describe import properties, why_not_undone
from odenet.emit import latex, notation
from odenet.emit.mathml import mathml
from odenet.emit.numerics import numerics
from odenet.model.fitting.fit import for_line
from odenet.model.typed.dialects import latex_text
from odenet.report.proof import Step, argument, sentences


@dataclass(frozen=True)
class Formulas:
    """The mathematics of a program.

    Args:
        equations: the differential equations.
        initial: how they begin, and the output.
        where: what the `let`s mean.
        discretisation: the scheme with its constants, and the equations that it takes, which give F
            its meaning; empty in a file without steps.
        step: the lines of the scheme.
        inverse: those that undo it; empty where there is none.
        proof: that they do.
        irreversible: why there is no inverse; else empty.
        properties: order, symmetry and so on, by name.
        numbers: sentences on stability and the error of the round trip.
    """

    equations: str
    initial: str
    where: str
    discretisation: str = ""
    step: str = ""
    inverse: str = ""
    proof: str = ""
    irreversible: str = ""
    properties: Sequence[tuple[str, str]] = ()
    numbers: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """What is known of the spectrum.

    Args:
        word: proved, refuted or open.
        summary: in one sentence.
        steps: the proof.
        reasons: why there is none, and the counterexample.
        energy: E and its rate, each a formula; none where there is none.
        energy_notes: what is in it.
        assumptions: what the verdict rests on.
        claims: of the file: a sign, the claim, and what became of it.
    """

    word: str
    summary: str
    steps: Sequence[Step]
    reasons: Sequence[str]
    energy: Sequence[str]
    energy_notes: Sequence[str]
    assumptions: Sequence[str]
    claims: Sequence[tuple[str, str, str]]


def formulas(program: Program) -> Formulas:
    """The mathematics of a program."""
    model = program.model
    begin = Formulas(
        equations=mathml(latex.equations(model)),
        initial=mathml(latex.initial(model)),
        where=", ".join(notation.let_definitions(model)),
    )
    if not program.discretised:
        return begin
    derivation = program.derivation
    why = why_not_undone(derivation)
    return replace(
        begin,
        discretisation=f"{notation.discretisation(model)}, for {for_line(model.scheme)}",
        step=mathml(latex.rule(model.scheme)),
        inverse="" if why else mathml(latex.inverse(derivation)),
        proof="" if why else mathml(latex.inverse_proof(derivation)),
        irreversible=sentences(why),
        properties=properties(derivation),
        numbers=[sentences(line) for line in numerics(model, derivation)],
    )


def verdict(program: Program) -> Verdict:
    """What is known of the spectrum of a program."""
    found = program.certificate
    energy, witness = found.energy, found.witness
    reasons = [] if found.proved else [found.reason]
    reasons += [found.tried.removeprefix("; ")] if not found.proved and witness is None else []
    reasons += list(witness.lines()) if witness is not None else []
    formula: tuple[str, ...] = ()
    if energy is not None:
        rate = f"{latex_text(energy.rate)}{'' if energy.conserved else latex_text(' ≤ 0')}"
        formula = (
            mathml(f"E = {latex_text(energy.formula)}"),
            mathml(rf"\frac{{dE}}{{dt}} = {rate}"),
        )
    notes = () if energy is None else (*energy.units, *energy.primitives, energy.condition)
    return Verdict(
        word="proved" if found.proved else found.verdict,
        summary=sentences(found.summary),
        steps=argument(found),
        reasons=[sentences(reason) for reason in reasons if reason],
        energy=formula,
        energy_notes=[note for note in notes if note],
        assumptions=[str(assumption) for assumption in found.assumptions] if found.proved else [],
        claims=[_claim(claim) for claim in program.claims],
    )


def _claim(claim: ClaimResult) -> tuple[str, str, str]:
    return SIGNS[claim.holds], claim.name, f"{claim.verdict}: {claim.reason}"
