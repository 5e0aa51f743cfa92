"""A program as a notebook shows it: equations, scheme and verdict, with formulas in MathML."""

from html import escape

from odenet.analyse.claims import VERDICT_MARKS, ClaimResult
from odenet.analyse.facts import Facts
from odenet.derive.describe import why_no_inverse
from odenet.emit import latex, notation
from odenet.emit.mathml import mathml
from odenet.model.fitting.fit import for_line


def as_html(facts: Facts, claims: list[ClaimResult]) -> str:
    """The HTML fragment; it has no script, no style except margins, and loads nothing.

    Raises:
        MissingLibraries: latex2mathml is not installed.
    """
    model, derivation = facts.model, facts.derivation_or_none
    title = f"<b>{escape(model.name)}</b>"
    parts = [title, _line(model.description), _formula(latex.equations(model))]
    if model.lets:
        parts.append(_line(f"with {', '.join(notation.let_definitions(model))}"))
    if derivation is not None:
        by = f"{notation.discretisation(model)}, for {for_line(model.scheme)}"
        parts.append(_line(f"Discretised by {by}:"))
        parts.append(_formula(latex.update_lines(model.scheme)))
        why = why_no_inverse(derivation)
        parts.append(_line(f"Not reversible: {why}." if why else "Undone line by line:"))
        parts += [] if why else [_formula(latex.inverse(derivation))]
        parts += [_line(fact) for fact in derivation.summary() if "Not reversible" not in fact]
    parts.append(_line(f"{facts.certificate.summary[0].upper()}{facts.certificate.summary[1:]}."))
    parts += [_line(f"{VERDICT_MARKS[claim.holds]} require {claim.name}") for claim in claims]
    return f'<div class="odenet">{"".join(parts)}</div>'


def _line(text: str) -> str:
    return f"<div>{escape(text)}</div>" if text else ""


def _formula(text: str) -> str:
    return f'<div style="overflow-x:auto;margin:.5em 0">{mathml(text)}</div>'
