"""What the compiler says about a program: as text, as LaTeX, as plain values."""

from typing import Any

from odenet.analyse import Certificate
from odenet.derive import Derivation, derive
from odenet.derive.describe import conditions
from odenet.emit import latex, notation
from odenet.emit.numerics import numerics
from odenet.model.program import Model
from odenet.model.schemes import library, library_scheme


def as_text(model: Model, derivation: Derivation, certificate: Certificate) -> str:
    """Equations, discretisation, forward, inverse, properties, numbers and certificate."""
    parts = [model.description or model.name, ""]
    parts += _indented(notation.equations(model))
    if model.lets:
        parts.append(f"with {', '.join(notation.where(model))}")
    parts += ["", f"discretised by {notation.discretisation(model)}", "", str(derivation)]
    if lines := numerics(model, derivation):
        parts += ["in numbers", *_indented(lines)]
    parts += ["", str(certificate)]
    return "\n".join(parts)


def as_latex(model: Model, derivation: Derivation, certificate: Certificate) -> str:
    """The equations, the step, its inverse and the proof, for a paper."""
    scheme = notation.discretisation(model).replace("_", "\\_")
    return "\n\n".join(
        [
            f"\\[\n{latex.equations(model)}\n\\]",
            f"discretised by {scheme}:",
            f"\\[\n{latex.rule(model.scheme)}\n\\]",
            derivation.latex(),
            certificate.latex(),
        ]
    )


def as_json(model: Model, derivation: Derivation, certificate: Certificate) -> dict[str, Any]:
    """Everything as plain values, for programs."""
    return {
        "name": model.name,
        "description": model.description,
        "equations": notation.equations(model),
        "scheme": model.scheme.name,
        "rule": notation.rule(model.scheme),
        "derivation": derivation.to_json(),
        "numerics": numerics(model, derivation),
        "certificate": certificate.to_json(),
        "recipe": {key: str(value) for key, value in model.recipe.items()},
    }


def scheme_facts() -> list[dict[str, Any]]:
    """What was derived from the text of every scheme of the library, a row each."""
    return [_facts(name) for name in library()]


def _facts(name: str) -> dict[str, Any]:
    scheme = library_scheme(name)
    derivation = derive(scheme)
    pattern = ", ".join(
        f"{p.variable}{chr(39) * p.order} = {p.function}({', '.join(p.reads)})"
        for p in scheme.patterns
    )
    plain = derivation.to_json()
    return {
        "scheme": name,
        "takes": pattern,
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
    q = derivation.symmetry_order
    return f"to order {q}" if q else "no"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
