"""What the compiler says about a program: as text, as LaTeX, as plain values.

A file without a `discretise` line has no derivation; its equations, its certificate and its claims
are shown all the same, and then the schemes that fit.
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
from odenet.model.elaboration.library import library, library_scheme
from odenet.model.fitting.fit import takes
from odenet.model.typed.dialects import latex_prose
from odenet.model.typed.notation import LATEX
from odenet.model.typed.program import Model


def as_summary(facts: Facts, claims: Sequence[ClaimResult], width: int | None = None) -> str:
    """What follows from a program in a line for each, its proofs left to `as_text`.

    A file without a `discretise` line shows its equations too, and the schemes that fit.

    Args:
        facts: what the file says, and what follows from it.
        claims: what became of each `require`.
        width: of a terminal, to break longer lines; None leaves them whole.
    """
    model = facts.model
    parts = [model.description or model.name]
    if facts.derived is None:
        parts += ["", *_indented(notation.equations(model)), ""]
    rows = summary_rows(facts, claims)
    label = max(len(name) for name, _ in rows)
    for name, text in rows:
        lead = f"  {name:<{label}}  "
        hang = " " * len(lead)
        whole = f"{lead}{text}"
        broken = width and wrap(
            whole, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False
        )
        parts += broken or [whole]
    if facts.derived is None:
        parts += ["", *_choices(model, facts.certificate)]
    return "\n".join(parts)


def as_text(facts: Facts, claims: Sequence[ClaimResult]) -> str:
    """Equations, discretisation, forward, inverse, properties, numbers, certificate and claims."""
    model, derivation, certificate = facts.model, facts.derived, facts.certificate
    parts = [model.description or model.name, ""]
    parts += _indented(notation.equations(model))
    if model.lets:
        parts.append(f"with {', '.join(notation.where(model))}")
    if derivation is not None:
        by = f"{notation.discretisation(model)}, for {takes(model.scheme)}"
        parts += ["", f"discretised by {by}", "", str(derivation)]
        if lines := numerics(model, derivation):
            parts += ["in numbers", *_indented(lines)]
    parts += ["", str(certificate)]
    if claims:
        parts += ["", "claims", *_indented([claim.line for claim in claims])]
    if derivation is None:
        parts += ["", *_choices(model, certificate)]
    return "\n".join(parts)


def _choices(model: Model, certificate: Certificate) -> list[str]:
    """The lines one could write to have steps."""
    found = fitting_schemes(model, certificate)
    if not found:
        return ["no discretisation, and no scheme of the library fits: write one in the file"]
    width = max(len(fitting.line) for fitting in found)
    lines = [
        f"{fitting.line:{width}}  # {'' if fitting.reversible else 'not '}reversible, "
        f"stable for {fitting.limits}"
        for fitting in found
    ]
    where = "" if certificate.proved else ", if the spectrum is stable"
    return [f"no discretisation: add one of these lines{where}", *_indented(lines)]


def as_latex(facts: Facts) -> str:
    """The equations, the step, its inverse and the proof, for a paper."""
    model, derivation = facts.model, facts.derived
    parts = [f"\\[\n{latex.equations(model)}\n\\]"]
    if derivation is not None:
        scheme = latex_prose(notation.discretisation(model))
        by = rf"{scheme}, for \({LATEX.for_line(model.scheme)}\)"
        parts += [f"discretised by {by}:", f"\\[\n{latex.rule(model.scheme)}\n\\]"]
        parts.append(derivation.latex())
    return "\n\n".join([*parts, facts.certificate.latex()])


def as_document(facts: Facts, bibliography: str) -> str:
    """What `as_latex` gives as a document with the description, and with what the file cites.

    Args:
        facts: what the file says, and what follows from it.
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
    names = rf"~\cite{{{','.join(cited)}}}" if cited else ""
    text = latex_prose(model.description) + names
    end = [r"\bibliographystyle{plain}", rf"\bibliography{{{bibliography}}}"] if cited else []
    return "\n".join([*begin, "", text, "", as_latex(facts), "", *end, r"\end{document}"])


def as_bibtex(facts: Facts) -> str:
    """The papers that the file and its scheme cite; empty where they cite none."""
    return "\n\n".join(citations(facts.model).values())


def as_json(facts: Facts, claims: Sequence[ClaimResult]) -> dict[str, Any]:
    """Everything as plain values, for programs; what is about steps is null where there are none.

    `certificate` and `claims` are what `odenet check --json` gives for the file.
    """
    model, derivation = facts.model, facts.derived
    steps: dict[str, Any] = dict.fromkeys(("scheme", "rule", "derivation", "numerics"))
    if derivation is not None:
        steps = {
            "scheme": model.scheme.name,
            "rule": notation.rule(model.scheme),
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


def scheme_facts() -> list[dict[str, Any]]:
    """What was derived from the text of every scheme of the library, a row each."""
    return [_facts(name) for name in library()]


def _facts(name: str) -> dict[str, Any]:
    scheme = library_scheme(name)
    derivation = derive(scheme)
    plain = derivation.to_json()
    return {
        "scheme": name,
        "takes": takes(scheme),
        "order": "-" if derivation.order is None else derivation.order,
        "reversible": "yes" if derivation.obstacle is None else "no",
        "symmetric": _symmetric(derivation),
        "volume": plain["volume"] or "-",
        "needs": ", ".join(conditions(derivation)) or "-",
        "solves": derivation.accuracy.equations,
        "parasitic": derivation.accuracy.parasitic,
        "start": derivation.accuracy.note,
        "why not reversible": derivation.obstacle.message if derivation.obstacle else "",
    }


def _symmetric(derivation: Derivation) -> str:
    """`yes`, `no`, or the order to which a step is undone by one with -h."""
    if derivation.symmetric:
        return "yes"
    return f"to order {derivation.symmetry_order}" if derivation.effectively_symmetric else "no"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
