"""The certificate as an argument that one reads from top to bottom, with M as a block matrix."""

import re
from dataclasses import dataclass

from odenet.analyse import Certificate, latex, proof_text
from odenet.analyse.conditions import Part
from odenet.emit.latex import aligned
from odenet.emit.mathml import mathml


@dataclass(frozen=True)
class Step:
    """A piece of the argument: a paragraph, then a list, then a display; each may be empty."""

    words: str = ""
    items: tuple[str, ...] = ()
    formula: str = ""


def argument(certificate: Certificate) -> list[Step]:
    """The proof of a verdict; empty where nothing is proved."""
    if not certificate.proved:
        return []
    parts = certificate.parts
    found = [Step(" ".join(proof_text.opening(parts)))] if len(parts) > 1 else []
    for number, part in enumerate(parts, start=1):
        found += _part(part, str(number) if len(parts) > 1 else "")
    found.append(Step(f"Sources: {proof_text.sources(parts)}."))
    return found


def _part(part: Part, name: str) -> list[Step]:
    lines = list(proof_text.setting(part, name))
    units = tuple(line.strip() for line in lines if line.startswith("  "))
    words = [line for line in lines if not line.startswith("  ")]
    if not part.units:
        return [Step(" ".join(words))]
    end = " ".join(proof_text.conclusion(part, name))
    intro = 2 if part.decay else 1  # the units belong to the last sentence of these
    head = f"{' '.join(words[:intro])}:"
    rest = " ".join([*words[intro:], *proof_text.arranged(part)])
    display = mathml(aligned(list(latex.display(part))))
    return [Step(head, units), Step(rest, (), display), Step(end)]


def sentences(text: str) -> str:
    """A sentence that begins with a capital and ends with a stop."""
    text = re.sub(r"\s+", " ", text).strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', ':')) else '.'}" if text else ""
