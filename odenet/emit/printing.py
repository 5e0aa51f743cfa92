"""What the compiler reports about a program: as text, as LaTeX, as JSON values.

A file without a `discretise` line has no derivation; its equations, certificate and claims are
shown, and the schemes that fit.
"""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from odenet.analyse import Certificate, ClaimResult, fitting_schemes
from odenet.analyse.facts import Facts
from odenet.derive import Derivation, derive
from odenet.derive.describe import conditions
from odenet.emit import latex, notation
from odenet.emit.bibliography import citations
from odenet.emit.numerics import numerics
from odenet.emit.summary import summary_rows
from odenet.model.elaboration.library import library_names, library_scheme
from odenet.model.fitting.fit import for_line
from odenet.model.typed.dialects import latex_prose
from odenet.model.typed.notation import LATEX
from odenet.model.typed.program import Model


def as_summary(facts: Facts, claims: Sequence[ClaimResult], width: int | None = None) -> str:
    """The summary of a program, one line per property, without proofs.

    A file without a `discretise` line shows its equations too, and the schemes that fit.

    Args:
        facts: model, derivation and certificate.
        claims: the result of each `require`.
        width: columns of a terminal, to break longer lines; None does not break them.
    """
    model = facts.model
    parts = [model.description or model.name]
    if facts.derivation_or_none is None:
        parts += ["", *_indented(notation.equations(model)), ""]
    rows = summary_rows(facts, claims)
    label_width = max(len(name) for name, _ in rows)
    for name, text in rows:
        lead = f"  {name:<{label_width}}  "
        margin = " " * len(lead)
        line = f"{lead}{text}"
        wrapped = width and wrap(
            line, width, subsequent_indent=margin, break_long_words=False, break_on_hyphens=False
        )
        parts += wrapped or [line]
    if facts.derivation_or_none is None:
        parts += ["", *_scheme_suggestions(model, facts.certificate)]
    return "\n".join(parts)


def as_text(facts: Facts, claims: Sequence[ClaimResult]) -> str:
    """Equations, discretisation, forward, inverse, properties, numbers, certificate and claims."""
    model, derivation, certificate = facts.model, facts.derivation_or_none, facts.certificate
    parts = [model.description or model.name, ""]
    parts += _indented(notation.equations(model))
    if model.lets:
        parts.append(f"with {', '.join(notation.let_definitions(model))}")
    if derivation is not None:
        by = f"{notation.discretisation(model)}, for {for_line(model.scheme)}"
        parts += ["", f"discretised by {by}", "", str(derivation)]
        if lines := numerics(model, derivation):
            parts += ["in numbers", *_indented(lines)]
    parts += ["", str(certificate)]
    if claims:
        parts += ["", "claims", *_indented([claim.line for claim in claims])]
    if derivation is None:
        parts += ["", *_scheme_suggestions(model, certificate)]
    return "\n".join(parts)


def _scheme_suggestions(model: Model, certificate: Certificate) -> list[str]:
    """`discretise` lines that fit the file, with what is known of each."""
    schemes = fitting_schemes(model, certificate)
    if not schemes:
        return ["no discretisation, and no scheme of the library fits: write one in the file"]
    width = max(len(fitting.line) for fitting in schemes)
    lines = [
        f"{fitting.line:{width}}  # {'' if fitting.reversible else 'not '}reversible, "
        f"stable for {fitting.limits}"
        for fitting in schemes
    ]
    condition = "" if certificate.proved else ", if the spectrum is stable"
    return [f"no discretisation: add one of these lines{condition}", *_indented(lines)]


def as_latex(facts: Facts) -> str:
    """The equations, the step, its inverse and the proof, for a paper."""
    model, derivation = facts.model, facts.derivation_or_none
    parts = [f"\\[\n{latex.equations(model)}\n\\]"]
    if derivation is not None:
        scheme = latex_prose(notation.discretisation(model))
        by = rf"{scheme}, for \({LATEX.for_line(model.scheme)}\)"
        parts += [f"discretised by {by}:", f"\\[\n{latex.update_lines(model.scheme)}\n\\]"]
        parts.append(derivation.latex())
    return "\n\n".join([*parts, facts.certificate.latex()])


def as_document(facts: Facts, bibliography: str) -> str:
    """The LaTeX of `as_latex` as a document, with description and citations.

    Args:
        facts: model, derivation and certificate.
        bibliography: the name of the file that `as_bibtex` is written to, without `.bib`.
    """
    model, cited = facts.model, citations(facts.model)
    begin = [
        r"\documentclass{article}",
        r"\usepackage[utf8]{inputenc}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage{amsmath,amssymb}",
        rf"\title{{{latex_prose(model.name)}}}",
        r"\author{}",
        r"\date{}",
        r"\begin{document}",
        r"\maketitle",
    ]
    citation = rf"~\cite{{{','.join(cited)}}}" if cited else ""
    text = latex_prose(model.description) + citation
    end = [r"\bibliographystyle{plain}", rf"\bibliography{{{bibliography}}}"] if cited else []
    return "\n".join([*begin, "", text, "", as_latex(facts), "", *end, r"\end{document}"])


def as_bibtex(facts: Facts) -> str:
    """The BibTeX entries that the file and its scheme cite."""
    return "\n\n".join(citations(facts.model).values())


def as_json(facts: Facts, claims: Sequence[ClaimResult]) -> dict[str, Any]:
    """All results as JSON values; entries about steps are null without a `discretise` line.

    `certificate` and `claims` are what `odenet check --json` gives for the file.
    """
    model, derivation = facts.model, facts.derivation_or_none
    steps: dict[str, Any] = dict.fromkeys(("scheme", "rule", "derivation", "numerics"))
    if derivation is not None:
        steps = {
            "scheme": model.scheme.name,
            "rule": notation.update_lines(model.scheme),
            "derivation": derivation.to_json(),
            "numerics": numerics(model, derivation),
        }
    return {
        "name": model.name,
        "description": model.description,
        "equations": notation.equations(model),
        **steps,
        "certificate": facts.certificate.to_json(),
        "claims": [claim.to_json() for claim in claims],
        "recipe": {key: str(value) for key, value in model.recipe.items()},
    }


def scheme_rows() -> list[dict[str, Any]]:
    """The derived properties of each scheme of the library, one row per scheme."""
    return [_scheme_row(name) for name in library_names()]


def _scheme_row(name: str) -> dict[str, Any]:
    scheme = library_scheme(name)
    derivation = derive(scheme)
    return {
        "scheme": name,
        "takes": for_line(scheme),
        "order": "-" if derivation.order is None else derivation.order,
        "reversible": "yes" if derivation.obstacle is None else "no",
        "symmetric": _symmetry(derivation),
        "volume": derivation.to_json()["volume"] or "-",
        "needs": ", ".join(conditions(derivation)) or "-",
        "solves": derivation.accuracy.solved_equations,
        "parasitic": derivation.accuracy.parasitic,
        "start": derivation.accuracy.note,
        "why not reversible": derivation.obstacle.message if derivation.obstacle else "",
    }


def _symmetry(derivation: Derivation) -> str:
    """`yes`, `no`, or the order to which a step is undone by one with -h."""
    if derivation.symmetric:
        return "yes"
    return f"to order {derivation.symmetry_order}" if derivation.effectively_symmetric else "no"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
