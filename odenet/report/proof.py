"""The proof of a certificate as a list of paragraphs and formulas, for the page."""

import re
from dataclasses import dataclass

from odenet.analyse import Certificate, latex, proof_text
from odenet.analyse.conditions import ProofPart
from odenet.emit.latex import aligned
from odenet.emit.mathml import mathml


@dataclass(frozen=True)
class Step:
    """A step of the proof: a paragraph, then a list, then a MathML formula; each may be empty."""

    words: str = ""
    items: tuple[str, ...] = ()
    formula: str = ""


def proof_steps(certificate: Certificate) -> list[Step]:
    """The steps of the proof; empty if nothing is proved."""
    if not certificate.proved:
        return []
    parts = certificate.parts
    steps = [Step(" ".join(proof_text.opening_lines(parts)))] if len(parts) > 1 else []
    for number, part in enumerate(parts, start=1):
        steps += _part_steps(part, str(number) if len(parts) > 1 else "")
    steps.append(Step(f"Sources: {proof_text.sources_text(parts)}."))
    return steps


def _part_steps(part: ProofPart, name: str) -> list[Step]:
    """The steps about one of the independent parts of a system, which they call by its name."""
    lines = list(proof_text.setting_lines(part, name))
    units = tuple(line.strip() for line in lines if line.startswith("  "))
    sentences = [line for line in lines if not line.startswith("  ")]
    if not part.units:
        return [Step(" ".join(sentences))]
    conclusion = " ".join(proof_text.conclusion_lines(part, name))
    count = 2 if part.decay else 1  # of the sentences before the list of units
    introduction = f"{' '.join(sentences[:count])}:"
    matrix_text = " ".join([*sentences[count:], *proof_text.change_of_variables_lines(part)])
    matrix = mathml(aligned(list(latex.part_rows(part))))
    return [Step(introduction, units), Step(matrix_text, (), matrix), Step(conclusion)]


def sentence(text: str) -> str:
    """A text that begins with a capital and ends with a stop; empty if it is empty."""
    text = re.sub(r"\s+", " ", text).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', ':')) else '.'}" if text else ""
