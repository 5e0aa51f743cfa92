"""What is derived and proved of a program, as the page shows it: MathML formulas and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from odenet.analyse.claims import VERDICT_MARKS
from odenet.compiler import Program
from odenet.derive.describe import properties, why_no_inverse
from odenet.emit import latex, notation
from odenet.emit.mathml import mathml
from odenet.emit.numerics import numerics
from odenet.model.fitting.fit import for_line
from odenet.model.typed.dialects import latex_math
from odenet.report.proof import ProofStep, proof_steps, sentence


@dataclass(frozen=True)
class Formulas:
    """The equations of a program and what is derived from its scheme.

    Without a `discretise` line there is no scheme: then all fields below `where` are empty.

    Args:
        equations: the differential equations, in MathML.
        initial: the initial values and the output, in MathML.
        where: the definitions by `let`, in Unicode.
        discretisation: the scheme with its constants, and the form of equation that it integrates,
            such as Y' = F(Y).
        step: the lines of the scheme, in MathML.
        inverse: the lines that undo a step, in MathML; empty if a step has no inverse.
        proof: that the inverse undoes a step, in MathML; empty if there is none.
        why_irreversible: a sentence; empty if there is an inverse.
        properties: pairs (name, value), such as those of order and symmetry.
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
        word: the verdict on the spectrum: proved, refuted or open.
        summary: the verdict in a sentence.
        steps: the steps of the proof.
        reasons: why there is no proof, and the counterexample if one was found.
        energy: the formulas of the energy E and of dE/dt; empty if no energy is known.
        energy_notes: the definitions of the symbols in these formulas.
        assumptions: what the proof assumes, a text for each assumption.
        claims: a triple for each claim of the file: a mark such as ✓, the claim, and the verdict
            with its reason.
    """

    word: str
    summary: str
    steps: Sequence[ProofStep]
    reasons: Sequence[str]
    energy: Sequence[str]
    energy_notes: Sequence[str]
    assumptions: Sequence[str]
    claims: Sequence[tuple[str, str, str]]


def formulas(program: Program) -> Formulas:
    """The formulas of a program, for the page."""
    model = program.model
    undiscretised = Formulas(
        equations=mathml(latex.equations(model)),
        initial=mathml(latex.initial(model)),
        where=", ".join(notation.let_definitions(model)),
    )
    if not program.discretised:
        return undiscretised
    derivation = program.derivation
    no_inverse_reason = why_no_inverse(derivation)
    return replace(
        undiscretised,
        discretisation=f"{notation.discretisation(model)}, for {for_line(model.scheme)}",
        step=mathml(latex.update_lines(model.scheme)),
        inverse="" if no_inverse_reason else mathml(latex.inverse(derivation)),
        proof="" if no_inverse_reason else mathml(latex.inverse_proof(derivation)),
        why_irreversible=sentence(no_inverse_reason),
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
        rate = f"{latex_math(energy.rate)}{'' if energy.conserved else latex_math(' ≤ 0')}"
        formula = f"E = {latex_math(energy.formula)}"
        energy_formulas = mathml(formula), mathml(rf"\frac{{dE}}{{dt}} = {rate}")
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
