"""The proof about the spectrum, from a certificate, as paragraphs and formulas of the page."""

import re
from dataclasses import dataclass

from odenet.analyse import Certificate, latex, proof_text
from odenet.analyse.conditions import ProofPart
from odenet.emit.latex import aligned
from odenet.emit.mathml import mathml


@dataclass(frozen=True)
class ProofStep:
    """A step of the proof: a paragraph, then a list, then a MathML formula; each may be empty."""

    words: str = ""
    items: tuple[str, ...] = ()
    formula: str = ""


def proof_steps(certificate: Certificate) -> list[ProofStep]:
    """The steps of the proof; empty if nothing is proved."""
    if not certificate.proved:
        return []
    parts = certificate.parts
    steps = [ProofStep(" ".join(proof_text.opening_lines(parts)))] if len(parts) > 1 else []
    for number, part in enumerate(parts, start=1):
        steps += _part_steps(part, str(number) if len(parts) > 1 else "")
    steps.append(ProofStep(f"Sources: {proof_text.sources_text(parts)}."))
    return steps


def _part_steps(part: ProofPart, part_name: str) -> list[ProofStep]:
    """The steps about one of the independent parts of a system; the sentences call it `part_name`.

    The name is empty if the system has only one part.
    """
    lines = list(proof_text.decay_and_unit_lines(part, part_name))
    units = tuple(line.strip() for line in lines if line.startswith("  "))
    sentences = [line for line in lines if not line.startswith("  ")]
    if not part.units:
        return [ProofStep(" ".join(sentences))]
    conclusion = " ".join(proof_text.conclusion_lines(part, part_name))
    count = 2 if part.decay else 1  # sentences before the list of units
    opening = f"{' '.join(sentences[:count])}:"
    matrix_text = " ".join([*sentences[count:], *proof_text.change_of_variables_lines(part)])
    matrix = mathml(aligned(list(latex.part_rows(part))))
    return [ProofStep(opening, units), ProofStep(matrix_text, (), matrix), ProofStep(conclusion)]


def sentence(text: str) -> str:
    """A text that begins with a capital and ends with a stop; empty if it is empty."""
    text = re.sub(r"\s+", " ", text).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', ':')) else '.'}" if text else ""
