"""What is derived and proved of a program, for the page: formulas in MathML, the rest in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from odenet.analyse.claims import VERDICT_MARKS
from odenet.compiler import Program
from odenet.derive.describe import properties, why_no_inverse
from odenet.emit import latex, notation
from odenet.emit.mathml import mathml
from odenet.emit.numerics import numerics
from odenet.model.fitting.fit import for_line
from odenet.model.typed.dialects import latex_text
from odenet.report.proof import Step, proof_steps, sentence


@dataclass(frozen=True)
class Formulas:
    """The equations of a program and what is derived from its scheme.

    What comes after `where` is empty in a file without a `discretise` line.

    Args:
        equations: the differential equations, in MathML.
        initial: the initial values and the output, in MathML.
        where: the definitions by `let`.
        discretisation: the scheme with its constants, and the form of the equations that it is for,
            which defines F.
        step: the lines of the scheme, in MathML.
        inverse: the lines that undo a step, in MathML; empty if there are none.
        proof: of the inverse, in MathML.
        why_irreversible: a sentence; empty if there is an inverse.
        properties: names and values, such as order and symmetry.
        numbers: sentences on stability and on the rounding error of the inverse.
    """

    equations: str
    initial: str
    where: str
    discretisation: str = ""
    step: str = ""
    inverse: str = ""
    proof: str = ""
    why_irreversible: str = ""
    properties: Sequence[tuple[str, str]] = ()
    numbers: Sequence[str] = ()


@dataclass(frozen=True)
class Verdict:
    """What is known of the spectrum, and the claims.

    Args:
        word: proved, refuted or open.
        summary: a sentence.
        steps: of the proof.
        reasons: why there is no proof, and the counterexample.
        energy: the formulas of E and of its rate of change; empty if no energy is known.
        energy_notes: the definitions of what these formulas contain.
        assumptions: of the proof.
        claims: those of the file: a sign, the claim, and its verdict with the reason.
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
    """The formulas of a program."""
    model = program.model
    equations = Formulas(
        equations=mathml(latex.equations(model)),
        initial=mathml(latex.initial(model)),
        where=", ".join(notation.let_definitions(model)),
    )
    if not program.discretised:
        return equations
    derivation = program.derivation
    why = why_no_inverse(derivation)
    return replace(
        equations,
        discretisation=f"{notation.discretisation(model)}, for {for_line(model.scheme)}",
        step=mathml(latex.rule(model.scheme)),
        inverse="" if why else mathml(latex.inverse(derivation)),
        proof="" if why else mathml(latex.inverse_proof(derivation)),
        why_irreversible=sentence(why),
        properties=properties(derivation),
        numbers=[sentence(line) for line in numerics(model, derivation)],
    )


def verdict(program: Program) -> Verdict:
    """What is known of the spectrum of a program, and its claims."""
    certificate = program.certificate
    energy, witness = certificate.energy, certificate.witness
    reasons = [] if certificate.proved else [certificate.reason]
    if not certificate.proved and witness is None:
        reasons.append(certificate.search_text.removeprefix("; "))
    reasons += list(witness.lines()) if witness is not None else []
    energy_formulas: tuple[str, ...] = ()
    if energy is not None:
        rate = f"{latex_text(energy.rate)}{'' if energy.conserved else latex_text(' ≤ 0')}"
        energy_formulas = (
            mathml(f"E = {latex_text(energy.formula)}"),
            mathml(rf"\frac{{dE}}{{dt}} = {rate}"),
        )
    notes = () if energy is None else (*energy.units, *energy.primitives, energy.condition)
    return Verdict(
        word="proved" if certificate.proved else certificate.verdict,
        summary=sentence(certificate.summary),
        steps=proof_steps(certificate),
        reasons=[sentence(reason) for reason in reasons if reason],
        energy=energy_formulas,
        energy_notes=[note for note in notes if note],
        assumptions=[str(a) for a in certificate.assumptions] if certificate.proved else [],
        claims=[
            (VERDICT_MARKS[c.holds], c.name, f"{c.verdict}: {c.reason}") for c in program.claims
        ],
    )
